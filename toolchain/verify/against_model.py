"""The second statement: the network's values against QKeras' own; and the tally that both statements keep."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.nodes import FixedPointNetwork, Node
from toolchain.results import ApproximateLayer, Approximation, Comparison, Mismatch


@dataclass
class Tally:
    """What was compared so far: by name, the words that differ (``counts``) and all of them (``extent``)."""

    network: FixedPointNetwork
    samples: int
    counts: dict[str, int] = field(default_factory=dict)
    extent: dict[str, int] = field(default_factory=dict)
    first: Mismatch | None = None
    approximations: list[Approximation] = field(default_factory=list)

    def add(self, name: str, wrong: np.ndarray) -> bool:
        """Count one array of comparisons; whether it holds the first difference of all."""
        self.counts[name] = int(wrong.sum())
        self.extent[name] = int(wrong.size)
        return self.counts[name] > 0 and self.first is None

    def add_unreadable(self, name: str, node: Node, why: str) -> None:
        """Words that are not there are words that differ, all of them."""
        self.counts[name] = self.samples * node.size
        self.extent[name] = self.counts[name]
        if self.first is None:
            self.first = Mismatch(
                layer=node.name, keras_layer=node.layer, sample=0, element=(), expected_word=None, found_word=None,
                fractional_bits=node.result.fractional_bits, cause=f"the words of this layer are not whole: {why}",
                cause_kind="not_whole", port="" if name == node.name else name,
            )  # fmt: skip

    def comparison(self) -> Comparison:
        return Comparison(
            verdict=self.verdict, samples=self.samples, words=sum(self.extent.values()),
            mismatched_words=sum(self.counts.values()), first_mismatch=self.first, layers=self.counts,
            layer_words=self.extent, approximations=tuple(self.approximations),
        )  # fmt: skip

    @property
    def verdict(self) -> Literal["bit_exact", "approximation", "mismatch"]:
        if self.first:
            return "mismatch"
        return "approximation" if self.approximations else "bit_exact"


def compare_model(
    network: FixedPointNetwork, words: dict[str, Words], file: Path, approximate: tuple[ApproximateLayer, ...] = ()
) -> Comparison:  # fmt: skip
    """The network's values against QKeras' own in ``file``, every node: equal as real numbers.

    An ``approximate`` layer must keep its bound; the nodes within it stand for nothing that QKeras computes.
    """
    tally = Tally(network, len(words[network.outputs[0]]))
    try:
        with np.load(file, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        tally.add_unreadable(network.outputs[0], network[network.outputs[0]], f"{file.name}: {error}")
        return tally.comparison()
    bounds = {layer.node: layer for layer in approximate}
    inner = {name for layer in approximate for name in layer.inner}
    for node in network.nodes:
        if node.name in inner:
            continue
        mine = node.result.values_of(words[node.name])
        theirs = values.get(node.name)
        if theirs is None or theirs.shape != mine.shape or theirs.dtype.kind != "f":
            tally.add_unreadable(node.name, node, f"{file.name} has no such array of the right shape")
            continue
        wrong = np.asarray(mine != theirs)
        if node.name in bounds:
            wrong = _approximation(tally, node, bounds[node.name], np.abs(mine - theirs))
            if not wrong.any():
                continue
        if tally.add(node.name, wrong):
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            tally.first = _describe_model(node, words[node.name][place], float(theirs[place]), place)
            if node.name in bounds:
                beyond = f"it lies further from QKeras' value than the proven {bounds[node.name].bound:.3g}"
                tally.first = tally.first.model_copy(update={"cause": beyond})
    found = tally.comparison()
    if not approximate:
        return found
    return found.model_copy(update={"output_deviation": _deviation(network, words, file.with_name("outputs.npz"))})


def _approximation(tally: Tally, node: Node, layer: ApproximateLayer, away: np.ndarray) -> np.ndarray:
    """Note the deviations of an approximate layer; which of them are beyond its bound."""
    largest = float(np.max(away, initial=0.0))  # NaN stays NaN
    tally.approximations.append(
        Approximation(
            layer=node.name, keras_layer=layer.layer, kind=layer.kind, words=away.size,
            different_words=int((away != 0).sum()), largest_deviation=largest, bound=layer.bound,
        )
    )  # fmt: skip
    return np.asarray(~(away <= layer.bound))


def _deviation(network: FixedPointNetwork, words: dict[str, Words], file: Path) -> float | None:
    """The largest difference of the outputs from those of the QKeras model run as a whole."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            away = [
                np.abs(network[name].result.values_of(words[name]) - stored[name]) for name in network.outputs
            ]  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return float(max(np.max(one, initial=0.0) for one in away))


def _describe_model(node: Node, expected: int, value: float, place: tuple[int, ...]) -> Mismatch:
    scaled = value * 2.0**node.result.fractional_bits if np.isfinite(value) else value
    whole = bool(np.isfinite(scaled) and scaled == np.floor(scaled))
    cause = "QKeras computes another value" if whole else f"QKeras' value {value!r} is not on the grid of {node.result}"
    return Mismatch(
        layer=node.name, keras_layer=node.layer, sample=place[0], element=place[1:], expected_word=int(expected),
        found_word=round(scaled) if np.isfinite(scaled) else None, fractional_bits=node.result.fractional_bits,
        cause=cause, cause_kind="qkeras",
    )  # fmt: skip
