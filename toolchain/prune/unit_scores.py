"""How much each neuron, filter, recurrent unit and head matters, by the criterion that ``[prune]`` names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import ProjectError
from toolchain.model.feeding import feed, packed
from toolchain.model.graph import Array, Graph, Tensor
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import kernels_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network.constant_products import weight_lut_equivalents
from toolchain.project import PruneSection
from toolchain.prune.criteria import activation, batch_norm, hardware, redundancy, taylor
from toolchain.prune.losses import mean_loss
from toolchain.prune.scoring import operands
from toolchain.prune.surgery import Tracing, unit_norms
from toolchain.prune.surgery.importance import makers
from toolchain.results import Loss, Part

#: Training samples whose activations are looked at, and whose gradients are taken one by one.
_ACTIVATIONS, _GRADIENTS = 1024, 256


@dataclass(frozen=True, eq=False)
class Evidence:
    """What units are judged by: the training part, the loss, and the model with its BatchNormalizations."""

    train: Part
    loss: Loss
    unfolded: Graph

    def places(self, most: int) -> Array:
        """The indices of at most ``most`` samples, spread over the part."""
        return np.unique(np.linspace(0, len(self.train.x) - 1, min(most, len(self.train.x))).astype(int))


def unit_scores(
    tracing: Tracing, section: PruneSection, evidence: Evidence, needed: Collection[str]
) -> dict[str, Array]:
    """The importance of the units of every layer (or ``layer/heads``) in ``needed``, ``(units,)`` each.

    Raises ProjectError for a layer that the criterion says nothing of: BatchNormalization scales where none follows,
    activations of a head, which no tensor holds.
    """
    graph, criterion = tracing.graph, section.criterion
    if criterion in ("l1", "l2"):
        found = unit_norms(tracing, "l1" if criterion == "l1" else "l2")
    elif criterion == "batch_norm":
        found = _scales(evidence.unfolded)
    elif criterion in ("taylor", "hardware"):
        found = _taylor(tracing, evidence, needed)
        if criterion == "hardware":
            found = {space: values / _costs(tracing, space, section) for space, values in found.items()}
    else:
        rule = activation.importance if criterion == "activation" else redundancy.importance
        found = {name: rule(values) for name, values in _activations(graph, evidence, needed).items()}
    for space in sorted(needed):
        if space not in found or len(found[space]) != len(tracing.spaces[space]):
            raise ProjectError(
                f"the units of '{space}' have no score by '{criterion}'", where="[prune] criterion",
                allowed="l1, l2, taylor, hardware for every layer; batch_norm where a BatchNormalization follows "
                "directly; activation, redundancy for all but heads",
                hint=f"another criterion, or skip = ['{space.split('/')[0]}']",
            )  # fmt: skip
    return {space: found[space] for space in needed}


def _scales(graph: Graph) -> dict[str, Array]:
    return {
        call.inputs[0].layer: batch_norm.importance(layer.weights["gamma"])
        for call, layer, _ in graph.walk()
        if layer.kind.removeprefix("Q") == "BatchNormalization" and "gamma" in layer.weights
    }


def _activations(graph: Graph, evidence: Evidence, needed: Collection[str]) -> dict[str, Array]:
    """What each layer's units give, ``(samples, ..., units)``: behind the activation where one follows alone."""
    model = build_keras(graph)
    outputs: dict[str, Any] = {}
    for _, layer, out in graph.walk():
        if layer.name in needed and out.call == 0:
            place = _behind_activation(graph, out)
            given = model.get_layer(place.layer).get_output_at(place.call)
            outputs[layer.name] = given[0] if isinstance(given, (list, tuple)) else given
    if not outputs:
        return {}
    x = evidence.train.x[evidence.places(_ACTIVATIONS)].astype(np.float32)
    found = load_tensorflow().keras.Model(model.inputs, outputs).predict(feed(model, x), verbose=0)
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}


def _behind_activation(graph: Graph, out: Tensor) -> Tensor:
    readers = graph.readers(out)
    if len(readers) == 1 and graph.layers[readers[0][0].layer].kind in ("ReLU", "Activation", "QActivation"):
        return readers[0][1]
    return out


def _taylor(tracing: Tracing, evidence: Evidence, needed: Collection[str]) -> dict[str, Array]:
    """Mean over samples of ``|sum w dL/dw|`` over a unit's own weights and biases.

    For a linear unit and a ReLU that sum is ``sum a dL/da`` over its positions (Molchanov et al. 2017); said in
    weights it is there for recurrent units and heads too (Molchanov et al. 2019).
    """
    tf = load_tensorflow()
    graph = tracing.graph
    model = build_keras(graph)
    made = [(space, binding) for space in needed for binding in makers(tracing, space)]
    variables = [
        model.get_layer(binding.layer).weights[list(graph.layers[binding.layer].weights).index(binding.weight)]
        for _, binding in made
    ]

    def sums(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = mean_loss(evidence.loss, y, packed(model(feed(model, x), training=False)))
        slopes = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [
            tf.reduce_sum(variable * slope, axis=[axis for axis in range(len(variable.shape)) if axis != binding.axis])
            for (_, binding), variable, slope in zip(made, variables, slopes, strict=True)
        ]

    compiled = tf.function(sums)
    places = evidence.places(_GRADIENTS)
    found = {space: np.zeros((len(places), len(tracing.spaces[space]))) for space in needed}
    for row, place in enumerate(places):
        x, y = (tf.constant(values[place : place + 1], tf.float32) for values in (evidence.train.x, evidence.train.y))
        for (space, binding), values in zip(made, compiled(x, y), strict=True):
            np.add.at(found[space][row], np.searchsorted(tracing.spaces[space], binding.labels), values.numpy())
    return {space: taylor.summed_importance(values) for space, values in found.items()}


def _costs(tracing: Tracing, space: str, section: PruneSection) -> Array:
    """Look-up-table equivalents of the kernel weights that make a unit and of those that read it, ``(units,)``."""
    labels = tracing.spaces[space]
    kernels = kernels_of(tracing.graph)
    total = np.zeros(len(labels))
    for binding in tracing.record.bindings.values():
        key = binding.layer if binding.layer in kernels else f"{binding.layer}/{binding.weight}"
        shape = tracing.graph.layers[binding.layer].weights[binding.weight].shape
        if key not in kernels or kernels[key].shape != shape or binding.role == "carries":
            continue
        words = hardware.words(kernels[key], section.hardware_bits)
        cost = weight_lut_equivalents(words, operands(kernels[key], section.hardware_bits))
        rows = np.moveaxis(cost, binding.axis, 0).reshape(len(binding.labels), -1).sum(axis=1)
        mine = np.isin(binding.labels, labels)
        np.add.at(total, np.searchsorted(labels, binding.labels[mine]), rows[mine])
    return np.maximum(total, 1.0)
