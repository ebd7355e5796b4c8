"""Saturations are counted where they can happen, and counted right."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import interpreter
from toolchain.network.builder import NetworkBuilder
from toolchain.verify.saturation import count_saturations


def test_saturations_are_counted_where_they_can_happen() -> None:
    b = NetworkBuilder("clips")
    x = b.input("x", (1,), FixedPoint(True, 4, 1))  # words -32 .. 31, values -16 .. 15.5
    narrow = b.requantize("narrow", x, FixedPoint(True, 2, 0, Rounding.RND, Overflow.SAT))  # -4 .. 3
    relu = b.relu("relu", narrow, FixedPoint(False, 1, 0, Rounding.TRN, Overflow.WRAP))  # 0 .. 1
    wide = b.requantize("wide", relu, FixedPoint(False, 3, 0))
    network = b.build((wide,))
    words = interpreter.run(network, {"x": np.arange(-32, 32)[:, None]})
    found = count_saturations(network, words)
    values = np.floor(np.arange(-32, 32) / 2 + 0.5)
    clipped = np.clip(values, -4, 3)
    assert found == {"narrow": int((values != clipped).sum()), "relu": int((clipped > 1).sum())}
