"""Checks of ``[model]`` that need no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import ProjectError, ToolchainError, UnsupportedModelError
from toolchain.model.inspect import read_keras_file
from toolchain.model.layer_rules import activation_name, check_wiring
from toolchain.network.cells import GATES
from toolchain.project import ModelSection

#: The layers with kernels of each reference architecture, in order.
KERNELS = {"spx_cnn": ("conv", "hidden", "forecast"), "btc_mlp": ("hidden1", "hidden2", "hidden3", "logit")}
_RECURRENT = (*GATES, *(f"Q{kind}" for kind in GATES))
_KERNEL_KINDS = (
    "Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
)  # fmt: skip


def check(section: ModelSection, project_folder: Path) -> list[ToolchainError]:
    """Every problem of the model file that its JSON shows: file, custom code, layers, names."""
    if not section.file:
        return []
    if section.weights and not (project_folder / section.weights).is_file():
        return [ProjectError("no such file", where=f"[model] weights: {project_folder / section.weights}")]
    try:
        file = read_keras_file(project_folder / section.file, section.allow_custom_code)
    except ToolchainError as error:
        return [error]
    problems = check_wiring(file.wiring, str(file.path))
    problems += output_problems(tuple(out.layer for out in file.wiring.outputs), str(file.path))
    read = {tensor.layer for call in file.wiring.calls for tensor in call.inputs}
    problems += [
        UnsupportedModelError(f"nothing reads input '{name}'", where=str(file.path), hint="build the model without it")
        for name in file.wiring.inputs if name not in read
    ]  # fmt: skip
    return problems


def output_problems(names: tuple[str, ...], where: str) -> list[ToolchainError]:
    """Outputs go by the names of the layers that give them: each needs one of its own."""
    doubled = sorted({name for name in names if names.count(name) > 1})
    return [
        UnsupportedModelError(
            f"{names.count(name)} outputs are of layer '{name}'", where=where, allowed="a layer of its own for each",
            hint="a Dense or an Activation('linear', name=…) behind each",
        )
        for name in doubled
    ]  # fmt: skip


def output_names(section: ModelSection, project_folder: Path) -> tuple[str, ...]:
    """The names of a model file's outputs. Empty for a reference architecture, or when the file cannot be used."""
    try:
        wiring = read_keras_file(project_folder / section.file, section.allow_custom_code).wiring
    except ToolchainError:
        return ()
    return tuple(out.layer for out in wiring.outputs)


def ends_in_softmax(section: ModelSection, project_folder: Path) -> bool:
    """Whether the model file's output is that of a softmax; a file that cannot be read is another check's matter."""
    if not section.file:
        return False
    try:
        file = read_keras_file(project_folder / section.file, section.allow_custom_code)
    except ToolchainError:
        return True
    last = [file.wiring.layers[out.layer] for out in file.wiring.outputs]
    return any(
        layer.kind == "Softmax" or activation_name(layer.config.get("activation")) == "softmax" for layer in last
    )


def input_names(section: ModelSection, project_folder: Path) -> tuple[str, ...]:
    """The names of a model file's inputs. Empty for a reference architecture, or when the file cannot be used."""
    try:
        return read_keras_file(project_folder / section.file, section.allow_custom_code).wiring.inputs
    except ToolchainError:
        return ()


def step_problems(section: ModelSection, project_folder: Path) -> list[ToolchainError]:
    """Why a model cannot become a recurrent step: one layer that reads the input, which nothing else reads."""
    where, hint = "[model] recurrent = 'step'", "recurrent = 'unrolled'"
    if not section.file:
        return [ProjectError("the reference architectures have no recurrent layer", where=where, hint=hint)]
    try:
        wiring = read_keras_file(project_folder / section.file, section.allow_custom_code).wiring
    except ToolchainError:
        return []
    found = [layer for layer in wiring.layers.values() if layer.kind in (*_RECURRENT, "Bidirectional")]
    if len(found) != 1 or found[0].kind not in _RECURRENT:
        kinds = ", ".join(layer.kind for layer in found) or "none"
        return [UnsupportedModelError(
            f"recurrent layers: {kinds}", where=where, allowed=f"one {', '.join(_RECURRENT)}", hint=hint
        )]  # fmt: skip
    problems: list[ToolchainError] = [
        UnsupportedModelError(
            f"{key} = True in layer '{found[0].name}'", where=where, allowed=f"{key} = False", hint=hint
        )
        for key in ("return_sequences", "go_backwards")
        if found[0].config.get(key)
    ]
    ports = set(wiring.inputs)
    ports |= {  # a QKeras model's input is quantized first
        call.layer for call in wiring.calls
        if wiring.layers[call.layer].kind == "QActivation" and any(read.layer in ports for read in call.inputs)
    }  # fmt: skip
    readers = {call.layer for call in wiring.calls if any(read.layer in ports for read in call.inputs)} - ports
    if readers != {found[0].name}:
        problems.append(UnsupportedModelError(
            f"the input is read by {', '.join(sorted(readers))}", where=where,
            allowed=f"by '{found[0].name}' alone", hint=hint,
        ))  # fmt: skip
    return problems


def kernel_names(section: ModelSection, project_folder: Path) -> tuple[str, ...]:
    """The names of the layers with kernels: what ``[prune] skip`` can name. Empty when the file cannot be used."""
    if not section.file:
        return KERNELS[section.architecture]
    try:
        file = read_keras_file(project_folder / section.file, section.allow_custom_code)
    except ToolchainError:
        return ()
    return tuple(name for name, layer in file.wiring.layers.items() if layer.kind.removeprefix("Q") in _KERNEL_KINDS)
