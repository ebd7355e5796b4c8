"""tf_keras and Keras 3 models to ``Chain`` and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.chain import Chain, Link, forward
from toolchain.model.inspect import SUPPORTED, check_layers, check_name, read_keras_file
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr


def load_chain(path: Path, allow_custom_code: bool = False) -> Chain:
    """The chain in a Keras 2 or Keras 3 file, its predictions checked against the model that wrote it.

    Raises UnsupportedModelError; no code of the file runs unless ``allow_custom_code``.
    """
    file = read_keras_file(path, allow_custom_code)
    for problem in check_layers(file):
        raise problem
    tf = load_tensorflow()
    try:
        with quiet_stderr():
            if file.version >= 3:
                import keras

                model = keras.models.load_model(path, compile=False, safe_mode=not allow_custom_code)
            else:
                model = tf.keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise UnsupportedModelError(f"cannot be loaded: {str(error)[:300]}", where=str(path)) from None
    return chain_of(model, str(path))


def chain_of(model: Any, where: str = "model") -> Chain:
    """The chain of a Keras 2 or Keras 3 model in memory.

    Raises UnsupportedModelError for layers without an exact meaning, NaN weights, or when the chain's predictions
    differ from the model's by more than 1e-5 of their scale.
    """
    links: list[Link] = []
    seen: dict[str, str] = {}
    for layer in model.layers:
        for problem in check_name(layer.name, seen, f"{where}: layer '{layer.name}'"):
            raise problem
        links += _links_of(layer, where)
    shape = tuple(int(n) for n in model.input_shape[1:]) if not isinstance(model.input_shape, list) else ()
    if not shape or isinstance(model.output_shape, list):
        raise UnsupportedModelError("has several inputs or outputs", where=where, allowed="one of each")
    names = getattr(model, "input_names", None) or ["x"]
    name = names[0] if not check_name(names[0], dict(seen), "") else "x"
    chain = Chain(name if name not in seen else f"{name}_port", shape, tuple(links))
    _check_predictions(model, chain, where)
    return chain


def _links_of(layer: Any, where: str) -> list[Link]:
    kind, name = type(layer).__name__, layer.name
    weights = [np.asarray(w, dtype=np.float64) for w in layer.get_weights()]
    if any(not np.isfinite(w).all() for w in weights):
        raise UnsupportedModelError("has NaN or infinite weights", where=f"{where}: layer '{name}'")
    if kind in ("InputLayer", "Dropout"):
        return []
    if kind == "Flatten":
        return [Link("flatten", name)]
    if kind == "ReLU":
        return [Link("relu", name)]
    if kind == "Activation":
        return _activation(layer, name, where)
    if kind == "BatchNormalization":
        return [_batch_normalization(layer, weights)]
    bias = weights[1] if len(weights) > 1 else None
    if kind == "Dense":
        return [Link("dense", name, weights[0], bias), *_activation(layer, f"{name}_relu", where)]
    if kind == "Conv1D":
        stride, dilation = int(layer.strides[0]), int(layer.dilation_rate[0])
        link = Link("conv1d", name, weights[0], bias, stride, dilation, layer.padding)
        return [link, *_activation(layer, f"{name}_relu", where)]
    raise UnsupportedModelError(
        f"{kind} is not supported", where=f"{where}: layer '{name}'", allowed=", ".join(SUPPORTED)
    )


def _activation(layer: Any, name: str, where: str) -> list[Link]:
    function = getattr(layer.activation, "__name__", str(layer.activation))
    if function == "linear":
        return []
    if function == "relu":
        return [Link("relu", name)]
    raise UnsupportedModelError(
        f"activation {function!r} is not supported", where=f"{where}: layer '{layer.name}'", allowed="relu, linear",
        hint="train on the logits: leave a final sigmoid or softmax out of the model",
    )  # fmt: skip


def _batch_normalization(layer: Any, weights: list[Any]) -> Link:
    rest = list(weights)
    size = len(rest[-1])
    gamma = rest.pop(0) if layer.scale else np.ones(size)
    beta = rest.pop(0) if layer.center else np.zeros(size)
    mean, variance = rest
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return Link("batch_normalization", layer.name, scale=scale, shift=beta - mean * scale)


def _check_predictions(model: Any, chain: Chain, where: str) -> None:
    x = np.random.default_rng(0).normal(size=(64, *chain.input_shape))
    expected = np.asarray(model(x.astype(np.float32), training=False), dtype=np.float64)
    found = forward(chain, x.astype(np.float32).astype(np.float64))
    scale = max(float(np.abs(expected).max()), 1e-3)
    if expected.shape != found.shape or float(np.abs(expected - found).max()) > 1e-5 * scale:
        raise UnsupportedModelError(
            "computes something else than its layers say; it was not converted", where=where,
            hint="please report this model",
        )  # fmt: skip


def build_keras(chain: Chain) -> Any:
    """A tf_keras Sequential model with the chain's layers, names and weights."""
    keras = load_tensorflow().keras
    model = keras.Sequential([keras.Input(chain.input_shape, name=chain.input_name)])
    for link in chain.links:
        model.add(_layer_of(keras, link))
    for link in chain.links:
        if link.kernel is not None:
            weights = [link.kernel] if link.bias is None else [link.kernel, link.bias]
            model.get_layer(link.name).set_weights([w.astype(np.float32) for w in weights])
        elif link.scale is not None and link.shift is not None:
            unit = [np.zeros_like(link.scale), np.ones_like(link.scale)]
            model.get_layer(link.name).set_weights([link.scale, link.shift, *unit])
    return model


def _layer_of(keras: Any, link: Link) -> Any:
    layers = keras.layers
    if link.kind == "relu":
        return layers.ReLU(name=link.name)
    if link.kind == "flatten":
        return layers.Flatten(name=link.name)
    if link.kind == "batch_normalization":
        return layers.BatchNormalization(name=link.name, epsilon=0.0)
    assert link.kernel is not None
    if link.kind == "dense":
        return layers.Dense(link.kernel.shape[1], name=link.name, use_bias=link.bias is not None)
    return layers.Conv1D(
        link.kernel.shape[2], link.kernel.shape[0], strides=link.stride, dilation_rate=link.dilation,
        padding=link.padding, name=link.name, use_bias=link.bias is not None,
    )  # fmt: skip
