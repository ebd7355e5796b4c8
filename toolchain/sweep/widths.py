"""The fewest bits for each layer within a stated loss: one layer after the other, the costliest first.

All widths of a layer are tried side by side, without fine-tuning, on the validation part; the narrowest that keeps the
task metric within the allowed loss is kept, then the next layer has its turn. At the end the widths are fine-tuned as
the project says and compared once more with the project's own widths; while they lose too much, every one gets a bit
back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from toolchain.errors import ProjectError
from toolchain.network.nodes import FixedPointNetwork, Linear, Relu, Table
from toolchain.pipeline import Request, run
from toolchain.project import load_project
from toolchain.results import EstimateResult, QuantizeResult
from toolchain.sweep import workers
from toolchain.sweep.design import Design, Task, build
from toolchain.target import load_target

Built = Callable[[Task], Design]


@dataclass(frozen=True)
class WidthPlan:
    """How far widths may go down: ``loss`` is relative to the task metric of the project's own widths."""

    project_file: Path
    target: str
    loss: float
    objective: str = "lut_equivalent"
    narrowest: int = 2
    workers: int | None = None
    address: str = ""
    given: tuple[str, ...] = ()

    @property
    def store(self) -> Path:
        return self.project_file.parent.resolve() / "build" / "sweeps" / "store"


class Widths(BaseModel):
    """What was found; ``chosen`` maps keys of project.toml to bits, ``tried`` counts designs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    objective: str
    allowed_loss: float
    chosen: dict[str, int]
    before: dict[str, float]  # metrics of the project's own widths, fine-tuned
    after: dict[str, float]  # of the chosen ones, fine-tuned
    loss: float  # of the task metric on the validation part, relative to before: at most the allowed one
    given_back: int  # bits that every narrowed width got back after fine-tuning
    tried: int

    @property
    def toml(self) -> str:
        """The tables to put into project.toml."""
        tables: dict[str, list[str]] = {}
        for key, bits in self.chosen.items():
            _, _, layer, name = key.split(".")
            tables.setdefault(layer, []).append(f"{name} = {bits}")
        return "\n".join(f"[quantize.layers.{layer}]\n" + "\n".join(lines) for layer, lines in tables.items()) + "\n"


def search(plan: WidthPlan, told: Callable[[str], None], built: Built = build) -> Widths:
    """Search and report. Raises ProjectError when the objective is not known or the target has no FPGA."""
    from toolchain.data.evaluation import relative_loss

    if load_target(plan.target).fpga is None and plan.objective != "parameters":
        raise ProjectError("needs a target with an FPGA", where="--target")
    keys = _keys(plan)
    tried = 0
    with workers.cluster(plan.workers, plan.address) as at_once:

        def measured(settings: list[dict[str, Any]], tuned: bool) -> list[Design]:
            nonlocal tried
            tried += len(settings)
            found: list[Design] = []
            tasks = iter([_task(plan, number, item, tuned) for number, item in enumerate(settings)])
            workers.build_all(tasks, at_once, found.append, built)
            return sorted(found, key=lambda design: design.number)

        (base, own) = (*measured([{}], False), *measured([{}], True))
        for design in (base, own):
            if design.state == "failed":
                raise ProjectError(f"the project's own widths fail: {design.problem}", where="toolchain widths")
        chosen: dict[str, int] = {}
        for key, bits in keys.items():
            options = list(range(plan.narrowest, bits))
            designs = measured([{**chosen, key: width} for width in options], False) if options else []
            for width, design in zip(options, designs, strict=True):
                fits = design.state == "complete" and (
                    relative_loss(design.metric, base.metrics["accuracy"], design.metrics["accuracy"]) <= plan.loss
                    and design.metrics[plan.objective] <= base.metrics[plan.objective]
                )
                if fits:
                    chosen[key] = width
                    break
            told(f"{key}: {bits} -> {chosen.get(key, bits)} bits")
        final, more = own, 0
        for more, wider in _wider(chosen, keys):
            (final,) = measured([dict(wider)], True)
            loss = relative_loss(own.metric, own.metrics["accuracy"], final.metrics.get("accuracy", math.nan))
            if final.state == "complete" and loss <= plan.loss:
                chosen = wider
                break
            told(f"{more} bits given back: " + (final.problem or f"after fine-tuning the loss is {loss:.3g}"))
        else:
            chosen, final, loss = {}, own, 0.0
    return Widths(
        metric=own.metric, objective=plan.objective, allowed_loss=plan.loss, chosen=chosen, before=own.metrics,
        after=final.metrics, loss=loss, given_back=more, tried=tried,
    )  # fmt: skip


def _wider(chosen: dict[str, int], own: dict[str, int]) -> Iterator[tuple[int, dict[str, int]]]:
    """The chosen widths with 0, 1, 2 … bits more, without those that are their own again; none when all are."""
    for more in range(max((own[key] - bits for key, bits in chosen.items()), default=0)):
        yield more, {key: bits + more for key, bits in chosen.items() if bits + more < own[key]}


def _keys(plan: WidthPlan) -> dict[str, int]:
    """Every width that can go down and what it is now, those of the costliest layers first."""
    from toolchain.network import storage

    project = load_project(plan.project_file, [*plan.given, "quantize.epochs=0"])
    target = load_target(plan.target)
    until = "estimate" if target.fpga else "quantize"
    outcome = run(
        Request(project, plan.project_file.parent.resolve(), target, until=until, store=plan.store, shared=True)
    )
    quantized, estimate = outcome.get("quantize", QuantizeResult), outcome.get("estimate", EstimateResult)
    assert quantized is not None
    network = storage.load(quantized.folder / "network.fpn")
    costs = {item.name: item.lut + 100 * item.dsp for item in estimate.layers} if estimate else {}
    linear = [node for node in network.nodes if isinstance(node, Linear)]
    linear.sort(key=lambda node: (-costs.get(node.name, node.kernel.size), node.name))
    found: dict[str, int] = {}
    for node in linear:
        found[f"quantize.layers.{node.layer}.weight_bits"] = node.kernel_format.width
    return found | _activations(network)


def _activations(network: FixedPointNetwork) -> dict[str, int]:
    found = {}
    for node in network.nodes:
        if isinstance(node, Relu | Table) and node.name not in network.outputs:
            name = node.layer.removesuffix("_quantized")
            found[f"quantize.layers.{name}.activation_bits"] = node.result.width
    return found


def _task(plan: WidthPlan, number: int, settings: dict[str, Any], tuned: bool) -> Task:
    given = plan.given if tuned else (*plan.given, "quantize.epochs=0")
    return Task(
        number=number, settings=settings, project_file=plan.project_file.resolve(), target=plan.target,
        store=plan.store, given=given,
    )  # fmt: skip
