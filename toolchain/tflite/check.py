"""Is the int8 file what it should be? Its words, tensor by tensor, against arithmetic and against the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import Words
from toolchain.network.interpreter import run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.bounds import LayerBound, bound_differences
from toolchain.tflite.emulation import emulate
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.grids import Int8Array
from toolchain.tflite.lowering import port_span
from toolchain.tflite.operators import Int8Model
from toolchain.tflite.reader import declare_tensors, read_summary, read_tensors
from toolchain.tflite.runtime import run_file, run_tensors


@dataclass(frozen=True, eq=False)
class Agreement:
    """int8 output words against the network's, rounded to the output port's grid, on the same input words."""

    inputs: Int8Array
    outputs: Int8Array
    network_words: Words  # of the network's result, in its own format
    expected: Int8Array  # the same, rounded to the output port's grid
    default_outputs: Int8Array  # the default kernels' (XNNPACK) on this machine
    equal_words_share: float
    largest_word_difference: int
    proven_words: int  # the largest difference that can ever be, for any input
    default_equal_words_share: float  # the same with the default kernels (XNNPACK)
    default_largest_word_difference: int
    bounds: tuple[LayerBound, ...]


def check_file(path: Path, model: Int8Model, network: FixedPointNetwork, inputs: Int8Array) -> Agreement:
    """Run ``path`` on ``inputs (samples, *shape)`` and compare.

    Raises BitMismatchError when a tensor's words differ from the reference kernels' arithmetic on the network's
    integers (the file is not this network), or a result is further from the network's than the formats allow.
    """
    _check_ports(path, model)
    outputs = _check_words(path, model, inputs)
    _check_declarations(path, model)
    words = network_words(network, model, inputs)
    expected = model.output.grid.quantize(
        words, network[network.outputs[0]].result.fractional_bits, model.output_rounding
    )
    bounds = tuple(bound_differences(network, model))
    proven = bounds[-1].words if bounds else 0
    share, largest = _compare(outputs, expected)
    default = run_file(path, inputs, "default")
    default_share, default_largest = _compare(default, expected)
    any_kernel = bound_differences(network, model, everywhere=True)
    for name, found, allowed in (
        ("reference kernels", largest, proven),
        ("default kernels", default_largest, any_kernel[-1].words if any_kernel else 0),
    ):
        if found > allowed:
            raise BitMismatchError(
                f"the {name} are {found} words from the network's result; the formats allow {allowed}",
                where=str(path), hint="please report this model",
            )  # fmt: skip
    return Agreement(
        inputs, outputs, words, expected, default.astype(np.int8), share, largest, proven, default_share,
        default_largest, bounds,
    )  # fmt: skip


def network_words(network: FixedPointNetwork, model: Int8Model, inputs: Int8Array) -> Words:
    """The network's result words for the real values that the int8 words ``inputs`` stand for."""
    node, grid = network.inputs[0], model.input.grid
    span = port_span(node, grid)
    words = np.clip(grid.words_of(inputs), span.low, span.high)
    words = words << (node.result.fractional_bits - grid.fractional_bits)
    return run(network, {node.name: words})[network.outputs[0]]


def _compare(found: Int8Array, expected: Int8Array) -> tuple[float, int]:
    difference = np.abs(found.astype(np.int64) - expected)
    return float((difference == 0).mean()), int(difference.max(initial=0))


def _check_ports(path: Path, model: Int8Model) -> None:
    summary = read_summary(path)
    for port, name, tensor in (
        (summary.inputs[0], model.input_name, model.input),
        (summary.outputs[0], model.output_name, model.output),
    ):
        found = (port.name, port.kind, port.shape[1:], port.scale, port.zero_point)
        wanted = (name, "int8", tensor.shape, tensor.grid.scale, tensor.grid.zero_point)
        if found != wanted:
            raise BitMismatchError(f"port '{name}' is {found}, the network's is {wanted}", where=str(path))


def _check_words(path: Path, model: Int8Model, inputs: Int8Array) -> Int8Array:
    expected = emulate(model, inputs)
    names = tuple(operator.output.name for operator in model.operators)
    outputs, tensors = run_tensors(path, inputs, names)
    for operator in model.operators:
        name = operator.output.name
        if name not in tensors or tensors[name].shape != expected[name].shape:
            raise BitMismatchError(f"tensor '{name}' is missing or has another shape", where=str(path))
        wrong = np.argwhere(tensors[name] != expected[name])
        if len(wrong):
            place = tuple(int(n) for n in wrong[0])
            raise BitMismatchError(
                f"{len(wrong)} of {expected[name].size} words differ; first: sample {place[0]}, element "
                f"{list(place[1:])}: expected {expected[name][place]}, found {tensors[name][place]}",
                where=f"{path.name}: layer '{operator.layer}'",
                hint="the file was changed, or this TensorFlow's reference kernels round differently",
            )
    return outputs.astype(np.int8)


def _check_declarations(path: Path, model: Int8Model) -> None:
    """Scales, zero points and constants that no kernel reads are checked too: a user does read them."""
    expected, found = declare_tensors(to_bytes(model)), read_tensors(path)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise BitMismatchError(f"tensor '{name}' is not declared as the network's", where=str(path))
