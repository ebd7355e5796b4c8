"""A step cell run over its window against the unrolled network: the same output words.

With the first statement it says that the hardware, run over the window, computes the model: the C-simulation was given
the very states that the step hands on here, and its words were those of the step.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.steps import run_over
from toolchain.results import Comparison, Mismatch
from toolchain.verify.grids import differing, on_grid


def compare_window(step: FixedPointNetwork, folder: Path) -> Comparison:
    """``folder`` has ``unrolled.fpn`` and ``windows.npy``, the input words ``(samples, steps, channels)``."""
    unrolled = storage.load(folder / "unrolled.fpn")
    windows = np.load(folder / "windows.npy", allow_pickle=False)
    output, mine = unrolled[unrolled.outputs[0]], step[step.outputs[0]]
    expected = interpreter.run(unrolled, {unrolled.inputs[0].name: windows}, only=unrolled.outputs)[output.name]
    _, found = run_over(step, windows)
    wrong = differing(expected, output.result, found, mine.result)
    first = None
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        grid = max(output.result.fractional_bits, mine.result.fractional_bits)
        first = Mismatch(
            layer=mine.name, keras_layer=mine.layer, sample=place[0], element=place[1:],
            expected_word=int(on_grid(np.array(expected[place]), output.result, grid)),
            found_word=int(on_grid(np.array(found[place]), mine.result, grid)), fractional_bits=grid,
            cause="the step over the window gives another word than the unrolled network", cause_kind="unexplained",
        )  # fmt: skip
    return Comparison(
        verdict="mismatch" if first else "bit_exact", samples=len(windows), words=wrong.size,
        mismatched_words=int(wrong.sum()), first_mismatch=first, layers={mine.name: int(wrong.sum())},
        layer_words={mine.name: int(wrong.size)},
    )  # fmt: skip
