"""How a trained model is kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.model.graph import Graph
from toolchain.model.keras_graph import load_keras
from toolchain.model.kernels import bias_of, kernels_of
from toolchain.model.training import predict
from toolchain.results import DataResult, LayerWeights, Part


def count_layers(graph: Graph) -> tuple[LayerWeights, ...]:
    """Shapes and zeros of every kernel."""
    counted = []
    for key, kernel in kernels_of(graph).items():
        layer = graph.layers[key.split("/")[0]]
        bias = bias_of(layer)
        counted.append(
            LayerWeights(
                name=key, kind=layer.kind, shape=tuple(kernel.shape),
                parameters=int(kernel.size + (0 if bias is None else bias.size)),
                weights=int(kernel.size), zeros=int(np.count_nonzero(kernel == 0)),
            )
        )  # fmt: skip
    return tuple(counted)


def save(model: Any, graph: Graph, data: DataResult, test: Part, folder: Path) -> None:
    """Write ``model.keras``, ``weights.npz`` (kernels by layer name) and ``predictions.npy`` (test part)."""
    model.save(folder / "model.keras")
    kernels: dict[str, Any] = {key.replace("/", "."): kernel for key, kernel in kernels_of(graph).items()}
    np.savez(folder / "weights.npz", **kernels)
    outputs = predict(model, test.x)
    assert outputs.shape == (len(test.x), data.outputs)
    np.save(folder / "predictions.npy", outputs)


def load_model(folder: Path) -> Any:
    """The tf_keras model that ``save`` wrote."""
    return load_keras(folder / "model.keras")
