"""One design of a sweep: built up to its integers and its estimate, no compiler needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from toolchain.errors import ToolchainError
from toolchain.pipeline import Request, run
from toolchain.project import load_project
from toolchain.results import DataResult, EstimateResult, Part, QuantizeResult
from toolchain.sweep.axes import overrides
from toolchain.target import load_target

#: What a sweep can be about, and which direction is better; the direction of ``accuracy`` is the task metric's.
OBJECTIVES = (
    "accuracy", "lut_equivalent", "dsp", "lut", "ff", "bram_18k", "latency_ns", "initiation_interval", "parameters",
)  # fmt: skip


class Design(BaseModel):
    """What a sweep knows of one design. ``metrics`` has every objective, and the task metric on the test part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    settings: dict[str, Any]
    state: Literal["complete", "failed"]
    metrics: dict[str, float] = {}
    metric: str = ""  # the task metric that ``accuracy`` stands for
    problem: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    cached_stages: tuple[str, ...] = ()


class Task(BaseModel):
    """A design to be built, as it travels to a worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    settings: dict[str, Any]
    project_file: Path
    target: str
    store: Path
    given: tuple[str, ...] = ()  # overrides that hold for every design


def build(task: Task) -> Design:
    """Build a design. What a user can cause is recorded in it; anything else is raised."""
    start = time.monotonic()
    try:
        metrics, metric, cached = _measure(task)
    except ToolchainError as error:
        return Design(
            number=task.number, settings=task.settings, state="failed", problem=error.text(),
            exit_code=error.exit_code, seconds=time.monotonic() - start,
        )  # fmt: skip
    return Design(
        number=task.number, settings=task.settings, state="complete", metrics=metrics, metric=metric,
        seconds=time.monotonic() - start, cached_stages=cached,
    )  # fmt: skip


def _measure(task: Task) -> tuple[dict[str, float], str, tuple[str, ...]]:
    project = load_project(task.project_file, [*task.given, *overrides(task.settings)])
    target = load_target(task.target)
    until = "estimate" if target.fpga else "quantize"
    request = Request(project, task.project_file.parent.resolve(), target, until=until, store=task.store, shared=True)
    outcome = run(request)
    data, quantized = outcome.get("data", DataResult), outcome.get("quantize", QuantizeResult)
    assert data is not None
    assert quantized is not None
    metrics = {"parameters": float(quantized.parameters)} | bit_true(data, quantized)
    estimate = outcome.get("estimate", EstimateResult)
    if estimate is not None:
        metrics |= _cost(estimate)
    cached = tuple(item.name for item in outcome.workspace.runs if item.cached)
    return metrics, data.metric, cached


def bit_true(data: DataResult, quantized: QuantizeResult) -> dict[str, float]:
    """The task metric of the integer network: on the validation part, which chooses designs, and on the test part."""
    from toolchain.data.evaluation import evaluate
    from toolchain.data.ports import by_port
    from toolchain.data.samples import load
    from toolchain.network import storage
    from toolchain.network.steps import final_values

    samples = load(data)
    network = storage.load(quantized.folder / "network.fpn")

    def measured(part: Part) -> float:
        found = final_values(network, by_port(part.x, network, quantized.input_ports))
        return evaluate(data, part, found).value

    return {"accuracy": measured(samples.validation), "test_accuracy": measured(samples.test)}


def _cost(estimate: EstimateResult) -> dict[str, float]:
    from toolchain.network.constant_products import LUT_PER_DSP

    names = ("dsp", "lut", "ff", "bram_18k", "latency_ns", "initiation_interval")
    found = {name: float(getattr(estimate, name).value) for name in names}
    return found | {"lut_equivalent": found["lut"] + LUT_PER_DSP * found["dsp"]}
