"""``FixedPointNetwork`` to hls4ml's layer list: plain layers, and a quantizer node at every change of format."""

from __future__ import annotations

from toolchain.hls.admission import admit, port_name
from toolchain.hls.layers import Layer, plain
from toolchain.hls.lowered import Lowered
from toolchain.hls.operators import keeps_order, lower_node
from toolchain.network.nodes import Crop, FixedPointNetwork, Node, Permute, Reshape, ZeroPadding

#: hls4ml copies a stream at most this often.
_READERS = 7


def lower(network: FixedPointNetwork, io_type: str) -> Lowered:
    """The layer list of ``network``. Raises UnsupportedModelError for what hls4ml cannot do exactly."""
    admit(network)
    lowered = Lowered(io_type, inputs=[port_name(node) for node in network.inputs])
    at_ports = _reshapes_at_ports(network)
    for node in network.nodes:
        x = node.inputs[0] if node.inputs else ""
        last = node.name in at_ports
        if last or _moves_nothing(node, network):
            lowered.ends[node.name] = lowered.ends[x]  # the port's words in row-major order are the same
        else:
            lowered.layers += lower_node(node, network, lowered)
            lowered.ends[node.name] = lowered.layers[-1]["name"]
        flattens = isinstance(node, Reshape) and len(node.shape) == 1 and len(network[x].shape) > 1 and not last
        if flattens or (_moves_nothing(node, network) and x in lowered.flattened):
            lowered.flattened.add(node.name)
    _lower_outputs(network, lowered)
    if io_type == "io_stream":
        _limit_readers(lowered)
    return lowered


def _moves_nothing(node: Node, network: FixedPointNetwork) -> bool:
    """Whether ``node`` gives its input as it is. (hls4ml would leave such a layer out, or write it wrongly.)"""
    if isinstance(node, ZeroPadding | Crop):
        return node.shape == network[node.inputs[0]].shape
    if isinstance(node, Permute):
        return node.axes == tuple(range(len(node.shape)))
    return isinstance(node, Reshape) and node.shape == network[node.inputs[0]].shape


def _reshapes_at_ports(network: FixedPointNetwork) -> set[str]:
    """Changes of shape that nothing reads but such changes: a port has its words in row-major order anyway."""
    found: set[str] = set()
    for node in reversed(network.nodes):
        readers = {reader.name for reader in network.consumers(node.name)}
        if keeps_order(node, network) and readers <= found:
            found.add(node.name)
    return found


def _lower_outputs(network: FixedPointNetwork, lowered: Lowered) -> None:
    """Every output gets a layer that nothing else reads: hls4ml's ports are the results of such layers."""
    read = {x for layer in lowered.layers for x in layer.get("inputs", [])}
    for number, name in enumerate(network.outputs):
        end = lowered.ends[name]
        passes = any(end == lowered.ends[port.name] for port in network.inputs)
        if end in read or end in lowered.outputs or name in lowered.flattened or passes:
            end = lowered.hand_on(name, f"{name}_port{number}")
        lowered.outputs.append(end)


def _limit_readers(lowered: Lowered) -> None:
    """Put a layer that hands the words on before every further six readers of a stream that has more than seven."""
    readers: dict[str, list[Layer]] = {}
    for layer in lowered.layers:
        for x in layer.get("inputs", []):
            readers.setdefault(x, []).append(layer)
    nodes = {end: node for node, end in lowered.ends.items()} | lowered.casts
    for x, found in readers.items():
        source, number = x, 0
        while len(found) > _READERS:
            found, number = found[_READERS - 1 :], number + 1
            name = f"{x}_more{number}"
            place = next(i for i, layer in enumerate(lowered.layers) if layer is found[0])
            lowered.layers.insert(place, plain("Cast", name, source))
            lowered.casts[name] = nodes[x]
            for layer in found:
                layer["inputs"] = [name if y == source else y for y in layer["inputs"]]
            source = name
