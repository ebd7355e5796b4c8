"""The exact interpreter: words in, words of every node out. The shadow of ``docs/fixed_point_network.md``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.arithmetic import exact
from toolchain.network.nodes import FixedPointNetwork, Input, Linear, Node


def quantize_inputs(network: FixedPointNetwork, values: Mapping[str, np.ndarray]) -> dict[str, Words]:
    """The input words of real ``values`` (``(samples, *shape)`` by input name)."""
    return {node.name: node.result.words_of(values[node.name]) for node in network.inputs}


def run(network: FixedPointNetwork, inputs: Mapping[str, Words]) -> dict[str, Words]:
    """The words of every node, ``(samples, *shape)`` by node name, for input words of the same form.

    Raises ValueError when an input is missing, has the wrong shape or holds a word outside its format.
    """
    words: dict[str, Words] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            words[node.name] = _checked(node, inputs)
        else:
            words[node.name] = evaluate(node, network, [words[name] for name in node.inputs])
    return words


def evaluate(node: Node, network: FixedPointNetwork, inputs: list[Words]) -> Words:
    """The words of one node, given those of its inputs."""
    before, fractional_bits = exact_value(node, network, inputs)
    if isinstance(node, Linear):
        before = node.accumulator.requantize(before, fractional_bits)
        fractional_bits = node.accumulator.fractional_bits
    return node.result.requantize(before, fractional_bits)


def exact_value(node: Node, network: FixedPointNetwork, inputs: list[Words]) -> tuple[Words, int]:
    """What the operator gives before any format is applied: integers, and the fractional bits of their grid."""
    return exact(node, inputs, [network[name].result.fractional_bits for name in node.inputs])


def _checked(node: Input, inputs: Mapping[str, Words]) -> Words:
    if node.name not in inputs:
        raise ValueError(f"no words for input {node.name!r}")
    words = np.asarray(inputs[node.name])
    if words.shape[1:] != node.shape:
        raise ValueError(f"input {node.name!r} has shape {words.shape[1:]}, expected {node.shape}")
    if words.size and not (node.result.min_word <= words.min() and words.max() <= node.result.max_word):
        raise ValueError(f"input {node.name!r} holds a word outside {node.result}")
    return words.astype(np.int64) if words.dtype != object else words
