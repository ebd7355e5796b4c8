"""How much closer to the network the exact int8 export is than post-training quantization: a line per network.

Run: python benchmarks/tflite_exactness.py
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.compare import compare_with_post_training

MODES = (Rounding.RND_CONV, Overflow.SAT)


def dense_network(bits: int, sizes: tuple[int, ...], seed: int) -> FixedPointNetwork:
    """A pruned (75 % zeros) multilayer perceptron with ``bits``-bit weights and 8-bit activations and input."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder(f"dense_{bits}")
    weights = FixedPoint(True, 0, bits - 1)
    last = builder.input("x", (sizes[0],), FixedPoint(True, 2, 5, *MODES))
    for place, (rows, columns) in enumerate(pairwise(sizes)):
        kept = rng.random((rows, columns)) < 0.25
        spread = 2 ** (bits - 1) * np.sqrt(2 / (rows * 0.25))
        kernel = np.clip(np.rint(rng.normal(size=(rows, columns)) * spread), weights.min_word + 1, weights.max_word)
        bias = np.rint(rng.normal(size=columns) * 2 ** (bits - 3)).astype(np.int64)
        bias = np.clip(bias, weights.min_word, weights.max_word)
        last = builder.dense(f"dense{place}", last, (kernel * kept).astype(np.int64), weights, bias, weights)
        if place < len(sizes) - 2:
            last = builder.relu(f"relu{place}", last, FixedPoint(False, 3, 5, *MODES))
    return builder.build((last,))


def main() -> None:
    print("largest error against the network, and how many times smaller than post-training int8")
    for bits in (8, 6, 4):
        network = dense_network(bits, (16, 64, 32, 32, 5), seed=bits)
        x = np.random.default_rng(1).normal(size=(3000, 16))
        with tempfile.TemporaryDirectory() as folder:
            found = compare_with_post_training(network, x[:1000], x[1000:], Path(folder))
        rows = {
            "int8, reference kernels": found.exact_error, "int8, XNNPACK": found.default_error,
            "int16x8": found.wide_error, "int8, int16 result, XNNPACK": found.wide_result_error,
        }  # fmt: skip
        print(
            f"{bits}-bit weights: post-training int8 {found.post_training_error:.4f}, output LSB {found.output_lsb:.4f}"
        )
        for name, error in rows.items():
            print(f"  {name:28} {error:9.5f}  {found.times(error):8.1f} times smaller")


if __name__ == "__main__":
    main()
