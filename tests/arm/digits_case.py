"""A Conv2D project on scikit-learn's 8 x 8 digits: convolutions, both poolings, Dense, trained, pruned, quantized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.model.tensorflow import load_tensorflow
from toolchain.pipeline import Outcome, Request, run
from toolchain.project import parse_project
from toolchain.target import load_target


def digits_outcome(folder: Path, bits: int, kinds: tuple[str, ...] = ("float32", "int8")) -> Outcome:
    """Everything up to the ARM runs, at ``bits``-bit weights, half of them pruned."""
    digits = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed").load_digits()
    x, y = digits.images[..., None] / 16.0, digits.target
    np.savez(folder / "data.npz", x_train=x[:1300], y_train=y[:1300], x_test=x[1300:], y_test=y[1300:])
    layers = load_tensorflow().keras.layers
    load_tensorflow().keras.utils.set_random_seed(0)
    model = load_tensorflow().keras.Sequential([
        load_tensorflow().keras.Input((8, 8, 1), name="x"),
        layers.Conv2D(8, 3, padding="same", name="conv"), layers.ReLU(name="conv_act"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(16, 3, padding="same", name="deep"), layers.ReLU(name="deep_act"),
        layers.AveragePooling2D(2, name="mean"), layers.ReLU(name="mean_act"),
        layers.Flatten(name="flat"), layers.Dense(10, name="logits"),
    ])  # fmt: skip
    model.save(folder / "model.keras")
    table: dict[str, Any] = {
        "name": "digits", "data": {"source": "npz", "path": "data.npz", "task": "classification"},
        "model": {"file": "model.keras"}, "train": {"epochs": 20, "batch_size": 64, "learning_rate": 3e-3},
        "prune": {"final_sparsity": 0.5, "skip": ["conv", "logits"], "epochs": 8},
        "quantize": {"weight_bits": bits, "activation_bits": 8, "input_bits": 8, "epochs": 4},
        "tflite": {"kinds": list(kinds)},
    }  # fmt: skip
    target = load_target("raspberry_pi_4")
    return run(Request(parse_project(table, "digits"), folder, target, "tflite", verify_on_arm=True))
