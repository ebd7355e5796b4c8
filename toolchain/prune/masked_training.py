"""Training under masks: one compiled network, trained again and again from any weights.

Rounds of pruning train the same network many times. Here it is compiled once; weights, masks and the optimizer's state
are set for each run. A masked weight is zero after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from toolchain.model.feeding import feed, packed
from toolchain.model.graph import Array, Graph
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import Mask, kernel_variables, with_weights_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.prune.losses import by_output, mean_loss
from toolchain.results import Loss, Part, Samples

#: All weights of a network, in Keras' order.
Weights = list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Teacher:
    """A dense model's raw outputs on the training part, and how much they count (Hinton et al. 2015)."""

    outputs: Array
    share: float
    temperature: float = 2.0


@dataclass(frozen=True)
class Run:
    """One training run: fresh Adam, the learning rate falling to zero along half a cosine."""

    epochs: int
    learning_rate: float
    seed: int = 0
    keep_best: bool = True  # of the epochs, by the loss on the validation part; else the last
    teacher: Teacher | None = None
    each_epoch: Callable[[int, Weights], None] | None = None  # called with the number of epochs done


@dataclass(frozen=True, eq=False)
class Growth:
    """Masks that move while training: ``choose(step, weights, masks)`` makes them before each step in ``steps``.

    Steps count from 0; one that equals the number of all steps comes after the last. Of the epochs, none before
    ``first_resting_epoch`` is kept.
    """

    steps: range
    choose: Callable[[int, Weights, Mapping[str, Mask]], Mapping[str, Mask]]
    first_resting_epoch: int = 0


class MaskedTraining:
    """A graph compiled for training; ``weights`` of its layers go in and come out, nothing else is kept."""

    def __init__(self, graph: Graph, samples: Samples, loss: Loss, batch_size: int) -> None:
        self.tf = tf = load_tensorflow()
        self.graph, self.samples, self.loss_name = graph, samples, loss
        self.batch_size = min(batch_size, len(samples.train.x))
        self.model = build_keras(graph)
        self.variables: dict[str, Any] = kernel_variables(graph, self.model)
        self.dense: Weights = self.model.get_weights()
        self._masks = {key: tf.Variable(tf.ones_like(value), trainable=False) for key, value in self.variables.items()}
        self._optimizer = tf.keras.optimizers.Adam(1e-3)
        self._optimizer.build(self.model.trainable_variables)
        self._train = tuple(tf.constant(part, tf.float32) for part in (samples.train.x, samples.train.y))
        self._epoch = tf.function(self._epoch_steps, reduce_retracing=True)
        self._grads = tf.function(self._sum_gradients, reduce_retracing=True)
        self._call = tf.function(self._infer, reduce_retracing=True)

    def _infer(self, x: Any) -> Any:
        return packed(self.model(feed(self.model, x), training=False))

    def kernels(self, weights: Weights) -> dict[str, Array]:
        """The kernels among ``weights``, float64, by key."""
        self.model.set_weights(weights)
        return {key: variable.numpy().astype(np.float64) for key, variable in self.variables.items()}

    def graph_with(self, weights: Weights) -> Graph:
        """The graph with these weights."""
        self.model.set_weights(weights)
        return with_weights_of(self.graph, self.model)

    def masked(self, weights: Weights, masks: Mapping[str, Mask]) -> Weights:
        """``weights`` with the masked ones zero."""
        self.model.set_weights(weights)
        for key, mask in masks.items():
            self.variables[key].assign(self.variables[key] * mask.astype(np.float32))
        found: Weights = self.model.get_weights()
        return found

    def outputs(self, weights: Weights, x: Array) -> Array:
        """Raw outputs ``(samples, outputs)``."""
        self.model.set_weights(weights)
        parts = [np.asarray(self._call(x[i : i + 4096].astype(np.float32))) for i in range(0, len(x), 4096)]
        return np.concatenate(parts).astype(np.float64).reshape(len(x), -1)

    def loss(self, weights: Weights, part: Part) -> float:
        """The mean loss on a part of the samples."""
        outputs = self.outputs(weights, part.x).astype(np.float32)
        return float(self._loss(self.tf.constant(part.y, self.tf.float32), self.tf.constant(outputs)))

    def train(self, weights: Weights, masks: Mapping[str, Mask], run: Run) -> Weights:
        """Train from ``weights`` under ``masks`` (by kernel; others are free) and return the weights."""
        return self.train_growing(weights, masks, run, Growth(range(0), lambda step, found, old: old))[0]

    def train_growing(
        self, weights: Weights, masks: Mapping[str, Mask], run: Run, growth: Growth
    ) -> tuple[Weights, Mapping[str, Mask]]:
        """The same while the masks move, in one run: Adam's state and the learning rate's curve go on."""
        tf, x = self.tf, self._train[0]
        for variable in self._optimizer.variables:
            if "learning_rate" not in variable.name:
                variable.assign(tf.zeros_like(variable))
        self._set_masks(weights, masks)
        teacher = run.teacher or Teacher(self.samples.train.y, 0.0)
        taught = tf.constant(teacher.outputs, tf.float32)
        shares = tf.constant([teacher.share, teacher.temperature], tf.float32)
        order = np.random.default_rng(run.seed)
        steps = -(-len(x) // self.batch_size)
        best: Weights = self.model.get_weights()
        best_loss = np.inf
        for epoch in range(run.epochs):
            places = order.permutation(len(x))
            for first, last in _between(range(epoch * steps, (epoch + 1) * steps), growth.steps):
                if first in growth.steps:
                    weights = self.model.get_weights()
                    masks = growth.choose(first, weights, masks)
                    self._set_masks(weights, masks)
                batches = places[(first - epoch * steps) * self.batch_size : (last - epoch * steps) * self.batch_size]
                rate = tf.constant([run.learning_rate, first, run.epochs * steps], tf.float32)
                self._epoch(tf.constant(batches, tf.int32), taught, shares, rate)
            found = self.model.get_weights()
            loss = self.loss(found, self.samples.validation) if run.keep_best else -float(epoch)
            if epoch < growth.first_resting_epoch:
                best = found
            elif loss < best_loss or (growth.steps and epoch == growth.first_resting_epoch):
                best, best_loss = found, loss
            if run.each_epoch is not None:
                run.each_epoch(epoch + 1, found)
        if run.epochs * steps in growth.steps:
            masks = growth.choose(run.epochs * steps, best, masks)
            best = self.masked(best, masks)
        for key, kernel in self.kernels(best).items():
            assert key not in masks or not kernel[~masks[key]].any(), f"a pruned weight of {key} came back"
        return best, masks

    def _set_masks(self, weights: Weights, masks: Mapping[str, Mask]) -> None:
        for key, mask in self._masks.items():
            mask.assign(self.tf.cast(masks[key], self.tf.float32) if key in masks else self.tf.ones_like(mask))
        self.model.set_weights(self.masked(weights, masks))

    def gradients(self, weights: Weights, samples: int = 1024, one_by_one: bool = False) -> dict[str, Array]:
        """Mean gradient of the loss over up to ``samples`` training samples, by kernel; or mean squared, one by one."""
        self.model.set_weights(weights)
        x, y = self._train
        places = np.unique(np.linspace(0, len(x) - 1, min(samples, len(x))).astype(int))
        size = 1 if one_by_one else len(places)
        sums = self._grads(self.tf.gather(x, places), self.tf.gather(y, places), size, one_by_one)
        count = len(places) if one_by_one else 1
        return {
            key: np.asarray(total, dtype=np.float64) / count for key, total in zip(self.variables, sums, strict=True)
        }

    def _epoch_steps(self, places: Any, taught: Any, shares: Any, rate: Any) -> None:
        tf, trainable = self.tf, self.model.trainable_variables
        x, y = self._train
        for step in tf.range((tf.shape(places)[0] + self.batch_size - 1) // self.batch_size):
            batch = places[step * self.batch_size : (step + 1) * self.batch_size]
            with tf.GradientTape() as tape:
                outputs = packed(self.model(feed(self.model, tf.gather(x, batch)), training=True))
                loss = self._taught_loss(tf.gather(y, batch), outputs, tf.gather(taught, batch), shares)
            gradients = tape.gradient(loss, trainable)
            done = (rate[1] + tf.cast(step, tf.float32)) / rate[2]
            self._optimizer.learning_rate.assign(rate[0] * 0.5 * (1.0 + tf.cos(np.pi * done)))
            self._optimizer.apply_gradients(zip(gradients, trainable, strict=True))
            for key, mask in self._masks.items():
                self.variables[key].assign(self.variables[key] * mask)

    def _sum_gradients(self, x: Any, y: Any, size: int, squared: bool) -> list[Any]:
        tf = self.tf
        variables = list(self.variables.values())
        sums = [tf.zeros_like(variable) for variable in variables]
        for step in tf.range(tf.shape(x)[0] // size):
            with tf.GradientTape() as tape:
                found = x[step * size : (step + 1) * size]
                loss = self._loss(y[step * size : (step + 1) * size], self._infer(found))
            gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            sums = [total + (one * one if squared else one) for total, one in zip(sums, gradients, strict=True)]
        return sums

    def _loss(self, y: Any, outputs: Any) -> Any:
        return mean_loss(self.loss_name, y, outputs)

    def _taught_loss(self, y: Any, outputs: Any, taught: Any, shares: Any) -> Any:
        copied = self._copied(self.loss_name, taught, self.tf.reshape(outputs, self.tf.shape(y)), shares[1])
        return (1.0 - shares[0]) * self._loss(y, outputs) + shares[0] * copied

    def _copied(self, loss: Loss, taught: Any, outputs: Any, heat: Any) -> Any:
        """How far the outputs are from the teacher's; of several the sum."""
        if not isinstance(loss, str):
            parts = by_output(loss, taught, outputs)
            return self.tf.add_n([self._copied(kind, own[0], own[1], heat) for kind, own in parts])
        if loss == "mse":
            return mean_loss(loss, taught, outputs)
        soft = self.tf.sigmoid if loss == "binary_crossentropy" else self.tf.nn.softmax
        return mean_loss(loss, soft(taught / heat), outputs / heat) * heat * heat


def _between(whole: range, cuts: range) -> list[tuple[int, int]]:
    """``whole`` in pieces ``(first, behind the last)`` that begin at every number of ``cuts`` in it."""
    ends = [whole.start, *(cut for cut in cuts if whole.start < cut < whole.stop), whole.stop]
    return list(pairwise(ends))
