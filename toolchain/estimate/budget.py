"""Does the design fit the device and the project's budget, and if not, what would?"""

from __future__ import annotations

from toolchain.errors import BudgetError
from toolchain.project import BudgetSection
from toolchain.results import EstimateResult
from toolchain.target import Fpga

_HINTS = {
    "dsp": "fewer weight bits, a higher prune.final_sparsity, or a larger hls.reuse_factor",
    "lut": "a higher prune.final_sparsity or prune.structured_sparsity, or strategy = 'resource' with a reuse factor",
    "ff": "a higher prune.final_sparsity, or a longer clock period",
    "bram_18k": "fewer weight bits, or strategy = 'latency', which keeps weights in logic",
    "latency_ns": "strategy = 'latency', reuse_factor = 1, io_type = 'io_parallel', fewer layers",
    "initiation_interval": "a smaller reuse_factor; a convolution needs one interval for each of its positions",
}


def check(estimate: EstimateResult, budget: BudgetSection, fpga: Fpga) -> list[BudgetError]:
    """Every resource and bound that is exceeded, with the layer that costs most and what would lower it."""
    problems = []
    for name in ("dsp", "bram_18k", "lut", "ff"):
        held, value = getattr(fpga, name), getattr(estimate, name).value
        if held is not None and value > held:
            problems.append(_problem(estimate, name, value, held, f"{fpga.part} holds"))
    for name in ("dsp", "bram_18k", "lut", "ff", "latency_ns", "initiation_interval"):
        allowed, value = getattr(budget, name), getattr(estimate, name).value
        if allowed is not None and value > allowed:
            problems.append(_problem(estimate, name, value, allowed, f"[budget] {name} ="))
    return problems


def _problem(estimate: EstimateResult, name: str, value: float, allowed: float, what: str) -> BudgetError:
    key = "latency_cycles" if name == "latency_ns" else name
    worst = max(estimate.layers, key=lambda layer: float(getattr(layer, key)))
    return BudgetError(
        f"the design needs {name} {value:g}, most of it in layer '{worst.name}'", where="estimate",
        allowed=f"{what} {allowed:g}", hint=_HINTS[name],
    )  # fmt: skip
