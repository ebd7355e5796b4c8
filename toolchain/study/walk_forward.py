"""Dense against compressed, walking forward through a table with several seeds, baselines beside them.

Every fold and seed is one build up to its estimate, through the same pipeline as any other; what was built is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.data.evaluation import evaluate
from toolchain.data.samples import load
from toolchain.errors import UnsupportedModelError
from toolchain.pipeline import Request, run
from toolchain.preflight import check_one_output
from toolchain.project import Project, load_project
from toolchain.results import DataResult, EstimateResult, FloatArray, ModelResult, Part, QuantizeResult, Samples
from toolchain.study.folds import Fold, folds_of
from toolchain.study.outputs import integer_outputs
from toolchain.study.statistics import terciles
from toolchain.target import load_target

REGIMES = ("calm", "middle", "wild")


@dataclass(frozen=True)
class Plan:
    """What to study."""

    project_file: Path
    folds: int = 4
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    target: str = "alveo_u250"
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Trial:
    """One fold with one seed. Arrays are over the fold's test part, in order of time."""

    fold: Fold
    seed: int
    data: DataResult
    part: Part
    dense: FloatArray  # the float model's outputs
    compressed: FloatArray  # the integer network's outputs
    baselines: dict[str, FloatArray]
    regime: NDArray[np.int64]  # 0, 1, 2: see REGIMES
    dense_products: int  # non-zero weights: multipliers when each has its own
    compressed_products: int
    estimate: EstimateResult


def walk(plan: Plan, say: Callable[[str], None]) -> list[Trial]:
    """Build every fold with every seed. Raises ToolchainError."""
    project = load_project(plan.project_file, plan.overrides)
    check_one_output(project, plan.project_file.parent, "toolchain study", "toolchain build")
    rows = _rows(project, plan.project_file.parent)
    trials = []
    for fold in folds_of(rows, plan.folds, project.data):
        for seed in plan.seeds:
            trial = _trial(plan, fold, seed)
            trials.append(trial)
            dense, compressed = (
                evaluate(trial.data, trial.part, found).value for found in (trial.dense, trial.compressed)
            )
            say(
                f"fold {fold.number + 1}/{plan.folds} seed {seed}: {trial.data.metric} dense {dense:.4g}, "
                f"compressed {compressed:.4g}, baselines "
                + ", ".join(
                    f"{evaluate(trial.data, trial.part, found).value:.4g}" for found in trial.baselines.values()
                )
            )
    return trials


def _trial(plan: Plan, fold: Fold, seed: int) -> Trial:
    chosen = [f"data.first_row={fold.first_row}", f"data.last_row={fold.last_row}", f"seed={seed}"]
    project = load_project(plan.project_file, [*plan.overrides, *chosen])
    folder = plan.project_file.parent.resolve()
    store = folder / "build" / "study" / "store"
    request = Request(project, folder, load_target(plan.target), until="estimate", store=store, shared=True)
    outcome = run(request)
    data, trained = outcome.get("data", DataResult), outcome.get("train", ModelResult)
    quantized, estimate = outcome.get("quantize", QuantizeResult), outcome.get("estimate", EstimateResult)
    if data is None or trained is None or quantized is None or estimate is None:
        raise UnsupportedModelError("has no FPGA: nothing can be estimated", where=f"target {plan.target}")
    samples = load(data)
    dense = np.load(trained.folder / "predictions.npy")
    return Trial(
        fold, seed, data, samples.test, dense, integer_outputs(quantized, samples.test),
        _baselines(data, samples), terciles(volatility(data, samples.test), volatility(data, samples.train)),
        _products(trained), _products(quantized), estimate,
    )  # fmt: skip


def volatility(data: DataResult, part: Part) -> FloatArray:
    """``(samples,)``: deviation of the returns in each sample's own window, known before its label.

    Directions: of the feature ``return``, in its standardised unit; prices: of the price's relative changes.
    """
    returns = [place for place, name in enumerate(data.feature_names) if name.startswith("return[")]
    if returns:
        return np.asarray(part.x[:, returns].std(axis=1))
    price = part.x.reshape(len(part.x), -1) * data.y_scale + data.y_offset
    return np.asarray((price[:, 1:] / price[:, :-1] - 1).std(axis=1))


def _baselines(data: DataResult, samples: Samples) -> dict[str, FloatArray]:
    """Outputs of what needs no model, in the form of the model's."""
    shape = samples.test.y.shape
    reference = samples.test.reference.reshape(-1, 1)
    if data.task == "regression":
        return {"persistence": np.broadcast_to(reference, shape)} if len(reference) else {}
    if data.task == "multiclass":
        share = samples.train.y.mean(axis=0)
        return {"majority class": np.broadcast_to(share, shape)}
    found = {"majority class": np.full(shape, 1.0 if samples.train.y.mean() > 0.5 else -1.0)}
    if len(reference):
        last = np.where(reference > 0.5, 1.0, -1.0)
        found |= {"last direction": last, "reversal of the last direction": -last}
    return found


def _products(model: ModelResult) -> int:
    return sum(layer.weights - layer.zeros for layer in model.layers)


def _rows(project: Project, folder: Path) -> int:
    from toolchain.data.sources import read_table, sp500_file

    path = sp500_file() if project.data.source == "sp500" else folder / project.data.path
    if project.data.source == "python":
        from toolchain.data.python_function import call

        table = call(project.data, folder).table
        if table is not None:
            return len(table)
    if project.data.source in ("npz", "npy", "python"):
        raise UnsupportedModelError(
            "ready samples cannot be walked through",
            where="[data] source",
            allowed="a table: csv, parquet, sp500, a function that returns one",
        )
    return len(read_table(path, project.data.source))
