"""hls4ml's types after its exact-precision pass: where each node's words stand, and what its reasoning left out."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.layers import table_values
from toolchain.hls.lowered import Lowered
from toolchain.hls.sufficiency import exact_bounds, find_shortfall, holds
from toolchain.network.nodes import Embedding, FixedPointNetwork, Input, Linear, MaxPool, Node, Table
from toolchain.network.ranges import Range, analyse, exact_range

#: The type of what is always zero: so wide that no rounding drops more bits than there are, where C++ would abort.
#: (hls4ml's own, of one bit far from the point, is compared wrongly with other types.)
ZEROS = FixedPoint(True, 24, 0)


@dataclass(frozen=True)
class Traced:
    """Where a node's words appear in the C-simulation: the hls4ml layer, its C++ type and the words of a sample."""

    node: str
    trace: str
    type: str
    size: int


def find_places(graph: Any, lowered: Lowered, network: FixedPointNetwork) -> list[Traced]:
    """Where each node's words appear. A quantizer that hls4ml fused is its producer; a reshape has no place."""
    present = {layer.name: layer for layer in graph.graph.values()}
    by_name = {layer["name"]: layer for layer in lowered.layers}
    taken: dict[str, str] = {}  # hls4ml layer -> the last node whose words it puts out
    for node in network.nodes:
        name = lowered.ends[node.name]
        if isinstance(node, Input) or by_name[name]["class_name"] == "Reshape" or name == lowered.ends[node.inputs[0]]:
            continue  # the words of the node before, as they were
        while name not in present or by_name[name]["class_name"] == "Reshape":  # the same words, not traced
            name = by_name[name]["inputs"][0]
        if by_name[name]["class_name"] != "InputLayer":
            taken[name] = node.name
    found = []
    for name, node_name in taken.items():
        variable = present[name].get_output_variable()
        found.append(Traced(node_name, name, variable.type.name, int(np.prod(variable.shape))))
    return found


def correct_precisions(graph: Any, lowered: Lowered, network: FixedPointNetwork) -> None:
    """Give hls4ml's types the bits back that it left out and that a value uses, and tables the order of their input.

    It takes a clipped value to be on the grid of the values before clipping, and leaves out what the next layer drops.
    To be called when its exact-precision pass is done and no code is generated yet.
    """
    bounds = exact_bounds(network)
    for node, name in zip(network.inputs, lowered.inputs, strict=True):  # words enter in this very format
        port = graph.graph[name]
        plain = node.result.with_modes(Rounding.TRN, Overflow.WRAP)
        _set_result(port, _precision(plain, port.get_output_variable().type.precision))
    _keep_every_bit(graph, find_places(graph, lowered, network), network, bounds)
    ranges = analyse(network)
    for name, part in lowered.parts.items():
        kind = graph.graph[name].get_output_variable().type.precision
        exact = exact_range(part, [ranges[x] for x in part.inputs])
        never = exact.lowest == exact.highest == 0  # a type far below the next one's grid would be read beyond its bits
        form = FixedPoint(False, 1, 0) if never else exact.smallest_format()
        _set_result(graph.graph[name], _precision(form, kind))
    _keep_handed_on(graph, lowered)
    _keep_every_sum(graph, network, bounds)
    _fit_tables(graph, network)


def _keep_every_bit(
    graph: Any, traced: list[Traced], network: FixedPointNetwork, bounds: dict[str, Range]
) -> None:  # fmt: skip
    """Give a layer's result the bits back that hls4ml left out because no later layer needs them.

    It does so before a truncating change of format, and where a clipped value needs them. Kept, every layer's words can
    be compared by themselves; synthesis leaves unused bits out anyway.
    """
    for place in traced:
        node, layer = network[place.node], graph.graph[place.trace]
        exact, now = bounds[node.name], layer.get_output_variable().type.precision
        if exact.lowest == 0 == exact.highest:
            # A table's index keeps its bits; rounding, which could read one that is not there, has nothing to do.
            index = _format_of(now).with_modes(Rounding.TRN, Overflow.WRAP)
            _set_result(layer, _precision(index if _is_index(node, network) else ZEROS, now))
            continue
        if not find_shortfall(exact, node.result, _format_of(now)):
            continue
        fits = not find_shortfall(exact, node.result, exact.smallest_format())
        _set_result(layer, _precision(exact.smallest_format() if fits else node.result, now))


def _is_index(node: Node, network: FixedPointNetwork) -> bool:
    readers = network.consumers(node.name)
    return any(isinstance(reader, Table | Embedding) or _is_index(reader, network) for reader in readers)


def _precision(form: FixedPoint, like: Any) -> Any:
    """``form`` as hls4ml's precision; ``like`` is another one, which may be shared and is left as it is."""
    precision = copy.copy(like)
    precision.width, precision.integer = form.width, form.integer_bits + int(form.signed)
    precision.signed = form.signed
    precision.rounding_mode, precision.saturation_mode = str(form.rounding), str(form.overflow)
    return precision


def _set_result(layer: Any, precision: Any) -> None:
    layer.get_output_variable().type.precision = precision
    layer.attributes["result_t"].precision = precision


def _keep_handed_on(graph: Any, lowered: Lowered) -> None:
    """A layer that only hands words on has the type that it reads."""
    for layer in graph.graph.values():
        if layer.name in lowered.casts or layer.class_name == "Reshape":
            taken = layer.get_input_variable().type.precision
            _set_result(layer, _precision(_format_of(taken).with_modes(Rounding.TRN, Overflow.WRAP), taken))


def _keep_every_sum(graph: Any, network: FixedPointNetwork, bounds: dict[str, Range]) -> None:
    """Accumulators that hold every sum; a pooling's has the type of what it reads."""
    for node in network.nodes:
        if not isinstance(node, Linear | MaxPool) or node.name not in graph.graph:
            continue
        layer = graph.graph[node.name]
        kind = layer.attributes.get("accum_t")
        if isinstance(node, MaxPool):
            kind.precision = copy.copy(layer.get_input_variable().type.precision)
        elif kind is not None and not holds(_format_of(kind.precision), bounds[node.name]):
            kind.precision = _precision(bounds[node.name].smallest_format(), kind.precision)


def _fit_tables(graph: Any, network: FixedPointNetwork) -> None:
    """Index each table by the words that the layer before it really puts out: hls4ml's type may have fewer bits."""
    for node in network.nodes:
        if not isinstance(node, Table):
            continue
        layer, form = graph.graph[node.name], network[node.inputs[0]].result
        table = layer.weights["table"]
        table.data = table_values(node, form, _format_of(layer.get_input_variable().type.precision))
        table.shape = list(table.data.shape)
        table.data_length = table.data.size
        layer.set_attr("table_size", table.data.size)


def _format_of(precision: Any) -> FixedPoint:
    sign = int(precision.signed)
    modes = Rounding(precision.rounding_mode.name), Overflow(precision.saturation_mode.name)
    return FixedPoint(bool(sign), precision.integer - sign, precision.width - precision.integer, *modes)
