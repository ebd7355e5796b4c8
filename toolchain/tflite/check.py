"""Is the integer file what it should be? Its words, tensor by tensor, against arithmetic and against the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import Words
from toolchain.network.interpreter import run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.bounds import LayerBound, bound_differences, output_bounds
from toolchain.tflite.emulation import emulate
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.lowering import port_span
from toolchain.tflite.operators import IntegerModel
from toolchain.tflite.reader import declare_tensors, read_summary, read_tensors
from toolchain.tflite.runtime import run_tensors

Quantized = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PortAgreement:
    """One output port's words against the network's, rounded to the port's grid, on the same input words."""

    words: Quantized  # of the reference kernels
    network_words: Words  # of the network's result, in its own format
    expected: Quantized  # the same, rounded to the port's grid
    default_words: Quantized  # the default kernels' (XNNPACK) on this machine
    proven_words: int  # the largest difference that can ever be, for any input


@dataclass(frozen=True, eq=False)
class Agreement:
    """What a file gave, over all its output ports."""

    inputs: dict[str, Quantized]
    ports: tuple[PortAgreement, ...]
    equal_words_share: float
    largest_word_difference: int
    proven_words: int
    default_equal_words_share: float  # the same with the default kernels (XNNPACK)
    default_largest_word_difference: int
    bounds: tuple[LayerBound, ...]

    @property
    def outputs(self) -> Quantized:
        """The words of the only output port."""
        assert len(self.ports) == 1, "which of them?"
        return self.ports[0].words

    @property
    def samples(self) -> int:
        return len(self.ports[0].words)


def check_file(
    path: Path, model: IntegerModel, network: FixedPointNetwork, inputs: Mapping[str, Quantized] | Quantized
) -> Agreement:
    """Run ``path`` on ``inputs (samples, *shape)`` by port name (or of the only port) and compare.

    Raises BitMismatchError when a tensor's words differ from the reference kernels' arithmetic on the network's
    integers (the file is not this network), or a result is further from the network's than the formats allow.
    """
    given = dict(inputs) if isinstance(inputs, Mapping) else {model.inputs[0].name: inputs}
    _check_ports(path, model)
    outputs = _check_words(path, model, given)
    _check_declarations(path, model)
    words = network_words(network, model, given)
    order = tuple(given[port.name] for port in model.inputs)
    defaults = run_tensors(path, order, (), "default")[0]
    proven, everywhere = output_bounds(network, model), output_bounds(network, model, everywhere=True)
    ports = []
    for place, port in enumerate(model.outputs):
        found = words[port.name]
        bits = network[port.name].result.fractional_bits
        expected = port.tensor.grid.quantize(found, bits, port.rounding)
        for name, result, allowed in (
            ("reference kernels", outputs[place], proven[place]),
            ("default kernels", defaults[place], everywhere[place]),
        ):
            _check_bound(path, f"the {name} at '{port.name}'", (result, expected), allowed)
        ports.append(PortAgreement(outputs[place], found, expected, defaults[place], proven[place]))
    share, largest = _compare([(port.words, port.expected) for port in ports])
    default_share, default_largest = _compare([(port.default_words, port.expected) for port in ports])
    bounds = tuple(bound_differences(network, model))
    return Agreement(given, tuple(ports), share, largest, max(proven), default_share, default_largest, bounds)


def network_words(network: FixedPointNetwork, model: IntegerModel, inputs: Mapping[str, Quantized]) -> dict[str, Words]:
    """The network's result words, by output, for the real values that the quantized words ``inputs`` stand for."""
    words = {}
    for port in model.inputs:
        node, grid = network[port.name], port.tensor.grid
        span = port_span(node, grid)
        found = np.clip(grid.words_of(inputs[port.name]), span.low, span.high)
        words[port.name] = found << (node.result.fractional_bits - grid.fractional_bits)
    return run(network, words, network.outputs)


def _check_bound(path: Path, who: str, words: tuple[Quantized, Quantized], allowed: int) -> None:
    found = _compare([words])[1]
    if found > allowed:
        raise BitMismatchError(
            f"{who}: {found} words from the network's result; the formats allow {allowed}",
            where=str(path), hint="please report this model",
        )  # fmt: skip


def _compare(pairs: list[tuple[Quantized, Quantized]]) -> tuple[float, int]:
    """The share of equal words and the largest difference over all pairs."""
    difference = np.concatenate([np.abs(found.astype(np.int64) - wanted).reshape(-1) for found, wanted in pairs])
    return float((difference == 0).mean()), int(difference.max(initial=0))


def _check_ports(path: Path, model: IntegerModel) -> None:
    summary = read_summary(path)
    for given, wanted_ports in ((summary.inputs, model.inputs), (summary.outputs, model.outputs)):
        if len(given) != len(wanted_ports):
            raise BitMismatchError(f"has {len(given)} ports, the network {len(wanted_ports)}", where=str(path))
        for port, expected in zip(given, wanted_ports, strict=True):
            grid = expected.tensor.grid
            found = (port.name, port.kind, port.shape[1:], port.scale, port.zero_point)
            wanted = (expected.name, f"int{grid.bits}", expected.tensor.shape, grid.scale, grid.zero_point)
            if found != wanted:
                raise BitMismatchError(f"port '{expected.name}' is {found}, the network's is {wanted}", where=str(path))


def _check_words(path: Path, model: IntegerModel, inputs: Mapping[str, Quantized]) -> tuple[Quantized, ...]:
    expected = emulate(model, inputs)
    names = tuple(operator.output.name for operator in model.operators)
    outputs, tensors = run_tensors(path, tuple(inputs[port.name] for port in model.inputs), names)
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
    return outputs


def _check_declarations(path: Path, model: IntegerModel) -> None:
    """Scales, zero points and constants that no kernel reads are checked too: a user does read them."""
    expected, found = declare_tensors(to_bytes(model)), read_tensors(path)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise BitMismatchError(f"tensor '{name}' is not declared as the network's", where=str(path))
