"""The test vectors beside an int8 file: inputs, and the words that every kernel family must give for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.check import Agreement
from toolchain.tflite.grids import Int8Array
from toolchain.tflite.operators import Int8Model

VECTORS_FILE = "test_vectors.npz"
REAL_SAMPLES = 1000


def write_vectors(
    folder: Path, network: FixedPointNetwork, model: Int8Model, inputs: Int8Array, corners: int, found: Agreement
) -> None:
    """Write ``test_vectors.npz``: at most 1,000 real samples, evenly over the test part, then the ``corners`` last rows.

    ``inputs (samples, *shape)`` int8; ``reference`` the reference kernels' int8 words, ``default`` those of the default
    kernels on this machine, ``network`` the FixedPointNetwork's result rounded to the output port, ``values`` the
    result itself (float64); ``scale``, ``zero_point`` of the output port and ``real``, the number of real samples.
    """
    real = len(inputs) - corners
    chosen = np.linspace(0, real - 1, min(real, REAL_SAMPLES)).astype(np.int64)
    rows = np.concatenate([chosen, np.arange(real, len(inputs))])
    grid = model.output.grid
    form = network[network.outputs[0]].result
    np.savez_compressed(
        folder / VECTORS_FILE, allow_pickle=False, inputs=inputs[rows], reference=found.outputs[rows],
        default=found.default_outputs[rows], network=found.expected[rows],
        values=form.values_of(found.network_words[rows]), scale=np.float64(grid.scale),
        zero_point=np.int64(grid.zero_point), real=np.int64(len(chosen)),
    )  # fmt: skip
