"""The TFLite files, and the runs of the int8 file: on emulated cores, on a board, for an Ethos-U."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from toolchain.errors import BitMismatchError, ExternalToolError, UnsupportedModelError
from toolchain.pipeline.outcome import Outcome, as_json, run_stage
from toolchain.project import TfliteKind
from toolchain.results import (
    ArmResult,
    DataResult,
    DeviceResult,
    EthosUResult,
    Job,
    PruneResult,
    QuantizeResult,
    TfliteResult,
)
from toolchain.workspace import file_digest, manifest, publish, remove

_ONE_OUTPUT = "ARM code is run with files of one output; this one was checked on this machine"
_ARM = ("numpy", "tflite-micro")


#: What stands beside the int8 file: its quantization, test vectors, the same network as C, programs around the file.
_COMPANIONS = (
    "model.int8.json",
    "model.int16x8.json",
    "model.int8_wide_result.json",
    "test_vectors.npz",
    "plain_c",
    "runners",
)
_PUBLISHED = (*(f"model.{kind}.tflite" for kind in get_args(TfliteKind)), *_COMPANIONS)


def tflite(outcome: Outcome, data: DataResult, pruned: PruneResult, quantized: QuantizeResult) -> TfliteResult:
    """The files, published with what stands beside them."""
    section = outcome.request.project.tflite
    depends = {"section": as_json(section), "prune": outcome.keys["prune"], "quantize": outcome.keys["quantize"]}

    def produce(job: Job) -> TfliteResult:
        from toolchain.tflite.stage import export

        return export(data, pruned, quantized, section, job)

    result = run_stage(outcome, "tflite", TfliteResult, depends, ("tensorflow", "flatbuffers", "numpy"), produce)
    assert all(artefact.path in _PUBLISHED for artefact in result.files)
    for name in _PUBLISHED:
        made, copy = result.folder / name, outcome.request.output_folder / name
        if not made.exists():
            remove(copy)  # an earlier model's, which must not stand beside this one's
        elif not _same(made, copy):
            publish(made, copy)
    return result


def _same(made: Path, copy: Path) -> bool:
    if made.is_dir():
        return copy.is_dir() and manifest(made) == manifest(copy)
    return copy.is_file() and file_digest(made) == file_digest(copy)


def verify_on_arm(outcome: Outcome, data: DataResult, tflite: TfliteResult) -> None:
    """Run the int8 artefact on emulated ARM cores when asked to; else show what an earlier run found of this file."""
    from toolchain.arm.stage import problems, verify_on_arm

    request, arm = outcome.request, outcome.request.target.arm
    if len(data.targets) > 1:
        outcome.skipped["arm"] = _ONE_OUTPUT
        return
    asked = request.verify_on_arm or request.project.tflite.verify
    if not _can_run(outcome, tflite, "arm", asked):
        return
    depends = {"tflite": outcome.keys["tflite"], "arm": as_json(arm) if arm else {}}
    if not asked and not outcome.workspace.holds("arm", ArmResult, depends, _ARM):
        return
    with _may_fail(outcome, "arm", "not run on ARM code"):
        result = run_stage(outcome, "arm", ArmResult, depends, _ARM, lambda job: verify_on_arm(data, tflite, arm, job))
        outcome.problems.extend(problems(result))


def run_on_device(outcome: Outcome, data: DataResult, tflite: TfliteResult) -> None:
    """Run the int8 artefact on the target's board when asked to, each time anew; else show what the last run found."""
    from toolchain.arm.device import run_on_device
    from toolchain.arm.stage import problems

    target, asked = outcome.request.target, outcome.request.run_on_device
    if len(data.targets) > 1:
        return
    if target.device is None or not _can_run(outcome, tflite, "device", asked):
        return
    depends = {"tflite": outcome.keys["tflite"], "device": as_json(target.device)}
    if asked:
        outcome.workspace.forget("device", depends, ())
    elif not outcome.workspace.holds("device", DeviceResult, depends, ()):
        return
    with _may_fail(outcome, "device", "not run on the board"):
        result = run_stage(outcome, "device", DeviceResult, depends, (), lambda _: run_on_device(data, tflite, target))
        outcome.problems.extend(problems(result))


def report_ethos_u(outcome: Outcome, tflite: TfliteResult) -> None:
    """What Vela makes of the int8 artefact, where the target has an Ethos-U; nobody has to have Vela."""
    from toolchain.arm.ethos_u import has_ethos_u, report_ethos_u

    arm = outcome.request.target.arm
    if arm is None or not has_ethos_u(arm) or not _can_run(outcome, tflite, "ethos_u", False):
        return
    depends = {"tflite": outcome.keys["tflite"], "npu": arm.npu}
    try:
        run_stage(outcome, "ethos_u", EthosUResult, depends, ("ethos-u-vela",), lambda _: report_ethos_u(tflite, arm))
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
