"""A recurrent layer as one step: over the window it gives the unrolled network's words; what is no step is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.errors import UnsupportedModelError
from toolchain.model.folding import inference_graph
from toolchain.model.keras_graph import build_keras, call_model, graph_of, output_shapes, random_inputs
from toolchain.model.rewriting import plain_graph
from toolchain.model.tensorflow import load_tensorflow
from toolchain.model.unrolling import check_window, with_equal_steps
from toolchain.network import interpreter, storage
from toolchain.network.nodes import Dense, FixedPointNetwork
from toolchain.network.steps import final_words
from toolchain.project import QuantizeSection
from toolchain.quantize import witness
from toolchain.quantize.formats import choose_formats
from toolchain.quantize.step_cell import StepCell, step_cell, step_vectors
from toolchain.quantize.to_qkeras import quantized_graph, set_to_quantized
from toolchain.results import RecurrentWindow
from toolchain.verify.against_window import compare_window


def recurrent(kind: str, **options: Any) -> Any:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(4)
    x = keras.Input((4, 2), name="x")
    y = getattr(keras.layers, kind)(3, name="cell", **options)(x)
    return keras.Model(x, keras.layers.Dense(2, name="out")(keras.layers.Dense(4, "relu", name="hidden")(y)))


def cell_of(kind: str, **options: Any) -> StepCell:
    graph = graph_of(recurrent(kind, **options))
    unrolled, windows = with_equal_steps(graph, output_shapes(graph))
    x = random_inputs(graph, 200)
    one, other = (call_model(build_keras(item, "float64"), x)[0] for item in (graph, unrolled))
    np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)
    found = check_window(windows)
    window = RecurrentWindow(
        layer=found.layer.name, ticks=tuple((tick.layer, tick.call) for tick in found.ticks),
        states=tuple(tuple((state.layer, state.call) for state in states) for states in found.states),
    )  # fmt: skip
    plain = plain_graph(inference_graph(unrolled))
    twin = quantized_graph(plain, choose_formats(plain, {"x": np.asarray(x[0], float)}, QuantizeSection()))
    model = build_keras(twin)
    set_to_quantized(model)
    return step_cell(twin, model, window)


def store(cell: StepCell, windows: np.ndarray, folder: Path) -> FixedPointNetwork:
    storage.save(cell.window, folder / "unrolled.fpn")
    np.save(folder / "windows.npy", windows)
    return cell.step.network


def windows_of(cell: StepCell) -> np.ndarray:
    form = cell.window.inputs[0].result
    drawn = np.random.default_rng(1).integers(form.min_word, form.max_word + 1, (60, 4, 2))
    return np.concatenate([drawn, witness.corner_words(form, (4, 2))])


@pytest.mark.parametrize(
    ("kind", "options", "states"),
    [
        ("SimpleRNN", {}, 1), ("LSTM", {}, 2), ("GRU", {}, 1),
        pytest.param("SimpleRNN", {"activation": "relu"}, 1, marks=pytest.mark.slow),
        pytest.param("GRU", {"reset_after": False}, 1, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_the_step_over_the_window_is_the_unrolled_network(
    kind: str, options: dict[str, Any], states: int, tmp_path: Path
) -> None:
    cell = cell_of(kind, **options)
    step, windows = cell.step.network, windows_of(cell)
    assert len(step.inputs) == len(step.outputs) == 1 + states
    assert step.inputs[0].shape == (2,)
    assert compare_window(store(cell, windows, tmp_path), tmp_path).verdict == "bit_exact"
    words = step_vectors(cell, windows, 60)
    found = interpreter.run(step, words)
    values = cell.window.inputs[0].result.values_of(windows[:60])
    whole, ticks = ({one.inputs[0].name: values} for one in (cell.window, step))
    assert np.array_equal(found[step.outputs[0]][:60], final_words(cell.window, whole))
    assert np.array_equal(found[step.outputs[0]][:60], final_words(step, ticks))
    outputs, _ = witness.layer_outputs(cell.step, words)
    for node in step.nodes:
        assert np.array_equal(node.result.values_of(found[node.name]), outputs[node.name]), node.name


def test_a_step_that_is_another_is_seen(tmp_path: Path) -> None:
    cell = cell_of("GRU")
    step = store(cell, windows_of(cell), tmp_path)
    weights = next(node for node in step.nodes if isinstance(node, Dense) and "candidate" in node.name)
    kernel = weights.kernel.copy()
    kernel[0, 1] += 8
    changed = replace(step, nodes=tuple(replace(n, kernel=kernel) if n is weights else n for n in step.nodes))
    found = compare_window(changed, tmp_path)
    assert found.verdict == "mismatch"
    assert found.mismatched_words > 0
    assert found.first_mismatch is not None
    assert found.first_mismatch.layer == step.outputs[0]


def test_what_is_no_step_is_refused() -> None:
    keras = load_tensorflow().keras
    x = keras.Input((4, 2), name="x")
    two = keras.layers.GRU(2, name="b")(keras.layers.GRU(2, return_sequences=True, name="a")(x))
    cases = {
        "2 recurrent layers": keras.Model(x, keras.layers.Dense(1)(two)),
        "0 recurrent layers": keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(x))),
        "go_backwards": recurrent("LSTM", go_backwards=True),
    }
    for word, model in cases.items():
        graph = graph_of(model)
        with pytest.raises(UnsupportedModelError, match=word):
            check_window(with_equal_steps(graph, output_shapes(graph))[1])
