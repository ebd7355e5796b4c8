"""Verification inputs at the edges of the ports' formats, for every port of a network at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.nodes import FixedPointNetwork, Input
from toolchain.quantize.witness import corner_words

#: More ports than this have no vector for every combination of their lowest and highest words.
_MOST_COMBINED = 4


def corner_inputs(network: FixedPointNetwork, largest: Mapping[str, int]) -> dict[str, Words]:
    """``(vectors, *shape)`` by port, equally many: the corners of all ports together, of each alone while the others
    are zero, and the combinations of their lowest and highest words. ``largest``: of a port that counts rows, the last.
    """
    own = {port.name: corner_words(port.result, port.shape, largest.get(port.name)) for port in network.inputs}
    if len(own) == 1:
        return own
    count = max(len(words) for words in own.values())
    blocks: dict[str, list[Words]] = {name: [words[np.arange(count) % len(words)]] for name, words in own.items()}
    for chosen, words in own.items():
        for name, rows in blocks.items():
            rows.append(words if name == chosen else np.zeros((len(words), *own[name].shape[1:]), dtype=np.int64))
    for combination in _combinations(len(own)):
        for port, high in zip(network.inputs, combination, strict=True):
            blocks[port.name].append(_constant(port, high, largest.get(port.name)))
    return {name: np.concatenate(rows) for name, rows in blocks.items()}


def _combinations(ports: int) -> list[tuple[bool, ...]]:
    """Which ports are at their highest word: every choice, or each one against all others."""
    if ports <= _MOST_COMBINED:
        return list(product((False, True), repeat=ports))
    return [tuple((place == one) != flipped for place in range(ports)) for one in range(ports) for flipped in (0, 1)]


def _constant(port: Input, high: bool, largest: int | None) -> Words:
    last = port.result.max_word if largest is None else largest
    return np.full((1, *port.shape), last if high else port.result.min_word, dtype=np.int64)
