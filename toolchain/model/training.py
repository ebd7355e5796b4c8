"""How float and QKeras models are trained: shared by the stages that change a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.model.feeding import feed, packed, targets
from toolchain.model.tensorflow import load_tensorflow
from toolchain.results import DataResult, Loss, LossName, OutputLoss, Part, Progress


@dataclass(frozen=True)
class Training:
    """How long and how fast to train. ``patience`` epochs without a better validation loss end it; 0: never."""

    epochs: int
    batch_size: int
    learning_rate: float
    loss: Loss
    weight_decay: float = 0.0
    patience: int = 0


def loss_for(task: str) -> LossName:
    """The loss of one output's task; classification losses take logits."""
    losses: dict[str, LossName] = {
        "regression": "mse", "binary": "binary_crossentropy", "multiclass": "categorical_crossentropy"
    }  # fmt: skip
    return losses[task]


def loss_of(data: DataResult) -> Loss:
    """The loss of the data's task; of several outputs, that of each."""
    if len(data.targets) > 1:
        return tuple(OutputLoss(kind=loss_for(port.task), outputs=port.outputs) for port in data.targets)
    return loss_for(data.task)


def compile_model(model: Any, training: Training, samples: int) -> None:
    """Compile a tf_keras model with a fresh Adam (AdamW with weight decay): no optimizer state is carried over.

    The learning rate falls to zero along half a cosine over the whole run (Loshchilov and Hutter 2017, one cycle).
    """
    keras = load_tensorflow().keras
    losses = {
        "mse": keras.losses.MeanSquaredError(),
        "binary_crossentropy": keras.losses.BinaryCrossentropy(from_logits=True),
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy(from_logits=True),
    }
    steps = max(1, training.epochs * -(-samples // training.batch_size))
    rate = keras.optimizers.schedules.CosineDecay(training.learning_rate, steps)
    if training.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=training.weight_decay)
    else:
        optimizer = keras.optimizers.Adam(rate)
    kinds = training.loss if isinstance(training.loss, str) else [part.kind for part in training.loss]
    model.compile(optimizer=optimizer, loss=losses[kinds] if isinstance(kinds, str) else [losses[k] for k in kinds])


def progress_callback(label: str, epochs: int, progress: Progress) -> Any:
    """A Keras callback that reports each finished epoch."""
    keras = load_tensorflow().keras
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(label, epoch + 1, epochs))


def fit(model: Any, train: Part, validation: Part, training: Training, callbacks: list[Any]) -> int:
    """Train a compiled tf_keras model in place; returns the number of epochs that were trained.

    Samples are shuffled within the training part only; the order follows the seed.
    """
    history = model.fit(
        *_pair(model, train), validation_data=_pair(model, validation),
        epochs=training.epochs, batch_size=training.batch_size, verbose=0, callbacks=callbacks,
    )  # fmt: skip
    return len(history.epoch)


def validation_loss(model: Any, validation: Part) -> float:
    """The loss of a compiled model on the validation part; of several outputs the sum of theirs."""
    x, y = _pair(model, validation)
    if not len(validation.y):
        return float("nan")
    return float(np.ravel(model.evaluate(x, y, verbose=0, batch_size=4096))[0])


def _pair(model: Any, part: Part) -> tuple[Any, Any]:
    return feed(model, part.x.astype(np.float32)), targets(model, part.y.astype(np.float32))


def predict(model: Any, x: np.ndarray) -> np.ndarray:
    """Outputs ``(samples, outputs)`` as float64."""
    found = packed(model.predict(feed(model, np.asarray(x, dtype=np.float32)), verbose=0, batch_size=4096))
    return np.asarray(found, dtype=np.float64).reshape(len(x), -1)


def best_after(first_epoch: int) -> Any:
    """A Keras callback that remembers the weights of the best validation loss from ``first_epoch`` on."""
    keras = load_tensorflow().keras

    class Best(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        loss = float("inf")
        weights: Any = None

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            loss = (logs or {}).get("val_loss", float("inf"))
            if epoch >= first_epoch and (self.weights is None or loss < self.loss):
                self.loss, self.weights = loss, self.model.get_weights()

        def restore(self, model: Any) -> None:
            if self.weights is not None:
                model.set_weights(self.weights)

    return Best()


def keep_zeros(kept: list[tuple[Any, np.ndarray]]) -> Any:
    """A Keras callback that sets the masked weights of TensorFlow variables to zero after every step."""
    keras = load_tensorflow().keras
    masked = [(variable, mask.astype(np.float32)) for variable, mask in kept]

    class KeepZeros(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            for variable, mask in masked:
                variable.assign(variable * mask)

    return KeepZeros()
