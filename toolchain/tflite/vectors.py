"""The test vectors beside an int8 file: inputs, and the words that every kernel family must give for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.check import Agreement
from toolchain.tflite.emulation import emulate
from toolchain.tflite.operators import IntegerModel

VECTORS_FILE = "test_vectors.npz"
REAL_SAMPLES = 1000


def write_vectors(
    folder: Path, network: FixedPointNetwork, model: IntegerModel, found: Agreement, corners: int
) -> None:
    """Write ``test_vectors.npz``: 1,000 real samples, evenly over the test part, then the last ``corners`` rows.

    ``inputs (samples, *shape)`` int8, and the int8 words that kernels must give which round ``once``, ``twice`` and
    ``to_even`` (``emulation.py``); ``network`` the FixedPointNetwork's result rounded
    to the output port, ``values`` the result itself (float64); ``scale`` and ``zero_point`` of the output port,
    ``input_scale`` and ``input_zero_point``; ``real``, the number of real samples.
    """
    given, result = found.inputs[model.inputs[0].name], found.ports[0]
    real = len(given) - corners
    chosen = np.linspace(0, real - 1, min(real, REAL_SAMPLES)).astype(np.int64)
    rows = np.concatenate([chosen, np.arange(real, len(given))])
    grid, inputs = model.output.grid, given[rows]
    form = network[network.outputs[0]].result
    np.savez_compressed(
        folder / VECTORS_FILE, allow_pickle=False, inputs=inputs, once=found.outputs[rows],
        twice=emulate(model, inputs, "twice")[model.output.name],
        to_even=emulate(model, inputs, "to_even")[model.output.name],
        network=result.expected[rows], values=form.values_of(result.network_words[rows]), scale=np.float64(grid.scale),
        input_scale=np.float64(model.input.grid.scale),
        input_zero_point=np.int64(model.input.grid.zero_point),
        zero_point=np.int64(grid.zero_point), real=np.int64(len(chosen)),
    )  # fmt: skip
