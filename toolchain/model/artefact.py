"""How a trained model is kept, and how it is trained: shared by the stages that change a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toolchain.model.chain import Chain
from toolchain.model.tensorflow import load_tensorflow
from toolchain.results import DataResult, LayerWeights, Part, Progress

Loss = Literal["mse", "binary_crossentropy", "categorical_crossentropy"]


@dataclass(frozen=True)
class Training:
    """How long and how fast to train."""

    epochs: int
    batch_size: int
    learning_rate: float
    loss: Loss
    weight_decay: float = 0.0
    patience: int = 0


def loss_for(task: str) -> Loss:
    """The loss of a task; classification losses take logits."""
    losses: dict[str, Loss] = {"regression": "mse", "binary": "binary_crossentropy"}
    return losses.get(task, "categorical_crossentropy")


def compile_model(model: Any, training: Training) -> None:
    """Compile a tf_keras model with a fresh Adam (AdamW with weight decay): no optimizer state is carried over."""
    keras = load_tensorflow().keras
    losses = {
        "mse": keras.losses.MeanSquaredError(),
        "binary_crossentropy": keras.losses.BinaryCrossentropy(from_logits=True),
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy(from_logits=True),
    }
    if training.weight_decay:
        optimizer = keras.optimizers.AdamW(training.learning_rate, weight_decay=training.weight_decay)
    else:
        optimizer = keras.optimizers.Adam(training.learning_rate)
    model.compile(optimizer=optimizer, loss=losses[training.loss])


def progress_callback(label: str, epochs: int, progress: Progress) -> Any:
    """A Keras callback that reports each finished epoch."""
    keras = load_tensorflow().keras
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(label, epoch + 1, epochs))


def fit(model: Any, train: Part, validation: Part, training: Training, callbacks: list[Any]) -> float:
    """Train a compiled tf_keras model in place; returns the last validation loss.

    Samples are shuffled within the training part only; the order follows the seed.
    """
    history = model.fit(
        train.x.astype(np.float32), train.y.astype(np.float32), validation_data=_pair(validation),
        epochs=training.epochs, batch_size=training.batch_size, verbose=0, callbacks=callbacks,
    )  # fmt: skip
    losses = history.history.get("val_loss") or [float("nan")]
    return float(losses[-1])


def validation_loss(model: Any, validation: Part) -> float:
    """The loss of a compiled model on the validation part."""
    x, y = _pair(validation)
    return float(model.evaluate(x, y, verbose=0, batch_size=4096)) if len(x) else float("nan")


def _pair(part: Part) -> tuple[Any, Any]:
    return part.x.astype(np.float32), part.y.astype(np.float32)


def predict(model: Any, x: np.ndarray) -> np.ndarray:
    """Outputs ``(samples, outputs)`` as float64."""
    found = model.predict(np.asarray(x, dtype=np.float32), verbose=0, batch_size=4096)
    return np.asarray(found, dtype=np.float64).reshape(len(x), -1)


def count_layers(chain: Chain) -> tuple[LayerWeights, ...]:
    """Shapes and zeros of every kernel."""
    return tuple(
        LayerWeights(
            name=link.name, kind=link.kind, shape=tuple(link.kernel.shape),
            parameters=int(link.kernel.size + (0 if link.bias is None else link.bias.size)),
            weights=int(link.kernel.size), zeros=int(np.count_nonzero(link.kernel == 0)),
        )
        for link in chain.links
        if link.kernel is not None
    )  # fmt: skip


def save(model: Any, chain: Chain, data: DataResult, test: Part, folder: Path) -> None:
    """Write ``model.keras``, ``weights.npz`` (kernels by layer name) and ``predictions.npy`` (test part)."""
    model.save(folder / "model.keras")
    kernels = {link.name: link.kernel for link in chain.links if link.kernel is not None}
    np.savez(folder / "weights.npz", **kernels)
    outputs = predict(model, test.x)
    assert outputs.shape == (len(test.x), data.outputs)
    np.save(folder / "predictions.npy", outputs)


def load_model(folder: Path) -> Any:
    """The tf_keras model that ``save`` wrote."""
    return load_tensorflow().keras.models.load_model(folder / "model.keras", compile=False)
