"""Everything that can be known to be wrong before any work begins, collected and shown at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from toolchain.errors import ExternalToolError, PreflightError, ProjectError, ToolchainError, UnsupportedModelError
from toolchain.project import HlsSection, Project
from toolchain.target import Fpga, Target


def check(project: Project, project_folder: Path, target: Target | None) -> None:
    """Raise PreflightError with every problem found, in seconds and without TensorFlow."""
    problems = find_problems(project, project_folder, target)
    if problems:
        raise PreflightError(problems)


def find_problems(project: Project, project_folder: Path, target: Target | None) -> list[ToolchainError]:
    """Every problem of the project's files, options and environment that shows without doing the work."""
    from toolchain.data.preflight import check as check_data
    from toolchain.model.preflight import check as check_model
    from toolchain.model.preflight import ends_in_softmax, kernel_names, step_problems
    from toolchain.prune.preflight import check as check_prune

    problems: list[ToolchainError] = [*_folder(project_folder)]
    data_problems = check_data(project.data, project_folder)
    problems += data_problems
    model_problems = check_model(project.model, project_folder)
    problems += model_problems or check_prune(project.prune, kernel_names(project.model, project_folder))
    if project.model.recurrent == "step" and not model_problems:
        problems += step_problems(project.model, project_folder)
        if project.quantize.final_softmax:
            problems.append(
                ProjectError("a step gives logits", where="[quantize] final_softmax", allowed="final_softmax = false")
            )
    if project.quantize.final_softmax and not ends_in_softmax(project.model, project_folder):
        problems.append(
            ProjectError(
                "the model does not end in a softmax", where="[quantize] final_softmax", allowed="final_softmax = false"
            )
        )
    if not data_problems and not model_problems:
        problems += input_problems(project, project_folder) + output_problems(project, project_folder)
    if target is not None and target.fpga is not None:
        try:
            chosen_part(project.hls, target.fpga)
        except ProjectError as error:
            problems.append(error)
        if shutil.which("g++") is None:
            problems.append(
                ExternalToolError(
                    "g++ was not found on PATH", where="csim", hint="install it, e.g. apt-get install g++"
                )
            )
    return problems


def check_device(target: Target) -> None:
    """Raise ProjectError when the target does not say how to reach a board, ExternalToolError without ssh."""
    if target.device is None:
        raise ProjectError(
            "does not say how to reach a board",
            where=f"target {target.name}",
            allowed='a table [device] with ssh = "user@board"',
            hint="add it to a copy of the target's file and name that file with --target; docs/arm.md",
        )
    if shutil.which("ssh") is None:
        raise ExternalToolError("is missing", where="ssh", hint="apt-get install openssh-client")


def input_problems(project: Project, project_folder: Path) -> list[ToolchainError]:
    """Whether the data have what each input of the model reads, by name; shapes are compared when data are loaded."""
    from toolchain.data.ports import names_problem
    from toolchain.data.preflight import input_names as given_names
    from toolchain.model.preflight import input_names as taken_names

    taken, given = taken_names(project.model, project_folder), given_names(project.data, project_folder)
    where = f"[model] file: {project_folder / project.model.file}"
    if project.model.architecture:
        taken, where = ("samples",), f"[model] architecture = '{project.model.architecture}'"
        given = given if given and len(given) > 1 else None
    if not taken or given is None:
        return []
    problem = names_problem(taken, given, where)
    return [problem] if problem else []


def output_problems(project: Project, project_folder: Path) -> list[ToolchainError]:
    """Whether the data have a target for each output of the model, by name; and what several outputs cannot have."""
    from toolchain.data.ports import names_problem
    from toolchain.data.preflight import output_names as given_names
    from toolchain.model.preflight import KERNELS
    from toolchain.model.preflight import output_names as taken_names

    taken, given = taken_names(project.model, project_folder), given_names(project.data, project_folder)
    where = f"[model] file: {project_folder / project.model.file}"
    built_in = project.model.architecture
    if built_in:
        taken, where = KERNELS[built_in][-1:], f"[model] architecture = '{built_in}'"
    problems: list[ToolchainError] = []
    if taken and given is not None:
        problem = names_problem(taken, given, where, "y")
        problems += [problem] if problem else []
    if len(taken) > 1:
        problems += several_outputs_problems(project, where)
    return problems


def several_outputs_problems(project: Project, where: str) -> list[ToolchainError]:
    """Options that a model of several outputs cannot have."""
    refused = {
        "[quantize] final_softmax": (project.quantize.final_softmax, "final_softmax = false"),
        "[model] recurrent = 'step'": (project.model.recurrent == "step", "recurrent = 'unrolled'"),
        "[tflite] verify": (project.tflite.verify, "verify = false"),
    }
    return [
        UnsupportedModelError(f"{key} is made for one output, the model has several", where=where, allowed=allowed)
        for key, (asked, allowed) in refused.items()
        if asked
    ]


def check_one_output(project: Project, project_folder: Path, what: str, hint: str) -> None:
    """Raise UnsupportedModelError for a model of several outputs, where ``what`` is made for one."""
    from toolchain.model.preflight import output_names

    found = output_names(project.model, project_folder)
    if len(found) > 1:
        raise UnsupportedModelError(
            f"is made for one output, the model has {len(found)} ({', '.join(sorted(found))})", where=what, hint=hint
        )


def chosen_part(section: HlsSection, fpga: Fpga) -> Fpga:
    """The device with the part that the project asks for.

    Raises ProjectError when the target file does not name that part.
    """
    known = (fpga.part, *fpga.valid_parts)
    if section.part and section.part not in known:
        raise ProjectError(
            f"the target has no part {section.part!r}", where="[hls] part", allowed=", ".join(known), hint="--target"
        )
    return fpga.model_copy(update={"part": section.part}) if section.part else fpga


def _folder(project_folder: Path) -> list[ToolchainError]:
    place = project_folder / "build"
    while not place.exists():
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return []
    return [ProjectError("cannot be written", where=str(place), hint="change its owner or its permissions")]
