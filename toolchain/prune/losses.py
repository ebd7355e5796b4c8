"""The losses of training as plain functions of raw outputs, for gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toolchain.model.tensorflow import load_tensorflow
from toolchain.results import Loss, LossName, OutputLoss


def by_output(loss: tuple[OutputLoss, ...], *arrays: Any) -> Iterator[tuple[LossName, list[Any]]]:
    """The loss of each output, and the columns of every array ``(samples, outputs)`` that are its own."""
    first = 0
    for part in loss:
        yield part.kind, [array[:, first : first + part.outputs] for array in arrays]
        first += part.outputs


def mean_loss(name: Loss, y: Any, outputs: Any) -> Any:
    """The mean loss over a batch of tensors ``(samples, outputs)``; classification losses take logits. Those of several
    outputs are added up."""
    tf = load_tensorflow()
    outputs = tf.reshape(outputs, tf.shape(y))
    if not isinstance(name, str):
        return tf.add_n([mean_loss(kind, *parts) for kind, parts in by_output(name, y, outputs)])
    if name == "mse":
        return tf.reduce_mean(tf.square(y - outputs))
    if name == "binary_crossentropy":
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, outputs))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, outputs))
