"""How a trained model is kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.model.chain import Chain
from toolchain.model.tensorflow import load_tensorflow
from toolchain.model.training import predict
from toolchain.results import DataResult, LayerWeights, Part


def count_layers(chain: Chain) -> tuple[LayerWeights, ...]:
    """Shapes and zeros of every kernel."""
    return tuple(
        LayerWeights(
            name=link.name, kind=link.kind, shape=tuple(link.kernel.shape),
            parameters=int(link.kernel.size + (0 if link.bias is None else link.bias.size)),
            weights=int(link.kernel.size), zeros=int(np.count_nonzero(link.kernel == 0)),
        )
        for link in chain.links
        if link.kernel is not None
    )  # fmt: skip


def save(model: Any, chain: Chain, data: DataResult, test: Part, folder: Path) -> None:
    """Write ``model.keras``, ``weights.npz`` (kernels by layer name) and ``predictions.npy`` (test part)."""
    model.save(folder / "model.keras")
    kernels: dict[str, Any] = {link.name: link.kernel for link in chain.links if link.kernel is not None}
    np.savez(folder / "weights.npz", **kernels)
    outputs = predict(model, test.x)
    assert outputs.shape == (len(test.x), data.outputs)
    np.save(folder / "predictions.npy", outputs)


def load_model(folder: Path) -> Any:
    """The tf_keras model that ``save`` wrote."""
    return load_tensorflow().keras.models.load_model(folder / "model.keras", compile=False)
