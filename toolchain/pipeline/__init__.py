"""All stages in order. Read this first.

    data ─► train ─► prune ─► quantize ─┬─► hls ─► csim ─► verify ─┐
                                        ├─► estimate ──────────────┼─► report
                                        └─► tflite ─► arm ─────────┘

Each stage is a function of earlier results and its own section of the project; ``Workspace`` keeps what it made. Only
the hls project and the C-simulation's words are read back from the published folder ``build/<target>/``, so that what
is verified is what the user would synthesize, and not a pristine copy of it.
"""

from __future__ import annotations

from toolchain import preflight
from toolchain.pipeline import artefact, hardware, model
from toolchain.pipeline.outcome import Outcome, Request
from toolchain.workspace import Workspace, exclusive

__all__ = ["STAGES", "Outcome", "Request", "run"]

_HERE = "without it the int8 file is made, and checked on this machine, all the same"
STAGES = ("data", "train", "prune", "quantize", "hls", "csim", "verify", "estimate", "tflite", "report")


def run(request: Request) -> Outcome:
    """Run every stage up to ``request.until``; stages whose inputs did not change are taken from the workspace.

    Raises ToolchainError. A bit mismatch or an exceeded budget does not raise: the report is still written, and the
    error stands in ``Outcome.problems``.
    """
    preflight.check(request.project, request.project_folder, request.target)
    if request.run_on_device:
        preflight.check_device(request.target)
        preflight.check_one_output(request.project, request.project_folder, "--device", _HERE)
    if request.verify_on_arm:
        preflight.check_one_output(request.project, request.project_folder, "--verify", _HERE)
    outcome = Outcome(request, Workspace(request.store or request.build_folder, request.shared))
    if request.shared:
        _run_stages(outcome)
        return outcome
    with exclusive(request.build_folder, request.waits):
        _run_stages(outcome)
    return outcome


def _run_stages(outcome: Outcome) -> None:
    request, project = outcome.request, outcome.request.project
    wanted = _needed(request.until)
    data = model.data(outcome)
    trained = model.train(outcome, data) if "train" in wanted else None
    pruned = model.prune(outcome, data, trained) if trained and "prune" in wanted else None
    quantized = model.quantize(outcome, data, pruned) if pruned and "quantize" in wanted else None
    fpga = request.target.fpga
    if quantized and fpga:
        fpga = preflight.chosen_part(project.hls, fpga)
        hls = hardware.hls(outcome, quantized, fpga) if "hls" in wanted else None
        csim = hardware.csim(outcome, quantized, hls) if hls and "csim" in wanted else None
        if csim and "verify" in wanted:
            hardware.verify(outcome, quantized, csim)
        if "estimate" in wanted:
            hardware.estimate(outcome, quantized, fpga)
    elif not fpga:
        hardware.skip_fpga(outcome, wanted)
    if pruned and quantized and "tflite" in wanted:
        tflite = artefact.tflite(outcome, data, pruned, quantized)
        artefact.verify_on_arm(outcome, data, tflite)
        artefact.run_on_device(outcome, data, tflite)
        artefact.report_ethos_u(outcome, tflite)
    if "report" in wanted:
        _report(outcome)


def _needed(until: str) -> tuple[str, ...]:
    """The stages that ``until`` stands on, itself included."""
    if until in ("estimate", "tflite"):
        return ("data", "train", "prune", "quantize", until)
    return STAGES[: STAGES.index(until) + 1]


def _report(outcome: Outcome) -> None:
    from toolchain.report.stage import write_report

    outcome.request.stage_begins("report")
    outcome.report = write_report(outcome)
