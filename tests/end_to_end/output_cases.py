"""A foreign Keras 3 model of two outputs, and arrays for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from port_cases import project_table

from toolchain.model.tensorflow import load_tensorflow

SAMPLES, TRAIN = 250, 200
PARTS = {"train": slice(TRAIN), "test": slice(TRAIN, None)}


def model(price: int = 2, softmax: bool = False) -> Any:
    """One trunk, two heads; the outputs do not stand in the order of their names."""
    load_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    x = keras.Input((6, 2), name="window")
    trunk = keras.layers.Conv1D(4, 3, activation="relu", name="conv")(x)
    trunk = keras.layers.Dense(8, activation="relu", name="trunk")(keras.layers.Flatten(name="flat")(trunk))
    side = keras.layers.Dense(5, activation="relu", name="side")(trunk)
    first = keras.layers.Dense(price, activation="softmax" if softmax else None, name="price")(trunk)
    second = keras.layers.Dense(1, activation="sigmoid" if softmax else None, name="depth")(side)
    return keras.Model(x, [first, second])


def inputs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SAMPLES, 6, 2))


def targets() -> dict[str, np.ndarray]:
    x = inputs()
    return {"price": np.stack([x[:, :, 0].sum(axis=1), x[:, 0, 1]], axis=1), "depth": x[:, :3, 1].sum(axis=1)}


def classes() -> dict[str, np.ndarray]:
    x = inputs()
    return {"price": np.digitize(x[:, :, 0].sum(axis=1), [-1, 1]), "depth": (x[:, :3, 1].sum(axis=1) > 0).astype(int)}


def save(folder: Path, y: dict[str, np.ndarray]) -> None:
    named = {f"y_{part}.{name}": values[rows] for name, values in y.items() for part, rows in PARTS.items()}
    np.savez(folder / "data.npz", x_train=inputs()[:TRAIN], x_test=inputs()[TRAIN:], **named)


def project(folder: Path, made: Any = None, **sections: Any) -> dict[str, Any]:
    (made or model()).save(folder / "model.keras")
    save(folder, targets())
    return project_table(**sections)
