"""The paper's study: a price forecast before and after pruning by weight magnitude, persistence beside them.

R. Esakiraja, "Enhancing CNN Efficiency for Time Series Forecasting: Pruning by Weight Magnitude": a CNN of one filter
layer and 120 neurons forecasts the next day's price from 14; of the hidden layer's kernel the weights with |w| above
the 35th percentile are kept. The paper has one training; here every figure has several, and a 95 % interval over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.pipeline import Request, run
from toolchain.project import Project
from toolchain.report.figures import LayerHistogram, read_weights
from toolchain.results import DataResult, FloatArray, Interval, ModelResult, Part, PruneResult, QuantizeResult, Record
from toolchain.study.options import load_varied
from toolchain.study.outputs import integer_outputs
from toolchain.study.scaling import SIZES, Measured, measure
from toolchain.study.statistics import mean_over_seeds
from toolchain.target import load_target

#: The paper's rule; what ``--set`` gives comes after it.
SETTINGS = ("prune.strategy=one_shot", "prune.percentile=35", "prune.structured_sparsity=0.0")
ORIGINAL, COMPACT, TUNED, INTEGERS = "original", "compact", "compact, fine-tuned", "compact, integers"
PERSISTENCE = "persistence"


class Errors(Record):
    """Of one forecast, in the price's unit; ``r2`` is 1 - MSE / variance of the test part's prices."""

    mse: float
    rmse: float
    mae: float
    r2: float


class PaperRow(Record):
    """One forecaster: means over the seeds with Student's 95 % interval, and every seed's own."""

    name: str
    meaning: str
    mean: dict[str, Interval]  # mse, rmse, mae, r2; without an interval for what has no seed
    by_seed: tuple[Errors, ...]


class PaperStudy(Record):
    """A finished study."""

    project: str
    source: str
    unit: str
    seeds: tuple[int, ...]
    samples: int  # of the test part
    period: str
    kernel: str  # the pruned one
    weights: int  # of it
    kept: float  # mean over the seeds: not zero in the compact model
    rows: tuple[PaperRow, ...]
    # the compact model's squared error less the original's, over the seeds
    difference: Interval
    difference_tuned: Interval
    scaling: tuple[Measured, ...] = ()


@dataclass(frozen=True, eq=False)
class PaperTrial:
    """One seed: forecasts ``(samples,)`` of the test part by forecaster, in the price's unit."""

    seed: int
    data: DataResult
    test: Part
    truth: FloatArray
    forecasts: dict[str, FloatArray]
    weights: LayerHistogram
    folders: dict[str, Path]  # of the stages train, prune, quantize


def build_trials(
    project_file: Path, overrides: Sequence[str], seeds: Sequence[int], target: str, say: Callable[[str], None]
) -> list[PaperTrial]:
    """Train, prune and quantize with every seed; what was built is kept in ``build/study/store``.

    Raises ProjectError for another task than price_forecast, and what the stages raise.
    """
    trials = []
    for seed in seeds:
        project = load_varied(project_file, [*SETTINGS, *overrides, f"seed={seed}"])
        if project.data.task != "price_forecast" or project.prune.percentile is None:
            raise ProjectError(
                "the paper's study forecasts prices and prunes by a percentile", where="study paper",
                allowed='data.task = "price_forecast" and prune.percentile', hint="toolchain study paper spx_forecast",
            )  # fmt: skip
        trial = _trial(project, project_file.parent.resolve(), target)
        trials.append(trial)
        say(f"seed {seed}: " + ", ".join(
            f"{name} MSE {errors_of(forecast, trial.truth).mse:.4g}" for name, forecast in trial.forecasts.items()
        ))  # fmt: skip
    return trials


def _trial(project: Project, folder: Path, target: str) -> PaperTrial:
    from toolchain.data.samples import load

    store = folder / "build" / "study" / "store"
    outcome = run(Request(project, folder, load_target(target), until="quantize", store=store, shared=True))
    data, trained = outcome.results["data"], outcome.results["train"]
    pruned, quantized = outcome.results["prune"], outcome.results["quantize"]
    assert isinstance(data, DataResult)
    assert isinstance(trained, ModelResult)
    assert isinstance(pruned, PruneResult)
    assert isinstance(quantized, QuantizeResult)
    test = load(data).test
    assert project.prune.percentile is not None
    outputs = {
        ORIGINAL: np.load(trained.folder / "predictions.npy"),
        COMPACT: _without_small_weights(trained, pruned, project.prune.percentile, test),
        TUNED: np.load(pruned.folder / "predictions.npy"),
        INTEGERS: integer_outputs(quantized, test),
        PERSISTENCE: test.reference.reshape(-1, 1),
    }
    layer = _pruned_kernel(trained, pruned)
    weights = read_weights(trained.folder / "weights.npz", pruned.folder / "weights.npz")
    return PaperTrial(
        project.seed, data, test, test.y[:, 0] * data.y_scale + data.y_offset,
        {name: found[:, 0] * data.y_scale + data.y_offset for name, found in outputs.items()},
        next(item for item in weights if item.name == layer),
        {"train": trained.folder, "prune": pruned.folder, "quantize": quantized.folder},
    )  # fmt: skip


def _pruned_kernel(trained: ModelResult, pruned: PruneResult) -> str:
    """The largest kernel that pruning has touched."""
    before = {layer.name: layer.zeros for layer in trained.layers}
    touched = [layer for layer in pruned.layers if layer.zeros > before.get(layer.name, layer.zeros)]
    if not touched:
        raise UnsupportedModelError("nothing was pruned", where="[prune]", hint="a percentile above 0")
    return max(touched, key=lambda layer: layer.weights).name


def _without_small_weights(trained: ModelResult, pruned: PruneResult, percentile: float, test: Part) -> FloatArray:
    """The paper's own compact model: small weights set to zero, no training afterwards, biases as they were."""
    from toolchain.model.keras_graph import build_keras, load_graph
    from toolchain.model.kernels import kernels_of, with_kernels
    from toolchain.model.training import predict
    from toolchain.prune.criteria import percentile as rule

    graph = load_graph(trained.folder / "model.keras")
    name = _pruned_kernel(trained, pruned)
    kernel = kernels_of(graph)[name]
    changed = with_kernels(graph, {name: np.where(rule.kept(kernel, percentile), kernel, 0).astype(kernel.dtype)})
    return predict(build_keras(changed), test.x)


def measure_trial(trial: PaperTrial, say: Callable[[str], None]) -> tuple[Measured, ...]:
    """Time and memory of one seed's models. Raises ExternalToolError."""
    models = {
        ORIGINAL: trial.folders["train"] / "model.keras",
        COMPACT: trial.folders["prune"] / "model.keras",
        INTEGERS: trial.folders["quantize"] / "network.fpn",
    }
    return measure(models, trial.test.x, SIZES, say)


def errors_of(forecast: FloatArray, truth: FloatArray) -> Errors:
    """Of ``forecast (samples,)`` against ``truth (samples,)``."""
    squares = (forecast - truth) ** 2
    mse = float(squares.mean())
    spread = float(((truth - truth.mean()) ** 2).mean())
    return Errors(
        mse=mse, rmse=mse**0.5, mae=float(np.abs(forecast - truth).mean()),
        r2=1 - mse / spread if spread else float("nan"),
    )  # fmt: skip


_MEANINGS = {
    ORIGINAL: "the float model as trained",
    COMPACT: "its small weights set to zero, nothing else: the paper's compact model",
    TUNED: "the same, trained a little further with the zeros held",
    INTEGERS: "that model quantized: the integers that the hardware computes",
    PERSISTENCE: "no model: tomorrow's price is today's",
}


def summarize(project: str, trials: Sequence[PaperTrial], scaling: Sequence[Measured] = ()) -> PaperStudy:
    """The study's figures over all seeds."""
    first = trials[0]
    found = {name: [errors_of(trial.forecasts[name], trial.truth) for trial in trials] for name in _MEANINGS}
    after: NDArray[np.float64] = np.array([np.count_nonzero(trial.weights.after) for trial in trials], dtype=np.float64)
    return PaperStudy(
        project=project, source=first.data.source, unit=first.data.unit, seeds=tuple(trial.seed for trial in trials),
        samples=len(first.truth), period=f"{first.data.first_test_time} to {first.data.last_test_time}",
        kernel=first.weights.name, weights=first.weights.before.size, kept=float(after.mean()),
        rows=tuple(_row(name, errors) for name, errors in found.items()),
        difference=_difference(found[COMPACT], found[ORIGINAL]),
        difference_tuned=_difference(found[TUNED], found[ORIGINAL]), scaling=tuple(scaling),
    )  # fmt: skip


def _difference(after: Sequence[Errors], before: Sequence[Errors]) -> Interval:
    return mean_over_seeds(np.array([last.mse - first.mse for last, first in zip(after, before, strict=True)]))


def _row(name: str, errors: Sequence[Errors]) -> PaperRow:
    if name == PERSISTENCE:
        errors = errors[:1]
        mean = {metric: Interval(value=value, low=value, high=value) for metric, value in errors[0]}
    else:
        mean = {
            metric: mean_over_seeds(np.array([getattr(item, metric) for item in errors]))
            for metric in Errors.model_fields
        }
    return PaperRow(name=name, meaning=_MEANINGS[name], mean=mean, by_seed=tuple(errors))
