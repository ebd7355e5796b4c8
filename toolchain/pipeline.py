"""All stages in order. Read this first.

    data ─► train ─► prune ─► quantize ─┬─► hls ─► csim ─► verify ─┐
                                        ├─► estimate ──────────────┼─► report
                                        └─► tflite ─► arm ─────────┘

Each stage is a function of earlier results and its own section of the project; ``Workspace`` keeps what it made. Only
the hls project and the C-simulation's words are read back from the published folder ``build/<target>/``, so that what
is verified is what the user would synthesize, and not a pristine copy of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from toolchain import preflight
from toolchain.errors import BitMismatchError, ExternalToolError, ToolchainError, UnsupportedModelError
from toolchain.project import Project, Section
from toolchain.publication import publish_unless_edited
from toolchain.results import (
    ArmResult,
    CsimResult,
    DataResult,
    DeviceResult,
    EstimateResult,
    EthosUResult,
    HlsResult,
    Job,
    ModelResult,
    Progress,
    PruneResult,
    QuantizeResult,
    StageResult,
    TfliteResult,
    VerifyResult,
    no_progress,
)
from toolchain.target import Fpga, Target
from toolchain.workspace import Workspace, exclusive, file_digest, manifest, publish, text_digest

if TYPE_CHECKING:
    from toolchain.report.schema import Report

STAGES = ("data", "train", "prune", "quantize", "hls", "csim", "verify", "estimate", "tflite", "report")

_KERAS = ("tensorflow", "tf-keras", "keras", "numpy")
_PRUNE = (*_KERAS, "tensorflow-model-optimization")
_QUANTIZE = (*_KERAS, "qkeras")
_HLS = ("hls4ml", "da4ml", "numpy")
_ARM = ("numpy", "tflite-micro")

Result = TypeVar("Result", bound=StageResult)


def _quiet(*_: object) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Request:
    """What to build, where, and whom to tell."""

    project: Project
    project_folder: Path
    target: Target
    until: str = "report"
    restore: bool = False  # write hls/ and csim/ again although they were changed by hand
    store: Path | None = None  # where stage results live; default: the project's build folder
    shared: bool = False  # other processes work on the store at the same time
    output: Path | None = None  # where the artefacts go; default: build/<target>
    verify_on_arm: bool = False  # also where project.toml does not ask for it
    run_on_device: bool = False  # on the board of the target's [device]
    progress: Progress = no_progress
    stage_begins: Callable[[str], None] = _quiet
    waits: Callable[[], None] = _quiet
    notes: Callable[[str], None] = _quiet

    @property
    def build_folder(self) -> Path:
        return self.project_folder / "build"

    @property
    def output_folder(self) -> Path:
        return self.output or self.build_folder / self.target.name


@dataclass
class Outcome:
    """What a run made: the results by stage, the report when it was asked for, and the reasons to fail."""

    request: Request
    workspace: Workspace
    results: dict[str, StageResult] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    report: Report | None = None
    problems: list[ToolchainError] = field(default_factory=list)

    def get(self, name: str, kind: type[Result]) -> Result | None:
        found = self.results.get(name)
        assert found is None or isinstance(found, kind)
        return found


def run(request: Request) -> Outcome:
    """Run every stage up to ``request.until``; stages whose inputs did not change are taken from the workspace.

    Raises ToolchainError. A bit mismatch or an exceeded budget does not raise: the report is still written, and the
    error stands in ``Outcome.problems``.
    """
    preflight.check(request.project, request.project_folder, request.target)
    if request.run_on_device:
        preflight.check_device(request.target)
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
    data = _data(outcome)
    trained = _train(outcome, data) if "train" in wanted else None
    pruned = _prune(outcome, data, trained) if trained and "prune" in wanted else None
    quantized = _quantize(outcome, data, pruned) if pruned and "quantize" in wanted else None
    fpga = request.target.fpga
    if quantized and fpga:
        fpga = preflight.chosen_part(project.hls, fpga)
        hls = _hls(outcome, quantized, fpga) if "hls" in wanted else None
        csim = _csim(outcome, quantized, hls) if hls and "csim" in wanted else None
        if csim and "verify" in wanted:
            _verify(outcome, quantized, csim)
        if "estimate" in wanted:
            _estimate(outcome, quantized, fpga)
    elif not fpga:
        _skip_fpga(outcome, wanted)
    if pruned and quantized and "tflite" in wanted:
        tflite = _tflite(outcome, data, pruned, quantized)
        _verify_on_arm(outcome, data, tflite)
        _run_on_device(outcome, data, tflite)
        _report_ethos_u(outcome, tflite)
    if "report" in wanted:
        _report(outcome)


def _needed(until: str) -> tuple[str, ...]:
    """The stages that ``until`` stands on, itself included."""
    if until in ("estimate", "tflite"):
        return ("data", "train", "prune", "quantize", until)
    return STAGES[: STAGES.index(until) + 1]


def _data(outcome: Outcome) -> DataResult:
    section = outcome.request.project.data
    depends = {"section": _dump(section), "file": _digest_of(outcome.request.project_folder, section.path)}
    if section.source == "python":
        return _data_of_function(outcome, depends)

    def produce(job: Job) -> DataResult:
        from toolchain.data.stage import prepare

        return prepare(section, job)

    return _stage(outcome, "data", DataResult, depends, ("numpy", "pandas", "arch"), produce)


def _data_of_function(outcome: Outcome, depends: dict[str, Any]) -> DataResult:
    """A function may read anything, so it is called in every run; what it returned is what the stage depends on."""
    from toolchain.data.python_function import call
    from toolchain.data.stage import prepare_returned

    section = outcome.request.project.data
    returned = call(section, outcome.request.project_folder)
    depends = depends | {"returned": returned.digest()}
    return _stage(
        outcome, "data", DataResult, depends, ("numpy", "pandas"), lambda job: prepare_returned(returned, section, job)
    )


def _train(outcome: Outcome, data: DataResult) -> ModelResult:
    project = outcome.request.project
    depends = {
        "model": _dump(project.model),
        "section": _dump(project.train),
        "file": _digest_of(outcome.request.project_folder, project.model.file),
        "seed": project.seed,
        "data": data.sha256,
    }

    def produce(job: Job) -> ModelResult:
        from toolchain.model.stage import train

        return train(data, project.model, project.train, job)

    return _stage(outcome, "train", ModelResult, depends, _KERAS, produce)


def _prune(outcome: Outcome, data: DataResult, trained: ModelResult) -> PruneResult:
    project = outcome.request.project
    depends = {"section": _dump(project.prune), "seed": project.seed, "train": outcome.keys["train"]}

    def produce(job: Job) -> PruneResult:
        from toolchain.prune.stage import prune

        return prune(data, trained, project.prune, job)

    return _stage(outcome, "prune", PruneResult, depends, _PRUNE, produce)


def _quantize(outcome: Outcome, data: DataResult, pruned: PruneResult) -> QuantizeResult:
    project = outcome.request.project
    depends = {"section": _dump(project.quantize), "seed": project.seed, "prune": outcome.keys["prune"]}

    def produce(job: Job) -> QuantizeResult:
        from toolchain.quantize.stage import quantize

        return quantize(data, pruned, project.quantize, job)

    return _stage(outcome, "quantize", QuantizeResult, depends, _QUANTIZE, produce)


def _hls(outcome: Outcome, quantized: QuantizeResult, fpga: Fpga) -> HlsResult:
    section = outcome.request.project.hls
    depends = {"section": _dump(section), "fpga": _dump(fpga), "network": quantized.network_sha256}
    depends["inputs"] = file_digest(quantized.folder / "inputs.npz")

    def produce(job: Job) -> HlsResult:
        from toolchain.hls.stage import write

        return write(quantized, section, fpga, job)

    result = _stage(outcome, "hls", HlsResult, depends, _HLS, produce)
    _publish(outcome, "hls", result.folder)
    return result


def _csim(outcome: Outcome, quantized: QuantizeResult, hls: HlsResult) -> CsimResult:
    section = outcome.request.project.csim
    project = outcome.request.output_folder / "hls"
    depends = {
        "section": _dump(section),
        "hls": outcome.keys["hls"],
        "project": text_digest(json.dumps(manifest(project))),
        "inputs": file_digest(quantized.folder / "inputs.npz"),
    }

    def produce(job: Job) -> CsimResult:
        from toolchain.hls.csim import simulate

        return simulate(project, hls, quantized, section, job)

    result = _stage(outcome, "csim", CsimResult, depends, ("numpy",), produce)
    _publish(outcome, "csim", result.folder)
    return result


def _verify(outcome: Outcome, quantized: QuantizeResult, csim: CsimResult) -> VerifyResult:
    words = outcome.request.output_folder / "csim"
    depends = {
        "csim": outcome.keys["csim"],
        "words": text_digest(json.dumps(manifest(words))),
        "quantize": outcome.keys["quantize"],
    }

    def produce(job: Job) -> VerifyResult:
        from toolchain.verify.stage import verify

        simulated = csim.model_copy()
        simulated.at(words)
        return verify(quantized, simulated, job)

    result = _stage(outcome, "verify", VerifyResult, depends, ("numpy",), produce)
    compared = ((result.hardware, "hardware"), (result.model, "QKeras model"), (result.window, "step over the window"))
    for comparison, title in compared:
        if comparison is not None and comparison.verdict == "mismatch":
            outcome.problems.append(_mismatch(comparison.first_mismatch, comparison.mismatched_words, title))
    return result


def _mismatch(first: Any, words: int, title: str) -> BitMismatchError:
    if first is None:
        return BitMismatchError(f"{words} words of the {title} differ from the network's")
    return BitMismatchError(
        f"{words} words of the {title} differ; first: sample {first.sample}, element {list(first.element)}: "
        f"expected word {first.expected_word}, found {first.found_word}",
        where=f"layer '{first.layer}'",
        hint=f"cause: {first.cause}",
    )


def _estimate(outcome: Outcome, quantized: QuantizeResult, fpga: Fpga) -> EstimateResult:
    project = outcome.request.project
    depends = {"section": _dump(project.hls), "fpga": _dump(fpga), "network": quantized.network_sha256}

    def produce(job: Job) -> EstimateResult:
        from toolchain.estimate.stage import estimate

        return estimate(quantized, project.hls, fpga, job)

    result = _stage(outcome, "estimate", EstimateResult, depends, ("numpy", "da4ml"), produce)
    from toolchain.estimate.budget import check_build

    outcome.problems.extend(check_build(result, quantized, project, fpga))
    return result


def _tflite(outcome: Outcome, data: DataResult, pruned: PruneResult, quantized: QuantizeResult) -> TfliteResult:
    section = outcome.request.project.tflite
    depends = {"section": _dump(section), "prune": outcome.keys["prune"], "quantize": outcome.keys["quantize"]}

    def produce(job: Job) -> TfliteResult:
        from toolchain.tflite.stage import export

        return export(data, pruned, quantized, section, job)

    result = _stage(outcome, "tflite", TfliteResult, depends, ("tensorflow", "flatbuffers", "numpy"), produce)
    for name in (*(artefact.path for artefact in result.files), *_COMPANIONS):
        made, copy = result.folder / name, outcome.request.output_folder / name
        if made.exists() and not _same(made, copy):
            publish(made, copy)
    return result


#: What stands beside the int8 file: its quantization, test vectors, the same network as C, programs around the file.
_COMPANIONS = (
    "model.int8.json",
    "model.int16x8.json",
    "model.int8_wide_result.json",
    "test_vectors.npz",
    "plain_c",
    "runners",
)


def _same(made: Path, copy: Path) -> bool:
    if made.is_dir():
        return copy.is_dir() and manifest(made) == manifest(copy)
    return copy.is_file() and file_digest(made) == file_digest(copy)


def _verify_on_arm(outcome: Outcome, data: DataResult, tflite: TfliteResult) -> None:
    """Run the int8 artefact on emulated ARM cores when asked to; else show what an earlier run found of this file."""
    from toolchain.arm.stage import problems, verify_on_arm

    request, arm = outcome.request, outcome.request.target.arm
    asked = request.verify_on_arm or request.project.tflite.verify
    if not _can_run(outcome, tflite, "arm", asked):
        return
    depends = {"tflite": outcome.keys["tflite"], "arm": _dump(arm) if arm else {}}
    if not asked and not outcome.workspace.holds("arm", ArmResult, depends, _ARM):
        return
    with _may_fail(outcome, "arm", "not run on ARM code"):
        result = _stage(outcome, "arm", ArmResult, depends, _ARM, lambda job: verify_on_arm(data, tflite, arm, job))
        outcome.problems.extend(problems(result))


def _run_on_device(outcome: Outcome, data: DataResult, tflite: TfliteResult) -> None:
    """Run the int8 artefact on the target's board when asked to, each time anew; else show what the last run found."""
    from toolchain.arm.device import run_on_device
    from toolchain.arm.stage import problems

    target, asked = outcome.request.target, outcome.request.run_on_device
    if target.device is None or not _can_run(outcome, tflite, "device", asked):
        return
    depends = {"tflite": outcome.keys["tflite"], "device": _dump(target.device)}
    if asked:
        outcome.workspace.forget("device", depends, ())
    elif not outcome.workspace.holds("device", DeviceResult, depends, ()):
        return
    with _may_fail(outcome, "device", "not run on the board"):
        result = _stage(outcome, "device", DeviceResult, depends, (), lambda _: run_on_device(data, tflite, target))
        outcome.problems.extend(problems(result))


def _report_ethos_u(outcome: Outcome, tflite: TfliteResult) -> None:
    """What Vela makes of the int8 artefact, where the target has an Ethos-U; nobody has to have Vela."""
    from toolchain.arm.ethos_u import has_ethos_u, report_ethos_u

    arm = outcome.request.target.arm
    if arm is None or not has_ethos_u(arm) or not _can_run(outcome, tflite, "ethos_u", False):
        return
    depends = {"tflite": outcome.keys["tflite"], "npu": arm.npu}
    try:
        _stage(outcome, "ethos_u", EthosUResult, depends, ("ethos-u-vela",), lambda _: report_ethos_u(tflite, arm))
    except ExternalToolError as error:
        why = f"{error.where} {error.problem}" + (f"; {error.hint}" if error.hint else "")
        outcome.skipped["ethos_u"] = f"not compiled for {arm.npu}: {why}"


def _can_run(outcome: Outcome, tflite: TfliteResult, name: str, asked: bool) -> bool:
    """Whether there is an int8 file; a problem where there is none and it was ``asked`` to be run."""
    if any(file.kind == "int8" for file in tflite.files):
        return True
    if asked:
        outcome.skipped[name] = tflite.skipped.get("int8", "no int8 artefact was asked for")
        outcome.problems.append(UnsupportedModelError(outcome.skipped[name], where=f"{name}: nothing to run"))
    return False


@contextmanager
def _may_fail(outcome: Outcome, name: str, what: str) -> Iterator[None]:
    """A failed run does not keep the report from being written: it stands there, and in the exit code."""
    try:
        yield
    except ExternalToolError as error:
        outcome.skipped[name] = f"{what}: {error.problem}"
        outcome.problems.append(error)
    except BitMismatchError as error:
        outcome.skipped[name] = f"not verified: {error.problem}"
        outcome.problems.append(error)


def _skip_fpga(outcome: Outcome, wanted: tuple[str, ...]) -> None:
    why = f"target {outcome.request.target.name} has no FPGA"
    for name in ("hls", "csim", "verify", "estimate"):
        if name in wanted:
            outcome.skipped[name] = why
    if outcome.request.until in outcome.skipped:
        raise UnsupportedModelError(why, where=f"stage '{outcome.request.until}'", hint="toolchain targets")


def _report(outcome: Outcome) -> None:
    from toolchain.report.stage import write_report

    outcome.request.stage_begins("report")
    outcome.report = write_report(outcome)


def _stage(
    outcome: Outcome,
    name: str,
    kind: type[Result],
    depends: dict[str, Any],
    packages: tuple[str, ...],
    produce: Callable[[Job], Result],
) -> Result:
    request = outcome.request

    def run_in(folder: Path) -> Result:
        request.stage_begins(name)
        return produce(Job(folder, request.project_folder, request.project.seed, request.progress))

    result, outcome.keys[name] = outcome.workspace.stage(name, kind, depends, packages, run_in)
    outcome.results[name] = result
    return result


def _publish(outcome: Outcome, name: str, source: Path) -> None:
    request = outcome.request
    publish_unless_edited(source, request.output_folder / name, outcome.keys[name], request.restore, request.notes)


def _dump(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _digest_of(folder: Path, name: str) -> str:
    file = folder / name
    if name and file.is_dir():
        return text_digest(json.dumps(manifest(file)))
    return file_digest(file) if name and file.is_file() else ""
