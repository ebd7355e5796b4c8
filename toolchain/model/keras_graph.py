"""tf_keras and Keras 3 models to ``Graph`` and back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Array, Graph, Layer, Tensor, map_tensors
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr
from toolchain.model.wiring import WiredLayer, read_wiring

#: Largest difference between a model and what was rebuilt from its layers, relative to its largest output.
LARGEST_DIFFERENCE = 1e-6
#: … or this many times the rounding error of float32 that the rebuilt model itself shows.
ROUNDING_ERRORS = 4.0


def graph_of(model: Any, where: str = "model") -> Graph:
    """The graph of a Keras 2, QKeras or Keras 3 model in memory, which is left as it is.

    Raises UnsupportedModelError for a subclassed model, weights that are not finite, layers that tf_keras does not
    know, or when the same layers in tf_keras predict anything else than the model does.
    """
    return graph_and_twin(model, where)[0]


def graph_and_twin(model: Any, where: str = "model") -> tuple[Graph, Any]:
    """The same, and the model rebuilt in tf_keras from the graph that was compared with it."""
    kind = type(model).__name__
    if not hasattr(model, "get_config") or kind not in ("Sequential", "Functional", "Model"):
        raise UnsupportedModelError(
            f"is a {kind}", where=where, allowed="a Sequential or functional Keras model",
            hint="a subclassed model has no layer list: rebuild it with the functional API",
        )  # fmt: skip
    if not getattr(model, "inputs", None):
        raise UnsupportedModelError(
            "has no input shape", where=where, hint="build the model, or begin it with keras.Input(shape)"
        )
    wiring = read_wiring(kind, model.get_config(), where)
    shapes = dict(zip(wiring.inputs, model.inputs, strict=True))
    layers = {name: _layer(model, layer, shapes, where) for name, layer in wiring.layers.items()}
    numbered = Graph(str(model.name), layers, tuple(wiring.calls), wiring.inputs, wiring.outputs)
    graph, rebuilt = _named_weights(numbered, where)
    check_predictions(model, graph, where, rebuilt)
    return graph, rebuilt


def load_graph(path: Path) -> Graph:
    """The graph of a tf_keras or QKeras file that this package wrote."""
    return graph_of(load_keras(path), str(path))


def load_keras(path: Path) -> Any:
    """A tf_keras model from a file, QKeras' layers known."""
    keras = load_tensorflow().keras
    with keras.utils.custom_object_scope(qkeras_objects()), quiet_stderr():
        return keras.models.load_model(path, compile=False)


def build_keras(graph: Graph, dtype: str = "float32") -> Any:
    """A tf_keras functional model with the graph's layers, names and weights. Raises UnsupportedModelError."""
    keras = load_tensorflow().keras
    made = {name: _make(layer, dtype) for name, layer in graph.layers.items() if layer.kind != "InputLayer"}
    values: dict[tuple[str, int], Any] = {}

    def value_of(tensor: Tensor) -> Any:
        found = values[tensor.layer, tensor.call]
        return found[tensor.index] if isinstance(found, (list, tuple)) else found

    for call, layer, out in graph.walk():
        if layer.kind == "InputLayer":
            kind = layer.config.get("dtype") or "float32"
            kind = dtype if str(kind).startswith("float") else kind
            values[out.layer, out.call] = keras.Input(layer.config["shape"], name=layer.name, dtype=kind)
            continue
        arguments, keywords = map_tensors(call.arguments, value_of), map_tensors(dict(call.keywords), value_of)
        try:
            values[out.layer, out.call] = made[call.layer](*arguments, **keywords)
        except (ValueError, TypeError, IndexError) as error:
            raise UnsupportedModelError(
                f"cannot be rebuilt: {str(error)[-200:]}", where=f"layer '{layer.name}'"
            ) from None
    inputs = [values[name, 0] for name in graph.inputs]
    outputs = [value_of(tensor) for tensor in graph.outputs]
    model = keras.Model(inputs, outputs[0] if len(outputs) == 1 else outputs, name=_model_name(graph.name))
    for name, layer in made.items():
        weights = graph.layers[name].weights
        if weights:
            layer.set_weights(list(weights.values()))
    return model


def output_shapes(graph: Graph) -> dict[Tensor, tuple[int | None, ...]]:
    """The shape, without the sample axis, of every call's first output."""
    model = build_keras(graph)
    shapes = {}
    for _, layer, out in graph.walk():
        shape = model.get_layer(layer.name).get_output_shape_at(out.call)
        while isinstance(shape, list) or (isinstance(shape, tuple) and shape and isinstance(shape[0], tuple)):
            shape = shape[0]
        shapes[out] = tuple(shape[1:])
    return shapes


def random_inputs(graph: Graph, samples: int = 64, seed: int = 0) -> list[np.ndarray]:
    """Inputs to try a model with: normal values, or indices that its Embedding layers allow."""
    random = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    for name in graph.inputs:
        shape = tuple(8 if size is None else int(size) for size in graph.layers[name].config["shape"])
        indices = [
            int(graph.layers[call.layer].config["input_dim"]) for call, _ in graph.readers(Tensor(name))
            if graph.layers[call.layer].kind in ("Embedding", "QEmbedding")
        ]  # fmt: skip
        if indices:
            found.append(random.integers(0, min(indices), size=(samples, *shape)))
        else:
            found.append(random.normal(size=(samples, *shape)).astype(np.float32))
    return found


def call_model(model: Any, inputs: list[np.ndarray]) -> list[Array]:
    """A Keras model's outputs at inference, as float64."""
    found = model(inputs[0] if len(inputs) == 1 else inputs, training=False)
    if isinstance(found, Mapping):
        found = list(found.values())
    found = found if isinstance(found, (list, tuple)) else [found]
    return [np.asarray(value, dtype=np.float64) for value in found]


def check_predictions(model: Any, graph: Graph, where: str, rebuilt: Any = None) -> None:
    """Refuse a model that predicts anything else than its layers rebuilt in tf_keras (UnsupportedModelError).

    ``rebuilt`` are these layers where they were built already.

    Both are tried on random samples. The difference must stay below ``LARGEST_DIFFERENCE`` of the largest output, or
    below ``ROUNDING_ERRORS`` times float32's own error, measured against the rebuilt model in float64.
    """
    inputs = random_inputs(graph)
    try:
        expected = call_model(model, inputs)
        found = call_model(build_keras(graph) if rebuilt is None else rebuilt, inputs)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise UnsupportedModelError(f"cannot be rebuilt layer by layer: {str(error)[:200]}", where=where) from None
    exact: list[Array] | None = None
    for place, (one, other) in enumerate(zip(expected, found, strict=True)):
        same = one.shape == other.shape
        largest = max(float(np.abs(one).max(initial=0)), 1e-30)
        if same and np.abs(one - other).max(initial=0) <= LARGEST_DIFFERENCE * largest:
            continue
        if same and not _quantized(graph):
            exact = exact or call_model(build_keras(graph, "float64"), inputs)
            noise = float(np.abs(other - exact[place]).max(initial=0))
            if np.abs(one - other).max(initial=0) <= ROUNDING_ERRORS * noise and noise <= 1e-3 * largest:
                continue
        raise UnsupportedModelError(
            "computes something else than its layers say; it was not converted", where=where,
            allowed=f"the same predictions to {LARGEST_DIFFERENCE:g} of the largest output",
        )  # fmt: skip


def _quantized(graph: Graph) -> bool:
    return any(layer.kind in qkeras_objects() for layer in graph.layers.values())


@cache
def qkeras_objects() -> dict[str, Any]:
    """QKeras' layers and quantizers by class name."""
    tf = load_tensorflow()
    from qkeras import qrecurrent
    from qkeras.utils import _add_supported_quantized_objects

    # TensorFlow 2.21 has these under other names; without them QSimpleRNN and QGRU cannot be called
    qrecurrent.nest = SimpleNamespace(is_sequence=tf.nest.is_nested)
    qrecurrent.array_ops = SimpleNamespace(split=tf.split, unstack=tf.unstack)
    found: dict[str, Any] = {}
    _add_supported_quantized_objects(found)

    plain = found["QActivation"]

    class Activation(plain):  # type: ignore[misc, valid-type]
        """Its own ``from_config`` leaves the quantizer of a ``.keras`` file as a table."""

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            given = config["activation"]
            if isinstance(given, Mapping):
                given = found[given["class_name"]].from_config(dict(given["config"]))
            return plain(**{**config, "activation": given})

    found["QActivation"] = Activation
    return found


def _layer_class(kind: str) -> Any:
    keras = load_tensorflow().keras
    return getattr(keras.layers, kind, None) or (qkeras_objects().get(kind) if kind.startswith("Q") else None)


def _make(layer: Layer, dtype: str) -> Any:
    keras = load_tensorflow().keras
    known = _layer_class(layer.kind)
    if known is None:
        raise UnsupportedModelError(f"{layer.kind} is not a layer of tf_keras or QKeras", where=f"layer '{layer.name}'")
    config = {**layer.config, "name": layer.name}
    if dtype != "float32":
        config["dtype"] = dtype
        inner = config.get("layer")  # the layer within TimeDistributed or Bidirectional
        if isinstance(inner, Mapping) and isinstance(inner.get("config"), Mapping):
            config["layer"] = {**inner, "config": {**inner["config"], "dtype": dtype}}
    try:
        with keras.utils.custom_object_scope(qkeras_objects() if layer.kind.startswith("Q") else {}):
            return known.from_config(config)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnsupportedModelError(
            f"{layer.kind} cannot be rebuilt from its configuration: {str(error)[-200:]}", where=f"layer '{layer.name}'"
        ) from None


def _layer(model: Any, wired: WiredLayer, inputs: Mapping[str, Any], where: str) -> Layer:
    place = f"{where}: layer '{wired.name}'"
    if wired.kind == "InputLayer":
        tensor = inputs[wired.name]
        kind = getattr(tensor.dtype, "name", tensor.dtype)
        return Layer(wired.name, wired.kind, {"shape": tuple(tensor.shape[1:]), "dtype": str(kind)})
    if wired.operation:
        return Layer(wired.name, wired.kind, wired.config)
    owner = model
    for name in wired.path:
        owner = owner.get_layer(name)
    weights = [np.asarray(weight, dtype=np.float64) for weight in owner.get_weights()]
    if any(not np.isfinite(weight).all() for weight in weights):
        raise UnsupportedModelError("has NaN or infinite weights", where=place)
    foreign = not type(owner).__module__.startswith(("tf_keras", "qkeras"))
    config = _translated(wired, place) if foreign else {**owner.get_config(), "name": wired.name}
    config.pop("batch_input_shape", None)
    return Layer(wired.name, wired.kind, config, {str(i): weight for i, weight in enumerate(weights)})


def _translated(wired: WiredLayer, where: str) -> dict[str, Any]:
    """A Keras 3 configuration in tf_keras' spelling."""
    known = _layer_class(wired.kind)
    if known is None:
        raise UnsupportedModelError(f"{wired.kind} is not a layer of tf_keras or QKeras", where=where)
    if wired.kind in ("TimeDistributed", "Bidirectional"):
        return _translated_wrapper(wired, where)
    allowed = {"name", "trainable", "dtype"}
    for base in known.__mro__:
        if "__init__" in vars(base):
            allowed |= set(inspect.signature(base.__init__).parameters)
    # initializers differ between the two, and weights are set anyway
    kept = {key for key in allowed - {"self", "kwargs"} if not key.endswith("_initializer")}
    config = {key: _plain(value) for key, value in wired.config.items() if key in kept}
    if wired.kind == "MultiHeadAttention":
        config |= {"query_shape": None, "key_shape": None, "value_shape": None}  # what tf_keras' from_config asks for
    return {**config, "name": wired.name}


def _translated_wrapper(wired: WiredLayer, where: str) -> dict[str, Any]:
    config = {key: wired.config[key] for key in ("merge_mode", "trainable") if key in wired.config}
    for key in ("layer", "backward_layer"):
        inner = wired.config.get(key)
        if isinstance(inner, Mapping):
            inside = WiredLayer(str(inner["config"]["name"]), str(inner["class_name"]), inner["config"], ())
            config[key] = {"class_name": inside.kind, "config": _translated(inside, where)}
    return {**config, "name": wired.name}


def _plain(value: Any) -> Any:
    """A serialized dtype policy is its name; all else stays."""
    if isinstance(value, Mapping):
        if value.get("class_name") in ("DTypePolicy", "Policy"):
            return value["config"]["name"]
        if "class_name" in value and "config" in value:  # tf_keras' older spelling has neither module nor registration
            return {"class_name": value["class_name"], "config": _plain(value["config"])}
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _named_weights(graph: Graph, where: str) -> tuple[Graph, Any]:
    """The graph with tf_keras' weight names instead of numbers, and its model."""
    blank = Graph(
        graph.name, {name: Layer(name, layer.kind, layer.config) for name, layer in graph.layers.items()},
        graph.calls, graph.inputs, graph.outputs,
    )  # fmt: skip
    model = build_keras(blank)
    named = []
    for layer in graph.layers.values():
        found = model.get_layer(layer.name).weights
        values = list(layer.weights.values())
        if [tuple(variable.shape) for variable in found] != [value.shape for value in values]:
            raise UnsupportedModelError(
                f"{layer.kind} has weights of shapes {[value.shape for value in values]}, tf_keras' has "
                f"{[tuple(variable.shape) for variable in found]}", where=f"{where}: layer '{layer.name}'",
            )  # fmt: skip
        names = [_weight_name(variable.name, layer.name) for variable in found]
        if len(set(names)) < len(names):
            names = [f"{name}_{place}" for place, name in enumerate(names)]
        named.append(Layer(layer.name, layer.kind, layer.config, dict(zip(names, values, strict=True))))
    for layer in named:
        if layer.weights:
            model.get_layer(layer.name).set_weights(list(layer.weights.values()))
    return graph.with_layers(*named), model


def _weight_name(name: str, layer: str) -> str:
    """``dense/kernel:0`` is ``kernel``; ``lstm/lstm_cell/kernel:0`` is ``lstm_cell/kernel``."""
    parts = name.split(":")[0].split("/")
    if layer in parts:
        parts = parts[len(parts) - parts[::-1].index(layer) :]
    return "/".join(parts)


def _model_name(name: str) -> str:
    return name if name.isidentifier() else "model"


__all__ = [
    "build_keras", "call_model", "check_predictions", "graph_and_twin", "graph_of", "load_graph", "load_keras",
    "output_shapes", "random_inputs",
]  # fmt: skip
