"""QKeras' recurrent layers as they are: their words are QKeras' own, unrolled and as a step; what has no exact meaning
is refused naming the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import Words
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, graph_of, output_shapes, qkeras_objects
from toolchain.model.layer_rules import check_layer
from toolchain.model.loading import load_model_file
from toolchain.model.tensorflow import load_tensorflow
from toolchain.model.unrolling import check_window, with_equal_steps
from toolchain.network import interpreter
from toolchain.network.steps import final_words
from toolchain.quantize import witness
from toolchain.quantize.from_qkeras import Reading, read_qkeras
from toolchain.quantize.hard_functions import is_hard
from toolchain.quantize.step_cell import step_cell, step_vectors
from toolchain.quantize.to_qkeras import set_to_quantized
from toolchain.results import RecurrentWindow


def model_of(kind: str, **options: Any) -> Any:
    """Three ticks of three channels through a layer of two units; QKeras' quantizers by their text."""
    keras = load_tensorflow().keras
    qkeras_objects()
    import qkeras

    given: dict[str, Any] = {
        "activation": "quantized_tanh(6)", "kernel_quantizer": "quantized_bits(5,1,alpha=1)",
        "recurrent_quantizer": "quantized_bits(6,0,alpha=1)", "bias_quantizer": "quantized_bits(6,1,alpha=1)",
        "state_quantizer": "quantized_bits(6,0,alpha=1)",
    }  # fmt: skip
    if kind != "QSimpleRNN":
        given["recurrent_activation"] = "quantized_sigmoid(5)"
    x = keras.Input((3, 3), name="x")
    y = qkeras.QActivation(qkeras.quantized_bits(8, 2, alpha=1), name="narrow")(x)
    y = getattr(qkeras, kind)(2, name="cell", **(given | options))(y)
    model = keras.Model(x, y)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.6, size=weight.shape) for weight in model.get_weights()])
    return model


def words_for(reading: Reading) -> Words:
    port = reading.network.inputs[0]
    drawn = np.random.default_rng(1).integers(port.result.min_word, port.result.max_word + 1, (500, *port.shape))
    return np.concatenate([witness.corner_words(port.result, port.shape), drawn])


CASES: list[tuple[str, dict[str, Any]]] = [
    ("QSimpleRNN", {}),
    ("QLSTM", {"recurrent_activation": "hard_sigmoid"}),  # QKeras' default, and not Keras' function
    ("QGRU", {"reset_after": True, "implementation": 2}),
]
MORE: list[tuple[str, dict[str, Any]]] = [
    ("QSimpleRNN", {"state_quantizer": None, "use_bias": False, "go_backwards": True}),
    ("QSimpleRNN", {"activation": "quantized_relu(5,1)"}),
    ("QSimpleRNN", {"activation": None}),
    ("QLSTM", {"implementation": 2, "return_sequences": True}),
    ("QLSTM", {"activation": "quantized_bits(6,1,alpha=1)", "kernel_quantizer": "ternary(alpha=1)"}),
    ("QLSTM", {"kernel_quantizer": "binary(alpha=1)", "recurrent_quantizer": "quantized_po2(4,1)"}),
    ("QLSTM", {"kernel_quantizer": "quantized_bits(4,0,alpha='auto_po2')"}),
    ("QLSTM", {"state_quantizer": "binary(alpha=1)"}),  # makes 1 of the state before the first step
    ("QGRU", {}),
    ("QGRU", {"reset_after": True}),
    ("QGRU", {"reset_after": True, "use_bias": False}),
    ("QGRU", {"implementation": 2}),
]


@pytest.mark.parametrize(("kind", "options"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)])
def test_the_words_are_qkeras(kind: str, options: dict[str, Any]) -> None:
    model = model_of(kind, **options)
    reading = read_qkeras(model, "network")
    network, words = reading.network, words_for(reading)
    port, last = network.inputs[0], network[network.outputs[0]]
    found = interpreter.run(network, {port.name: words})
    whole = np.asarray(model(port.result.values_of(words).astype(np.float32)), np.float64)
    assert np.array_equal(last.result.values_of(found[last.name]), whole)
    outputs, doubled = witness.layer_outputs(reading, {port.name: words})
    assert doubled == ()
    for node in network.nodes:
        assert np.array_equal(node.result.values_of(found[node.name]), outputs[node.name]), node.name


def windowed(graph: Graph) -> tuple[Graph, RecurrentWindow]:
    unrolled, windows = with_equal_steps(graph, output_shapes(graph))
    found = check_window(windows)
    return unrolled, RecurrentWindow(
        layer=found.layer.name, ticks=tuple((tick.layer, tick.call) for tick in found.ticks),
        states=tuple(tuple((state.layer, state.call) for state in states) for states in found.states),
        quantizers=found.quantizers,
    )  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["QLSTM", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("QSimpleRNN", "QGRU"))]
)
def test_the_step_over_the_window_gives_qkeras_words(kind: str) -> None:
    model = model_of(kind)
    twin, window = windowed(graph_of(model))
    made = build_keras(twin)
    set_to_quantized(made)
    cell = step_cell(twin, made, window)
    step, whole = cell.step.network, cell.window
    assert len(step.inputs) == len(step.outputs) == (3 if kind == "QLSTM" else 2)
    windows = words_for(read_qkeras(model, "network"))
    values = whole.inputs[0].result.values_of(windows)
    expected = np.asarray(model(values.astype(np.float32)), np.float64)
    final = final_words(step, {step.inputs[0].name: values})
    assert np.array_equal(step[step.outputs[0]].result.values_of(final), expected)
    assert {port.result.width for port in step.inputs[1:]} == {6}  # the state quantizer's
    vectors = step_vectors(cell, windows, len(windows))
    found, (outputs, _) = interpreter.run(step, vectors), witness.layer_outputs(cell.step, vectors)
    for node in step.nodes:
        assert np.array_equal(node.result.values_of(found[node.name]), outputs[node.name]), node.name


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_of_it_is_read(suffix: str, tmp_path: Path) -> None:
    model = model_of("QGRU")
    model.save(tmp_path / f"model.{suffix}")
    assert load_model_file(tmp_path / f"model.{suffix}").layers["cell"].kind == "QGRU"


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        ("QLSTM", "kernel_quantizer"), ("QLSTM", "bias_quantizer"), ("QLSTM", "state_quantizer"),
        ("QLSTM", "activation"), ("QSimpleRNN", "recurrent_quantizer"),
        ("QGRU", "recurrent_quantizer"),  # QKeras multiplies the state by the input's kernel then
    ],
)  # fmt: skip
def test_a_missing_quantizer_is_refused_by_name(kind: str, argument: str) -> None:
    config = {
        "units": 2, "use_bias": True, "activation": "quantized_tanh(4)", "kernel_quantizer": {},
        "recurrent_quantizer": {}, "bias_quantizer": {}, "state_quantizer": {}, "recurrent_activation": "hard_sigmoid",
    }  # fmt: skip
    assert check_layer(kind, config, "layer 'cell'") == []
    (problem,) = check_layer(kind, config | {argument: None}, "layer 'cell'")
    assert argument in problem.problem


def test_a_real_sigmoid_of_wide_sums_is_refused_by_name() -> None:
    model = model_of("QLSTM", recurrent_activation="quantized_sigmoid(5,use_real_sigmoid=1)")
    with pytest.raises(UnsupportedModelError, match="table") as found:
        read_qkeras(model, "network")
    assert "gate_recurrent_activation'" in found.value.text()


def test_real_and_stochastic_functions_are_not_hard() -> None:
    load_tensorflow()
    import qkeras
    from qkeras import quantizers

    hard = [qkeras.quantized_tanh(4), qkeras.quantized_sigmoid(4), quantizers.hard_sigmoid]
    assert all(is_hard(one) for one in hard)
    assert not is_hard(qkeras.quantized_tanh(4, use_real_tanh=True))
    assert not is_hard(qkeras.quantized_sigmoid(4, use_real_sigmoid=True))
    assert not is_hard(qkeras.quantized_tanh(4, use_stochastic_rounding=True))
    try:
        quantizers.set_internal_sigmoid("smooth")
        assert [is_hard(one) for one in hard] == [False, False, True]
    finally:
        quantizers.set_internal_sigmoid("hard")
