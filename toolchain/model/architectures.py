"""The reference architectures of ``hls_projects/``."""

from __future__ import annotations

from typing import Any

from toolchain.errors import ProjectError
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import ModelSection
from toolchain.results import DataResult


def build(section: ModelSection, data: DataResult) -> Any:
    """An untrained tf_keras model for the data's shapes. Raises ProjectError when the data do not suit it."""
    if len(data.inputs) > 1:
        raise ProjectError(
            f"has one input, the data have {len(data.inputs)}: {', '.join(port.name for port in data.inputs)}",
            where=f"[model] architecture = '{section.architecture}'", hint="[model] file with a model of that many",
        )  # fmt: skip
    keras = load_tensorflow().keras
    layers = keras.layers
    if section.architecture == "spx_cnn":
        if len(data.input_shape) != 2:
            raise ProjectError(
                f"needs samples of shape (steps, channels), the data give {data.input_shape}",
                where="[model] architecture = 'spx_cnn'", hint="[data] task = 'price_forecast'",
            )  # fmt: skip
        model = [
            layers.Conv1D(5, 1, name="conv"),
            layers.ReLU(name="conv_relu"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, name="hidden"),
            layers.ReLU(name="hidden_relu"),
            layers.Dense(data.outputs, name="forecast"),
        ]
    else:
        if len(data.input_shape) != 1:
            raise ProjectError(
                f"needs flat samples, the data give {data.input_shape}", where="[model] architecture = 'btc_mlp'"
            )
        model = []
        for number, width in enumerate((64, 32, 32), start=1):
            model += [layers.Dense(width, name=f"hidden{number}"), layers.ReLU(name=f"hidden{number}_relu")]
        model += [layers.Dense(data.outputs, name="logit")]
    if section.final_relu:
        model += [layers.ReLU(name="final_relu")]
    return keras.Sequential([keras.Input(data.input_shape, name="samples"), *model])
