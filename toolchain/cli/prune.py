"""``toolchain prune``: the stage, or what it would cut out of the trained model."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, Overrides, ProjectName, Restore, TargetName, app, find_project, print_json
from toolchain.cli.stages import FromTrial, request_for, run_request


@app.command()
def prune(
    project: ProjectName,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
    restore: Restore = False,
    trial: FromTrial = "",
    plan: Annotated[
        bool, typer.Option("--plan", help="cut nothing: say which units would go, and save that as prune_plan.json")
    ] = False,
) -> None:
    """Remove neurons and filters, then weights, with fine-tuning."""
    given, store = overrides or [], None
    if trial:
        from toolchain.sweep.exploration import settings_of

        settings, store = settings_of(find_project(project), trial)
        given = [*settings, *given]
    if not plan:
        run_request(replace(request_for(project, target, given, "prune", restore), store=store), as_json)
        return
    import json

    from toolchain.pipeline import run
    from toolchain.prune.structured import plan_of_files
    from toolchain.results import DataResult, ModelResult

    request = replace(request_for(project, target, given, "train", restore), store=store)
    outcome = run(request)
    data, trained = outcome.get("data", DataResult), outcome.get("train", ModelResult)
    assert data is not None
    assert trained is not None
    found = plan_of_files(data, trained, request.project.prune)
    request.output_folder.mkdir(parents=True, exist_ok=True)
    file = request.output_folder / "prune_plan.json"
    found.save(file)
    sys.stderr.write(f"{found.text()}\nwrote {file}\n")
    if as_json:
        print_json(json.loads(file.read_text(encoding="utf-8")))
