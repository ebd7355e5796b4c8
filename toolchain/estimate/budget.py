"""Does the design fit the device and the project's budget, and if not, what would?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolchain.errors import BudgetError
from toolchain.estimate.advice import Question, advice
from toolchain.network import storage
from toolchain.project import BudgetSection, Project
from toolchain.results import EstimateResult, QuantizeResult
from toolchain.target import Fpga

#: What would hold every limit, in words, for the figures that exceed theirs.
Advise = Callable[[Mapping[str, float]], str]

_RESOURCES = ("dsp", "bram_18k", "lut", "ff")


def check_build(estimate: EstimateResult, quantized: QuantizeResult, project: Project, fpga: Fpga) -> list[BudgetError]:
    """``check`` for a project's own network: the estimator is asked what would fit."""

    def advise(exceeded: Mapping[str, float]) -> str:
        network = storage.load(quantized.folder / "network.fpn")
        limits = limits_of(project.budget, fpga)
        return advice(Question(network, project.hls, fpga, project.quantize.weight_bits, limits), exceeded)

    return check(estimate, project.budget, fpga, advise)


def limits_of(budget: BudgetSection, fpga: Fpga) -> dict[str, float]:
    """By figure the lesser of what the device holds and what the budget allows."""
    found: dict[str, float] = {name: held for name in _RESOURCES if (held := getattr(fpga, name)) is not None}
    for name in (*_RESOURCES, "latency_ns", "initiation_interval"):
        allowed = getattr(budget, name)
        if allowed is not None:
            found[name] = min(allowed, found.get(name, allowed))
    return found


def check(estimate: EstimateResult, budget: BudgetSection, fpga: Fpga, advise: Advise) -> list[BudgetError]:
    """Every resource and bound that is exceeded, with the layer that costs most; the first says what would fit."""
    problems: list[tuple[str, float, str]] = []
    for name in _RESOURCES:
        held = getattr(fpga, name)
        if held is not None and getattr(estimate, name).value > held:
            problems.append((name, held, f"{fpga.part} holds"))
    for name in (*_RESOURCES, "latency_ns", "initiation_interval"):
        allowed = getattr(budget, name)
        if allowed is not None and getattr(estimate, name).value > allowed:
            problems.append((name, allowed, f"[budget] {name} ="))
    hint = advise({name: allowed for name, allowed, _ in problems}) if problems else ""
    return [_problem(estimate, *problem, hint if not place else "") for place, problem in enumerate(problems)]


def _problem(estimate: EstimateResult, name: str, allowed: float, what: str, hint: str) -> BudgetError:
    key = "latency_cycles" if name == "latency_ns" else name
    worst = max(estimate.layers, key=lambda layer: float(getattr(layer, key)))
    value = getattr(estimate, name).value
    return BudgetError(
        f"the design needs {name} {value:g}, most of it in layer '{worst.name}'", where="estimate",
        allowed=f"{what} {allowed:g}", hint=hint,
    )  # fmt: skip
