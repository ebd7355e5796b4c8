"""Small models, files and data for the tests of the model stage."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data.samples import save
from toolchain.results import DataResult, Part, Samples


def write_data(folder: Path, shape: tuple[int, ...] = (6, 2), task: str = "regression", count: int = 96) -> DataResult:
    """Samples of a smooth function, with their record; ``task`` "noise": a regression that can only be overfitted."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    noise, task = task == "noise", "regression" if task == "noise" else task

    def part(size: int) -> Part:
        x = rng.normal(size=(size, *shape))
        y = x.reshape(size, -1).sum(axis=1, keepdims=True) / 4 + 0.25
        y = rng.normal(size=y.shape) if noise else y
        return Part(x, y if task == "regression" else (y > 0).astype(float), y[:, 0], np.arange(size))

    samples = Samples(part(count), part(count // 2), part(count // 2))
    result = DataResult(
        source="made", task=task, metric="rmse" if task == "regression" else "accuracy", unit="", input_shape=shape,
        outputs=1, feature_names=("x",), y_scale=1.0, y_offset=0.0,
        counts={"train": count, "validation": count // 2, "test": count // 2}, first_test_time="0", last_test_time="1",
        sha256=save(samples, folder),
    )  # fmt: skip
    result.at(folder)
    return result


def sequential(keras: Any, shape: tuple[int, ...] = (6, 2)) -> Any:
    """Conv1D, BatchNormalization before and after ReLU, Dropout, Flatten, Dense; its statistics are not trivial."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape, name="samples"),
            layers.Conv1D(3, 3, padding="causal", name="conv"),
            layers.BatchNormalization(name="norm1", epsilon=0.05, momentum=0.9),
            layers.ReLU(name="relu"),
            layers.BatchNormalization(name="norm2", center=False),
            layers.Dropout(0.2, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(4, activation="relu", use_bias=False, name="hidden"),
            layers.Dense(1, name="out"),
        ]
    )
    randomize(model)
    return model


def functional(keras: Any) -> Any:
    """A chain in the functional API, with Keras' own layer names."""
    layers = keras.layers
    x = port = keras.Input((5,), name="port")
    x = layers.Dense(4, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-4))(x)
    x = layers.Activation("linear")(x)
    x = layers.Dense(3)(x)
    x = layers.Activation("relu")(x)
    x = layers.Dense(2)(x)
    model = keras.Model(port, x)
    randomize(model)
    return model


def randomize(model: Any) -> None:
    """Weights far from their initial values; variances stay positive."""
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(size=w.shape)) * 0.5 + 0.1 for w in model.get_weights()])
    for layer in model.layers:
        if type(layer).__name__ in ("Dense", "Conv1D"):
            layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])


def config_of(*layers: dict[str, Any]) -> dict[str, Any]:
    """A Keras 3 Sequential configuration."""
    port = {
        "class_name": "InputLayer",
        "module": "keras.layers",
        "config": {"name": "samples", "batch_shape": [None, 4]},
    }
    return {"class_name": "Sequential", "module": "keras", "config": {"name": "m", "layers": [port, *layers]}}


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """One layer of a configuration."""
    return {"class_name": kind, "module": "keras.layers", "config": {"name": kind.lower(), **config}}


def write_zip(path: Path, config: Any, version: str = "3.5.0") -> Path:
    """A .keras file without weights."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
    return path
