"""tf_keras and Keras 3 models to ``Chain`` and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.chain import Array, Chain, Link, Normalization, apply_link, forward
from toolchain.model.layer_rules import activation_name, check_layer
from toolchain.model.names import check_name, free_name
from toolchain.model.tensorflow import load_tensorflow

_KINDS = ("InputLayer", "Dense", "Conv1D", "ReLU", "Activation", "Flatten", "BatchNormalization", "Dropout")
#: Largest difference between two float32 evaluations of one model, relative to the size of the last layer's sums.
LARGEST_DIFFERENCE = 1e-6


def chain_of(model: Any, where: str = "model") -> Chain:
    """The chain of a Keras 2 or Keras 3 model in memory.

    Raises UnsupportedModelError for layers without an exact meaning, names that C++ cannot carry, weights that are not
    finite, or when the same layers in tf_keras predict anything else than the model (1e-6 of the last layer's sums).
    """
    layers = list(getattr(model, "layers", []))
    for layer in layers:
        kind, config = type(layer).__name__, _config_of(layer)
        for problem in check_layer(kind, config, f"{where}: layer '{layer.name}'"):
            raise problem
        if kind not in _KINDS or activation_name(config.get("activation")) not in ("", "relu"):
            raise UnsupportedModelError(f"{kind} is not pruned yet", where=f"{where}: layer '{layer.name}'")
    shape = _input_shape(model, where)
    taken: dict[str, str] = {}
    for layer in layers:
        if type(layer).__name__ != "InputLayer":
            taken[layer.name.lower()] = layer.name
    links = [link for layer in layers for link in _links_of(layer, taken, where)]
    if not any(link.has_kernel for link in links):
        raise UnsupportedModelError("has no Dense or Conv1D layer", where=where)
    chain = Chain(_input_name(model, taken), shape, tuple(links))
    _check_predictions(model, chain, where)
    return chain


def _config_of(layer: Any) -> dict[str, Any]:
    try:
        return {**layer.get_config(), "name": layer.name}
    except NotImplementedError:  # a custom layer without one: refused by its class
        return {"name": layer.name}


def _input_shape(model: Any, where: str) -> tuple[int, ...]:
    try:
        found, outputs = model.input_shape, model.output_shape
    except (AttributeError, ValueError):
        raise UnsupportedModelError(
            "has no input shape", where=where, hint="build the model, or begin it with keras.Input(shape)"
        ) from None
    if not isinstance(found, tuple) or not isinstance(outputs, tuple):
        raise UnsupportedModelError("has several inputs or outputs", where=where, allowed="one of each")
    if not 2 <= len(found) <= 3 or any(size is None for size in found[1:]):
        raise UnsupportedModelError(
            f"takes inputs of shape {found[1:]}", where=where, allowed="(features,) or (steps, channels), sizes fixed"
        )
    return tuple(int(size) for size in found[1:])


def _input_name(model: Any, taken: dict[str, str]) -> str:
    names = getattr(model, "input_names", None) or [""]
    wanted = str(names[0])
    return free_name(wanted if not check_name(wanted, {}, "") else "samples", taken)


def _links_of(layer: Any, taken: dict[str, str], where: str) -> list[Link]:
    kind, name = type(layer).__name__, layer.name
    weights = [np.asarray(w, dtype=np.float64) for w in layer.get_weights()]
    if any(not np.isfinite(w).all() for w in weights):
        raise UnsupportedModelError("has NaN or infinite weights", where=f"{where}: layer '{name}'")
    if kind == "InputLayer":
        return []
    if kind == "Dropout":
        return [Link("dropout", name, rate=float(layer.rate))]
    if kind == "Flatten":
        return [Link("flatten", name)]
    if kind == "ReLU":
        return [Link("relu", name)]
    if kind == "Activation":
        return [Link("relu", name)] if _is_relu(layer) else []
    if kind == "BatchNormalization":
        return [Link("batch_normalization", name, normalization=_normalization(layer, weights, where))]
    bias = weights[1] if len(weights) > 1 else None
    if kind == "Dense":
        link = Link("dense", name, weights[0], bias)
    else:
        stride, dilation = int(layer.strides[0]), int(layer.dilation_rate[0])
        link = Link("conv1d", name, weights[0], bias, stride, dilation, layer.padding)
    return [link, Link("relu", free_name(f"{name}_relu", taken))] if _is_relu(layer) else [link]


def _is_relu(layer: Any) -> bool:
    return getattr(layer.activation, "__name__", "") == "relu"


def _normalization(layer: Any, weights: list[Array], where: str) -> Normalization:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    rank = layer.input_spec.ndim
    if [axis % rank for axis in axes] != [rank - 1]:
        raise UnsupportedModelError(
            f"axis = {layer.axis} is not supported", where=f"{where}: layer '{layer.name}'", allowed="axis = -1"
        )
    rest = list(weights)
    size = len(rest[-1])
    gamma = rest.pop(0) if layer.scale else np.ones(size)
    beta = rest.pop(0) if layer.center else np.zeros(size)
    return Normalization(gamma, beta, rest[0], rest[1], float(layer.epsilon), float(layer.momentum))


def _check_predictions(model: Any, chain: Chain, where: str) -> None:
    """Compare the model, the chain in float64 and the chain rebuilt in tf_keras on random samples."""
    x = np.random.default_rng(0).normal(size=(64, *chain.input_shape)).astype(np.float32)
    try:
        expected = np.asarray(model(x, training=False), dtype=np.float64)
        rebuilt = np.asarray(build_keras(chain)(x, training=False), dtype=np.float64)
        exact = forward(chain, x.astype(np.float64))
    except (ValueError, TypeError, IndexError) as error:
        raise UnsupportedModelError(f"cannot be rebuilt layer by layer: {str(error)[:200]}", where=where) from None
    scale = max(_scale(chain, x.astype(np.float64)), 1e-30)
    for found in (rebuilt, exact):
        if expected.shape != found.shape or not np.abs(expected - found).max() <= LARGEST_DIFFERENCE * scale:
            raise UnsupportedModelError(
                "computes something else than its layers say; it was not converted", where=where,
                allowed=f"the same predictions to {LARGEST_DIFFERENCE:g} of the last layer's sums",
            )  # fmt: skip


def _scale(chain: Chain, x: Array) -> float:
    """The largest sum of magnitudes in the last Dense or Conv1D: what float rounding is proportional to."""
    last = max(place for place, link in enumerate(chain.links) if link.has_kernel)
    link = chain.links[last]
    assert link.kernel is not None
    inputs = np.abs(forward(replace(chain, links=chain.links[:last]), x))
    bias = None if link.bias is None else np.abs(link.bias)
    return float(apply_link(replace(link, kernel=np.abs(link.kernel), bias=bias), inputs).max())


def build_keras(chain: Chain) -> Any:
    """A tf_keras Sequential model with the chain's layers, names and weights."""
    keras = load_tensorflow().keras
    model = keras.Sequential([keras.Input(chain.input_shape, name=chain.input_name)])
    for link in chain.links:
        model.add(_layer_of(keras, link))
    for link in chain.links:
        weights = _weights_of(link)
        if weights:
            model.get_layer(link.name).set_weights([w.astype(np.float32) for w in weights])
    return model


def _weights_of(link: Link) -> list[Array]:
    if link.kernel is not None:
        return [link.kernel] if link.bias is None else [link.kernel, link.bias]
    if link.normalization is not None:
        learned = link.normalization
        return [learned.gamma, learned.beta, learned.mean, learned.variance]
    return []


def _layer_of(keras: Any, link: Link) -> Any:
    layers = keras.layers
    if link.kind == "relu":
        return layers.ReLU(name=link.name)
    if link.kind == "flatten":
        return layers.Flatten(name=link.name)
    if link.kind == "dropout":
        return layers.Dropout(link.rate, name=link.name)
    if link.normalization is not None:
        learned = link.normalization
        return layers.BatchNormalization(name=link.name, epsilon=learned.epsilon, momentum=learned.momentum)
    assert link.kernel is not None
    if link.kind == "dense":
        return layers.Dense(link.kernel.shape[1], name=link.name, use_bias=link.bias is not None)
    return layers.Conv1D(
        link.kernel.shape[2], link.kernel.shape[0], strides=link.stride, dilation_rate=link.dilation,
        padding=link.padding, name=link.name, use_bias=link.bias is not None,
    )  # fmt: skip
