"""The test vectors beside an int8 file: inputs, and the words that every kernel family must give for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.check import Agreement, Quantized
from toolchain.tflite.emulation import emulate
from toolchain.tflite.operators import IntegerModel

VECTORS_FILE = "test_vectors.npz"
REAL_SAMPLES = 1000


def write_vectors(
    folder: Path, network: FixedPointNetwork, model: IntegerModel, found: Agreement, corners: int
) -> None:
    """Write ``test_vectors.npz``: 1,000 real samples, evenly over the test part, then the last ``corners`` rows.

    ``inputs (samples, *shape)`` int8 (of several ports ``(samples, words)``, one behind the other in the file's order;
    their scales and zero points are arrays then), and the int8 words that kernels must give which round ``once``,
    ``twice`` and ``to_even`` (``emulation.py``); ``network`` the FixedPointNetwork's result rounded to the output port,
    ``values`` the result itself (float64); ``scale`` and ``zero_point`` of the output port, ``input_scale`` and
    ``input_zero_point``; ``real``, the number of real samples.
    """
    result = found.ports[0]
    real = found.samples - corners
    chosen = np.linspace(0, real - 1, min(real, REAL_SAMPLES)).astype(np.int64)
    rows = np.concatenate([chosen, np.arange(real, found.samples)])
    grid, inputs = model.output.grid, {name: given[rows] for name, given in found.inputs.items()}
    sources = [port.tensor.grid for port in model.inputs]
    scales, zero_points = np.array([one.scale for one in sources]), np.array([one.zero_point for one in sources])
    form = network[network.outputs[0]].result
    np.savez_compressed(
        folder / VECTORS_FILE, allow_pickle=False, inputs=_side_by_side(model, inputs), once=found.outputs[rows],
        twice=emulate(model, inputs, "twice")[model.output.name],
        to_even=emulate(model, inputs, "to_even")[model.output.name],
        network=result.expected[rows], values=form.values_of(result.network_words[rows]), scale=np.float64(grid.scale),
        input_scale=scales[0] if len(sources) == 1 else scales,
        input_zero_point=zero_points[0] if len(sources) == 1 else zero_points,
        zero_point=np.int64(grid.zero_point), real=np.int64(len(chosen)),
    )  # fmt: skip


def _side_by_side(model: IntegerModel, inputs: Mapping[str, Quantized]) -> Quantized:
    if len(model.inputs) == 1:
        return inputs[model.inputs[0].name]
    return np.concatenate([inputs[port.name].reshape(len(inputs[port.name]), -1) for port in model.inputs], axis=1)
