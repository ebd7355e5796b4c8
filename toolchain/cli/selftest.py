"""``toolchain selftest``: random models and mutants, to check an installation or a new hls4ml."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.application import AsJson, app, print_json
from toolchain.cli.display import Display
from toolchain.errors import BitMismatchError

if TYPE_CHECKING:
    from toolchain.selftest.models import ModelsResult
    from toolchain.selftest.mutants import MutantsResult

_ROWS = 12


@app.command()
def selftest(
    models: Annotated[int, typer.Option("--models", min=0, help="random models to try; 40 if --mutants is 0 too")] = 0,
    mutants: Annotated[
        int, typer.Option("--mutants", min=0, help="changes to written projects that must be caught")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="the same seed draws the same models and mutants")] = 0,
    samples: Annotated[
        int, typer.Option("--samples", min=50, help="input vectors for each model, corners among them")
    ] = 1000,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="processes; 0: one for each core")] = 0,
    only: Annotated[list[int] | None, typer.Option("--only", min=0, help="only model K (repeatable)")] = None,
    qkeras: Annotated[
        bool, typer.Option("--qkeras", help="draw the models as QKeras models, which must give the same words too")
    ] = False,
    keep: Annotated[Path | None, typer.Option("--keep", help="folder for the projects of wrong models")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the installation: random models must be exact or refused, changed projects must be caught (else exit 5)."""
    from toolchain.selftest.models import run_models
    from toolchain.selftest.mutants import run_mutants

    numbers = list(only or range(models or (0 if mutants else 40)))
    jobs = jobs or os.cpu_count() or 1
    display = Display(sys.stderr.isatty())
    document: dict[str, Any] = {}
    problems: list[BitMismatchError] = []
    try:
        if numbers:
            tried = run_models(numbers, seed, samples, jobs, keep, _telling(display), "qkeras" if qkeras else "network")
            document |= tried.model_dump(mode="json")
            problems += _wrong(tried)
        if mutants:
            changed = run_mutants(mutants, seed, min(samples, 300), jobs, _telling(display))
            document |= changed.model_dump(mode="json")
            problems += _missed(changed)
    finally:
        display.close()
    sys.stderr.write(_summary(document))
    if as_json:
        print_json(document)
    for problem in problems:
        sys.stderr.write(f"error: {problem.text()}\n")
    if problems:
        sys.exit(problems[0].exit_code)


def _wrong(found: ModelsResult) -> list[BitMismatchError]:
    if not found.wrong:
        return []
    first = found.failures[0]
    problem = f"{found.wrong} of {found.models} models are wrong; first: {first.reason}"
    where = f"model {first.number} of seed {found.seed}"
    return [BitMismatchError(problem, where=where, hint="--keep FOLDER stores its project")]


def _missed(found: MutantsResult) -> list[BitMismatchError]:
    if not found.missed:
        return []
    first = found.missed[0]
    problem = f"{len(found.missed)} of {found.effective} changes were not caught; first: {first.kind}"
    return [BitMismatchError(problem, where=f"layer '{first.layer}' of model {first.model} of seed {found.seed}")]


def _telling(display: Display) -> Any:
    """Progress for a terminal, and a line now and then elsewhere: a long run must show that it lives."""
    told = {"done": 0}

    def tell(label: str, done: int, total: int) -> None:
        display.progress(label, done, total)
        if not sys.stderr.isatty() and (done == total or done - told["done"] >= total / 10):
            told["done"] = done
            sys.stderr.write(f"  {label}: {done} of {total}\n")

    return tell


def _summary(document: dict[str, Any]) -> str:
    lines = []
    if "models" in document:
        counts = ", ".join(f"{document[name]:,} {name}" for name in ("exact", "approximate", "refused", "wrong"))
        lines.append(f"{document['models']:,} models on {document['samples']:,} vectors each: {counts}")
        lines += [f"  refused {count}: {reason}" for reason, count in list(document["refusals"].items())[:_ROWS]]
    if "mutants" in document:
        ran = document["caught"] - document["stopped"]
        lines += [
            f"{document['mutants']:,} mutants: {document['effective']:,} effective, {document['caught']:,} caught",
            f"  {document['stopped']:,} stopped by g++ or at run time; of the other {ran:,} the layer is right for "
            f"{document['layer_named_right']:,} and the kind of cause for {document['cause_named_right']:,}",
        ]
    return "\n".join([*lines, ""])
