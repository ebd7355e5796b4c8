"""The losses of several outputs: what Keras adds up and what our own gradients follow are one number."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.model import training
from toolchain.model.feeding import packed, targets
from toolchain.model.keras_graph import graph_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.prune.losses import mean_loss
from toolchain.prune.masked_training import MaskedTraining, Run, Teacher
from toolchain.results import Loss, OutputLoss, Part, Samples

LOSS: Loss = (
    OutputLoss(kind="binary_crossentropy", outputs=1),
    OutputLoss(kind="mse", outputs=2),
    OutputLoss(kind="categorical_crossentropy", outputs=3),
)


def part(count: int = 64) -> Part:
    random = np.random.default_rng(0)
    y = [random.integers(0, 2, (count, 1)), random.normal(size=(count, 2)), np.eye(3)[random.integers(0, 3, count)]]
    return Part(random.normal(size=(count, 4)), np.concatenate(y, axis=1), np.zeros(0), np.arange(count))


def test_the_sum_of_the_outputs_losses_is_keras_own() -> None:
    tf = load_tensorflow()
    layers = tf.keras.layers
    x = tf.keras.Input((4,), name="x")
    heads = [layers.Dense(size, name=f"head{size}")(x) for size in (1, 2, 3)]
    model, given = tf.keras.Model(x, heads), part()
    assert [one.shape[1] for one in targets(model, given.y)] == [1, 2, 3]
    plan = training.Training(epochs=1, batch_size=16, learning_rate=1e-2, loss=LOSS)
    training.compile_model(model, plan, len(given.x))
    found = training.validation_loss(model, given)
    outputs = training.predict(model, given.x)
    assert outputs.shape == (64, 6)
    y, computed = (tf.constant(values, tf.float32) for values in (given.y, outputs))
    assert float(mean_loss(LOSS, y, computed)) == pytest.approx(found, rel=1e-5)
    assert np.array_equal(packed(model(given.x.astype(np.float32))).numpy(), outputs.astype(np.float32))
    network = MaskedTraining(graph_of(model), Samples(given, given, given), LOSS, 16)
    before = network.loss(network.dense, given)
    assert before == pytest.approx(found, rel=1e-5)
    teacher = Teacher(network.outputs(network.dense, given.x), 0.5)
    after = network.train(network.dense, {}, Run(30, 3e-2, teacher=teacher))
    assert network.loss(after, given) < before
    slopes = network.gradients(network.dense)
    assert all(np.abs(slope).max() > 0 for slope in slopes.values())  # every head has its share of the loss
