"""A user's model file as a graph: no code of the file runs, and the predictions are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model.graph import Graph
from toolchain.model.inspect import KerasFile, read_keras_file
from toolchain.model.keras_graph import graph_of, qkeras_objects
from toolchain.model.layer_rules import check_wiring
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr
from toolchain.model.wiring import read_wiring


def load_model_file(path: Path, weights: Path | None = None, allow_custom_code: bool = False) -> Graph:
    """The graph in a Keras 2, QKeras or Keras 3 file, its predictions checked against the model that Keras loads.

    ``weights`` is the weights file that belongs to a ``.json``. Raises ProjectError for a missing file,
    UnsupportedModelError for what has no exact meaning; no code of the file runs unless ``allow_custom_code``.
    """
    file = read_keras_file(path, allow_custom_code)
    for problem in check_wiring(file.wiring, str(path)):
        raise problem
    if (path.suffix == ".json") != (weights is not None):
        raise ProjectError(
            "needs the weights beside it" if weights is None else "a weights file goes with a .json file",
            where=f"[model] file: {path}", hint="[model] weights = 'model.weights.h5'",
        )  # fmt: skip
    try:
        with quiet_stderr():
            model = _load(file, weights, allow_custom_code)
    except (ValueError, TypeError, OSError, KeyError, AttributeError) as error:
        raise UnsupportedModelError(f"cannot be loaded: {str(error)[:300]}", where=str(path)) from None
    return graph_of(model, str(path))


def checked_graph(model: Any, where: str = "model") -> Graph:
    """The graph of a model in memory; raises as ``load_model_file``."""
    graph = graph_of(model, where)
    for problem in check_wiring(read_wiring(type(model).__name__, model.get_config(), where), where):
        raise problem
    return graph


def _load(file: KerasFile, weights: Path | None, allow_custom_code: bool) -> Any:
    tf = load_tensorflow()
    if file.version >= 3:
        import keras

        if weights is None:
            return keras.models.load_model(file.path, compile=False, safe_mode=not allow_custom_code)
        model = keras.models.model_from_json(json.dumps(file.config))
        model.load_weights(weights)
        return model
    quantized = any(kind.startswith("Q") for kind, _ in file.layers)
    with tf.keras.utils.custom_object_scope(qkeras_objects() if quantized else {}):
        if weights is None:
            return tf.keras.models.load_model(file.path, compile=False)
        model = tf.keras.models.model_from_json(json.dumps(file.config))
        model.load_weights(weights)
        return model
