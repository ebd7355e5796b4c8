"""Causes found by experiment: one thing is changed in a network, the words of the changed one are "found"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hls_cases import SAT, WEIGHT, conv_network, pool_network, scale_network, skip_network
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import interpreter
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork, Input, Maximum, Minimum, Node, Requantize, Subtract
from toolchain.verify.cause import Cause, Evidence, find_cause
from toolchain.verify.grids import differing

SAMPLES = 120


class NoEffectError(Exception):
    """No recorded word shows the change."""


def table_network() -> FixedPointNetwork:
    """Dense, a table, a maximum of two branches, Dense."""
    rng = np.random.default_rng(3)
    b = NetworkBuilder("small")
    x = b.input("x", (5,), FixedPoint(True, 2, 5, *SAT))
    narrow = FixedPoint(True, 1, 4, *SAT)
    dense = [
        b.dense(name, x, rng.integers(-31, 32, (5, 4)), WEIGHT, rng.integers(-31, 32, 4), WEIGHT, narrow)
        for name in ("left", "right")
    ]
    t = b.table("table", dense[0], rng.permutation(64) - 32, FixedPoint(True, 0, 5))
    m = b.maximum("larger", (t, b.relu("relu", dense[1], narrow)), narrow)
    return b.build((b.dense("last", m, rng.integers(-31, 32, (4, 3)), WEIGHT, None, None),))


def words_of(network: FixedPointNetwork) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    inputs = {}
    for node in network.inputs:
        low, high = node.result.min_word, node.result.max_word
        drawn = rng.integers(low, high + 1, (SAMPLES, *node.shape))
        shift = rng.integers(0, node.result.width, (SAMPLES, *(1,) * len(node.shape)))
        inputs[node.name] = drawn >> shift
    return interpreter.run(network, inputs)


def changed(network: FixedPointNetwork, node: Node) -> FixedPointNetwork:
    """``network`` with ``node`` in place of the one of its name."""
    nodes = tuple(node if other.name == node.name else other for other in network.nodes)
    return FixedPointNetwork(name=network.name, nodes=nodes, outputs=network.outputs)


def evidence_of(
    network: FixedPointNetwork, found: dict[str, np.ndarray], formats: dict[str, FixedPoint], hidden: set[str]
) -> tuple[Evidence, Node]:
    """The evidence with ``found``, and the first recorded layer that differs. ``hidden`` layers leave no words."""
    expected = words_of(network)
    names = [node.name for node in network.nodes if node.name not in hidden]
    counts = {
        name: int(differing(expected[name], network[name].result, found[name], formats[name]).sum()) for name in names
    }
    wrong = [name for name in names if counts[name]]
    if not wrong:
        raise NoEffectError
    recorded = {name: found[name] for name in names}
    evidence = Evidence(network, expected, recorded, {name: formats[name] for name in names}, (), counts)
    return evidence, network[wrong[0]]


def cause_of(network: FixedPointNetwork, node: Node, hidden: set[str] | None = None) -> Cause:
    """The cause found when the hardware computes ``node`` in place of the layer of its name."""
    other = changed(network, node)
    inputs = {port.name: words_of(network)[port.name] for port in network.inputs}
    formats = {item.name: item.result for item in other.nodes}
    evidence, first = evidence_of(network, interpreter.run(other, inputs), formats, hidden or set())
    return find_cause(evidence, first, first.name)


def stepped(array: Any, place: tuple[int, ...], step: int) -> np.ndarray:
    new = np.array(array)
    new[place] += step
    return new


Change = Callable[[Any], Any]
CASES: dict[str, tuple[Callable[[], FixedPointNetwork], str, Change, str, str]] = {
    "one weight": (conv_network, "hidden", lambda n: replace(n, kernel=stepped(n.kernel, (3, 1), -4)),
                   "weights", "weight [3, 1] of 'hidden' is"),
    "one weight of a window": (conv_network, "conv", lambda n: replace(n, kernel=stepped(n.kernel, (1, 0, 2), 3)),
                               "weights", "weight [1, 0, 2] of 'conv' is"),
    "one scale": (scale_network, "norm", lambda n: replace(n, kernel=stepped(n.kernel, (1,), 5)),
                  "weights", "weight [1] of 'norm' is"),
    "one bias": (conv_network, "hidden", lambda n: replace(n, bias=stepped(n.bias, (2,), 3)), "bias", "bias 2 of"),
    "biases dropped": (conv_network, "conv", lambda n: replace(n, bias=n.bias * 0), "bias", "are all zero"),
    "three weights": (conv_network, "output", lambda n: replace(n, kernel=n.kernel + np.eye(5, 3, dtype=int)),
                      "weights", "(3 weights differ)"),
    "signs lost": (conv_network, "hidden", lambda n: replace(n, kernel=abs(n.kernel)), "weights", "without their"),
    "transposed": (conv_network, "hidden", lambda n: replace(n, kernel=n.kernel.T.reshape(n.kernel.shape)),
                   "kernel_layout", "are transposed"),
    "flipped window": (conv_network, "conv", lambda n: replace(n, kernel=n.kernel[::-1]), "kernel_layout", "reversed"),
    "accumulator wraps": (conv_network, "hidden",
                          lambda n: replace(n, accumulator=FixedPoint(True, 1, n.accumulator.fractional_bits)),
                          "accumulator", "wraps"),
    "stride": (pool_network, "pool", lambda n: replace(n, strides=(1,), padding=((0, -2),)), "window", "stride 1"),
    "dilation": (pool_network, "conv", lambda n: replace(n, dilation=(3,), padding=((1, 2),)), "window", "dilation 3"),
    "padding": (conv_network, "conv", lambda n: replace(n, padding=((1, 0),)), "window", "padding 1 instead of 0"),
    "one table entry": (table_network, "table", lambda n: replace(n, words=stepped(n.words, (2,), -1)),
                        "table", "at entry 2"),
    "table moved": (table_network, "table", lambda n: replace(n, words=np.roll(n.words, 1)), "table", "moved by 1"),
    "activation dropped": (table_network, "relu", lambda n: Requantize(**fields(n)), "operator", "is left out"),
    "subtracted": (skip_network, "sum", lambda n: Subtract(**fields(n)), "operator", "subtracts"),
    "reads another layer": (skip_network, "left", lambda n: replace(n, inputs=("first",)), "wiring", "reads 'first'"),
    "rounding": (conv_network, "conv_relu",
                 lambda n: replace(n, result=n.result.with_modes(Rounding.TRN, Overflow.SAT)),
                 "rounding", "rounding TRN instead of RND_CONV"),
    "overflow": (conv_network, "hidden_relu",
                 lambda n: replace(n, result=n.result.with_modes(Rounding.RND_CONV, Overflow.WRAP)),
                 "overflow", "overflow WRAP instead of SAT"),
    "bits": (conv_network, "hidden", lambda n: replace(n, result=FixedPoint(True, 1, n.result.fractional_bits)),
             "result_format", "other bits"),
}  # fmt: skip


def fields(node: Any, **changes: Any) -> dict[str, Any]:
    """What every operator has, of ``node``."""
    kept = {name: getattr(node, name) for name in ("name", "inputs", "shape", "result", "layer")}
    return kept | changes


@pytest.mark.parametrize("case", CASES)
def test_the_one_thing_that_was_changed_is_named(case: str) -> None:
    make, name, change, kind, text = CASES[case]
    network = make()
    found = cause_of(network, change(network[name]))
    assert found.kind == kind, found
    assert text in found.text


@pytest.mark.parametrize("case", ["one weight", "one bias", "accumulator wraps", "signs lost", "transposed"])
def test_a_layer_that_leaves_no_words_is_found_through_the_next(case: str) -> None:
    """hls4ml merges a change of format into the layer before it: only the words behind are there."""
    make, name, change, kind, text = CASES[case]
    network = make()
    found = cause_of(network, change(network[name]), hidden={name})
    assert found.kind == kind, found
    assert text in found.text


def test_the_smaller_of_two_is_no_maximum() -> None:
    network = table_network()
    node = network["larger"]
    assert isinstance(node, Maximum)
    other = {**fields(node)}
    found = cause_of(network, Minimum(**other))
    assert (found.kind, found.text) == ("operator", "'larger' takes the smaller one")


def test_an_input_port_of_another_type() -> None:
    network = conv_network()
    port = network["x"]
    form = replace(port.result, integer_bits=port.result.integer_bits + 1, fractional_bits=4)
    found = {**words_of(network)}
    formats = {node.name: node.result for node in network.nodes} | {"x": form}
    evidence, first = evidence_of(network, found, formats, set())
    assert isinstance(first, Input)
    cause = find_cause(evidence, first, "x")
    assert cause.kind == "input_format"
    assert "the same bits stand for other values" in cause.text


@pytest.mark.parametrize("lines", [1, -1])
def test_lines_that_moved_are_no_wrong_layer(lines: int) -> None:
    network = conv_network()
    found = {**words_of(network)}
    found["output"] = np.roll(found["output"], lines, axis=0)
    formats = {node.name: node.result for node in network.nodes}
    evidence, first = evidence_of(network, found, formats, set())
    cause = find_cause(evidence, first, first.name)
    assert cause.kind == "recorded_words"
    assert f"moved by {lines}" in cause.text


def test_noise_is_unexplained_and_says_what_was_tried() -> None:
    network = conv_network()
    found = {**words_of(network)}
    form = network["hidden"].result
    found["hidden"] = np.random.default_rng(0).integers(form.min_word, form.max_word + 1, found["hidden"].shape)
    later = changed(network, Input(**fields(network["hidden"], inputs=())))
    found |= interpreter.run(later, {"x": found["x"], "hidden": found["hidden"]})
    formats = {node.name: node.result for node in network.nodes}
    evidence, first = evidence_of(network, found, formats, set())
    cause = find_cause(evidence, first, first.name)
    assert cause.kind == "unexplained"
    assert any(text.startswith("accumulators: ") for text in cause.tried)
    assert cause.alternatives == ()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_any_weight_by_any_step_is_solved_from_the_words(seed: int, hidden: bool) -> None:
    """What is said gives every word found; and it is the weight, or another thing that cannot be told from it."""
    rng = np.random.default_rng(seed)
    network = conv_network(seed)
    name = str(rng.choice(["conv", "hidden", "output"]))
    node: Any = network[name]
    place = tuple(int(rng.integers(n)) for n in node.kernel.shape)
    step = int(rng.integers(1, 12))
    step = step if node.kernel[place] + step <= 31 else -step
    other = replace(node, kernel=stepped(node.kernel, place, step))
    try:
        found = cause_of(network, other, {name} if hidden and name != "output" else set())
    except NoEffectError:
        assume(False)
    assert found.kind in ("weights", "kernel_layout"), found
    said = f"weight {list(place)} of '{name}' is {(node.kernel[place] + step) / 32:g}"
    texts = (found.text, *found.alternatives)
    assert any(text.startswith(said) for text in texts) or len(texts) > 5, found


def found_instead(network: FixedPointNetwork, name: str, words: np.ndarray, **formats: FixedPoint) -> Cause:
    """The cause found when the hardware puts out ``words`` at ``name``, and computes the layers behind from them."""
    found = {**words_of(network), name: words}
    for node in network.nodes[[node.name for node in network.nodes].index(name) + 1 :]:
        found[node.name] = interpreter.evaluate(node, network, [found[x] for x in node.inputs])
    kinds = {node.name: node.result for node in network.nodes} | formats
    evidence, first = evidence_of(network, found, kinds, set())
    return find_cause(evidence, first, first.name)


def test_a_stride_that_leaves_places_unset() -> None:
    """What stands where nothing is written is memory: the rest must agree."""
    network = pool_network()
    words = words_of(network)
    taken = words["relu"][:, ::4][:, :1]
    second = np.maximum(words["relu"][:, 4:5], words["relu"][:, 5:6])
    first = np.maximum(taken, words["relu"][:, 1:2])
    garbage = np.full_like(first, 7)
    cause = found_instead(network, "pool", np.concatenate([first, second, garbage], axis=1))
    assert cause.kind == "window"
    assert "stride 4 instead of 2" in cause.text


@pytest.mark.parametrize("before", [True, False])
def test_a_pooling_that_drops_a_bit_before_or_behind_it(before: bool) -> None:
    network = pool_network()
    form = network["relu"].result
    narrow = FixedPoint(form.signed, form.integer_bits - 1, form.fractional_bits)
    x = words_of(network)["relu"]
    x = narrow.requantize(x, form.fractional_bits) if before else x
    pooled = np.maximum(x[:, ::2], x[:, 1::2])
    cause = found_instead(network, "pool", narrow.requantize(pooled, form.fractional_bits))
    assert cause.kind == "accumulator", cause


def test_a_tight_type_behind_does_not_make_a_fault_a_changed_record() -> None:
    """The layer behind clips in hardware at what the network's own words reach: it shows no larger word."""
    b = NetworkBuilder("small")
    form = FixedPoint(True, 2, 3)
    x = b.input("x", (1,), FixedPoint(False, 0, 3))
    d = b.dense("dense", x, np.full((1, 2), -16), FixedPoint(True, 4, 0), np.full(2, 7), form)
    network = b.build((b.relu("relu", d, FixedPoint(False, 2, 3, *SAT)),))
    words = words_of(network)
    found = words | {"dense": words["dense"] + 2}
    tight = {node.name: node.result for node in network.nodes} | {"relu": FixedPoint(False, 0, 3, *SAT)}
    evidence, first = evidence_of(network, found, tight, set())
    cause = find_cause(evidence, first, "dense")
    assert cause.kind == "bias"
    assert "bias 0 of 'dense' is 1.125 instead of 0.875 (2 biases differ)" in (cause.text, *cause.alternatives)
    wide = tight | {"relu": FixedPoint(False, 2, 3, *SAT)}
    evidence, first = evidence_of(network, found, wide, set())
    assert find_cause(evidence, first, "dense").kind == "recorded_words"  # the relu would have shown it
