"""The losses of training as plain functions of raw outputs, for gradients."""

from __future__ import annotations

from typing import Any

from toolchain.model.tensorflow import load_tensorflow
from toolchain.model.training import Loss


def mean_loss(name: Loss, y: Any, outputs: Any) -> Any:
    """The mean loss over a batch of tensors; classification losses take logits."""
    tf = load_tensorflow()
    outputs = tf.reshape(outputs, tf.shape(y))
    if name == "mse":
        return tf.reduce_mean(tf.square(y - outputs))
    if name == "binary_crossentropy":
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, outputs))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, outputs))
