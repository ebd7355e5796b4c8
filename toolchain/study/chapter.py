"""The chapter's study: pruning strategies side by side, and what inference takes of a trading system's time.

"Chapter 203: Pruning Trading Models": section 3 has the strategies, section 4.1 the latency budget of a system that
trades at high frequency. Its own budget for inference is kept beside the one found here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.data.evaluation import evaluate
from toolchain.data.samples import load
from toolchain.errors import ProjectError
from toolchain.network.constant_products import LUT_PER_DSP
from toolchain.pipeline import Request, run
from toolchain.preflight import check_one_output
from toolchain.project import load_project
from toolchain.results import DataResult, EstimateResult, Interval, PruneResult, QuantizeResult, Record
from toolchain.study.options import load_varied
from toolchain.study.outputs import integer_outputs
from toolchain.study.statistics import mean_over_seeds
from toolchain.target import load_target


def strategies(sparsity: float) -> dict[str, tuple[str, ...]]:
    """Settings by title; each removes about ``sparsity`` of the weights between hidden layers.

    Structured: of every hidden layer the units are cut so that units in times units out leave ``1 - sparsity``.
    """
    units = 1 - (1 - sparsity) ** 0.5
    single = f"prune.final_sparsity={sparsity}", "prune.structured_sparsity=0.0"
    return {
        "dense": ("prune.final_sparsity=0.0", "prune.structured_sparsity=0.0"),
        "one-shot": ("prune.strategy=one_shot", *single),
        "iterative": ("prune.strategy=iterative", *single),
        "lottery ticket": ("prune.strategy=lottery_ticket", *single),
        "gradual, cubic": ("prune.strategy=gradual", "prune.schedule=cubic", *single),
        "structured": (
            "prune.strategy=gradual", "prune.final_sparsity=0.0", f"prune.structured_sparsity={units:.4f}",
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class ChapterPlan:
    """What to compare."""

    project_file: Path
    seeds: tuple[int, ...]
    sparsity: float = 0.8
    target: str = "alveo_u250"
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """One strategy with one seed."""

    data: DataResult
    metric: float  # of the integers, on the test part
    sparsity: float
    compression: float
    mac_reduction: float
    lut_equivalent: float
    latency_ns: float


class StrategyRow(Record):
    """One strategy: means over the seeds."""

    name: str
    metric: Interval
    # the metric less the dense model's with the same seed; None for the dense model itself
    difference: Interval | None
    sparsity: float
    compression: float
    mac_reduction: float
    lut_equivalent: float
    latency_ns: float


class Share(Record):
    """Inference on one target within the budget; times in microseconds."""

    target: str
    title: str
    how: str  # estimated, measured, or why it is not known
    inference_us: Interval | None = None
    share: Interval | None = None  # of the whole way from market data to order
    fits: bool | None = None


class ChapterStudy(Record):
    """A finished study."""

    project: str
    source: str
    metric: str
    unit: str
    seeds: tuple[int, ...]
    samples: int
    target: str
    wanted_sparsity: float
    baselines: dict[str, float]
    rows: tuple[StrategyRow, ...]
    shares: tuple[Share, ...] = ()


def compare_strategies(plan: ChapterPlan, say: Callable[[str], None]) -> ChapterStudy:
    """Build every strategy with every seed up to its estimate; what was built is kept in ``build/study/store``.

    Raises ProjectError for a target without FPGA, and what the stages raise.
    """
    if load_target(plan.target).fpga is None:
        raise ProjectError("has no FPGA: nothing can be estimated", where=f"target {plan.target}")
    own = load_project(plan.project_file, plan.overrides)
    check_one_output(own, plan.project_file.parent, "toolchain study", "toolchain build")
    found = {
        name: [_build(plan, name, settings, seed, say) for seed in plan.seeds]
        for name, settings in strategies(plan.sparsity).items()
    }
    first = found["dense"][0].data
    return ChapterStudy(
        project=own.name, source=first.source, metric=first.metric,
        unit=first.unit, seeds=plan.seeds, samples=first.counts["test"], target=plan.target,
        wanted_sparsity=plan.sparsity, baselines=_baselines(first),
        rows=tuple(_row(name, trials, found["dense"]) for name, trials in found.items()),
    )  # fmt: skip


def _build(plan: ChapterPlan, name: str, settings: tuple[str, ...], seed: int, say: Callable[[str], None]) -> Trained:
    project = load_varied(plan.project_file, [*plan.overrides, *settings, f"seed={seed}"])
    folder = plan.project_file.parent.resolve()
    store = folder / "build" / "study" / "store"
    outcome = run(Request(project, folder, load_target(plan.target), until="estimate", store=store, shared=True))
    data, pruned = outcome.results["data"], outcome.results["prune"]
    quantized, estimate = outcome.results["quantize"], outcome.results["estimate"]
    assert isinstance(data, DataResult)
    assert isinstance(pruned, PruneResult)
    assert isinstance(quantized, QuantizeResult)
    assert isinstance(estimate, EstimateResult)
    assert pruned.measures is not None
    test = load(data).test
    value = evaluate(data, test, integer_outputs(quantized, test)).value
    say(f"{name}, seed {seed}: {data.metric} {value:.4g}, {pruned.sparsity:.1%} of the weights gone")
    return Trained(
        data, value, pruned.sparsity, pruned.measures.compression_ratio, pruned.measures.mac_reduction,
        estimate.lut.value + LUT_PER_DSP * estimate.dsp.value, estimate.latency_ns.value,
    )  # fmt: skip


def _baselines(data: DataResult) -> dict[str, float]:
    from toolchain.data.evaluation import baselines

    return {name: interval.value for name, interval in baselines(data, load(data)).items()}


def _row(name: str, trials: Sequence[Trained], dense: Sequence[Trained]) -> StrategyRow:
    def mean(field: str) -> float:
        return float(np.mean([getattr(trial, field) for trial in trials]))

    metrics, base = (np.array([trial.metric for trial in kind]) for kind in (trials, dense))
    return StrategyRow(
        name=name, metric=mean_over_seeds(metrics),
        difference=None if name == "dense" else mean_over_seeds(metrics - base), sparsity=mean("sparsity"),
        compression=mean("compression"), mac_reduction=mean("mac_reduction"),
        lut_equivalent=mean("lut_equivalent"), latency_ns=mean("latency_ns"),
    )  # fmt: skip
