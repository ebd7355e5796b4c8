"""How much of the metric is kept: by the pruned model, and by the trained one when a single kernel is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.data.evaluation import evaluate, lower_is_better, relative_loss
from toolchain.model import training
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import Mask, kernel_variables, kernels_of
from toolchain.results import DataResult, Samples


@dataclass(frozen=True)
class Judge:
    """The task's metric on the validation part."""

    data: DataResult
    samples: Samples

    def metric(self, model: Any) -> float:
        """Of a Keras model."""
        part = self.samples.validation
        return evaluate(self.data, part, training.predict(model, part.x)).value

    def retention(self, before: float, after: float) -> float:
        """Accuracy after / before; of an error before / after. 1 is no loss."""
        loss = relative_loss(self.data.metric, before, after)
        return 1 / (1 + loss) if lower_is_better(self.data.metric) else 1 - loss

    def alone(self, trained: Graph, masks: Mapping[str, Mask]) -> dict[str, float]:
        """Retention of the trained model with the zeros of one kernel, for every kernel of ``masks``.

        Nothing is trained in between: it says which kernel's zeros cost most, not what fine-tuning wins back.
        """
        model = build_keras(trained)
        kernels, variables = kernels_of(trained), kernel_variables(trained, model)
        dense = self.metric(model)
        found = {}
        for key, mask in masks.items():
            variables[key].assign(kernels[key] * mask)
            found[key] = self.retention(dense, self.metric(model))
            variables[key].assign(kernels[key])
        return found
