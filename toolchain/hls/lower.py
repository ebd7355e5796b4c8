"""``FixedPointNetwork`` to hls4ml's layer list: plain layers, and a quantizer node at every change of format."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import singledispatch

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import Overflow, Rounding
from toolchain.hls import layers
from toolchain.hls.admission import admit, refuse
from toolchain.hls.layers import Layer, plain
from toolchain.network.nodes import (
    Add,
    Average,
    Concatenate,
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    Embedding,
    FixedPointNetwork,
    Input,
    Linear,
    Maximum,
    MaxPool,
    Merge,
    Minimum,
    Multiply,
    Node,
    Permute,
    Relu,
    Requantize,
    Reshape,
    Scale,
    Subtract,
    Table,
    ZeroPadding,
)
from toolchain.network.windows import output_length

#: hls4ml copies a stream at most this often.
_READERS = 7
_OPERATIONS = {
    Add: "add", Subtract: "subtract", Multiply: "multiply", Maximum: "maximum", Minimum: "minimum", Average: "average",
}  # fmt: skip


@dataclass
class Lowered:
    """hls4ml's layer dictionaries, and where each node's words stand among them."""

    io_type: str
    layers: list[Layer] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)  # node -> the hls4ml layer that puts out its words
    casts: dict[str, str] = field(default_factory=dict)  # a layer that only hands a node's words on -> that node
    parts: dict[str, Node] = field(default_factory=dict)  # a layer that joins only the first inputs of a node: as node
    flattened: set[str] = field(default_factory=set)  # nodes whose stream still has the packs from before a flattening
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [layer["name"] for layer in self.layers]

    def hand_on(self, node: str, name: str) -> str:
        """A layer ``name`` behind ``node`` that has its words and nothing of its own; its name."""
        self.layers.append(plain("Cast", name, self.ends[node]))
        self.casts[name] = node
        return name

    def read(self, node: Node) -> list[str]:
        """The layers that an element-wise ``node`` reads: each once, and in whole packs.

        A flattened stream keeps its packs of channels, which only hls4ml's Dense allows for.
        """
        found: list[str] = []
        for number, x in enumerate(node.inputs):
            packed = self.io_type == "io_stream" and x in self.flattened
            again = self.ends[x] in found
            found.append(self.hand_on(x, f"{node.name}_in{number}") if packed or again else self.ends[x])
        return found


def lower(network: FixedPointNetwork, io_type: str) -> Lowered:
    """The layer list of ``network``. Raises UnsupportedModelError for what hls4ml cannot do exactly."""
    admit(network)
    lowered = Lowered(io_type, inputs=[node.name for node in network.inputs])
    at_ports = _reshapes_at_ports(network)
    for node in network.nodes:
        x = node.inputs[0] if node.inputs else ""
        last = node.name in at_ports
        if last or _moves_nothing(node, network):
            lowered.ends[node.name] = lowered.ends[x]  # the port's words in row-major order are the same
        else:
            lowered.layers += _lower(node, network, lowered)
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
        if _is_reshape(node, network) and readers <= found:
            found.add(node.name)
    return found


def _is_reshape(node: Node, network: FixedPointNetwork) -> bool:
    """Whether ``node`` keeps the words in their row-major order."""
    if not isinstance(node, Permute):
        return isinstance(node, Reshape)
    before = network[node.inputs[0]].shape
    longer = [axis for axis in node.axes if before[axis] > 1]
    return longer == sorted(longer)


def _lower_outputs(network: FixedPointNetwork, lowered: Lowered) -> None:
    """Every output gets a layer that nothing else reads: hls4ml's ports are the results of such layers."""
    read = {x for layer in lowered.layers for x in layer.get("inputs", [])}
    for number, name in enumerate(network.outputs):
        end = lowered.ends[name]
        if end in read or end in lowered.outputs or name in lowered.flattened:
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


@singledispatch
def _lower(node: Node, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    raise UnsupportedModelError(
        f"{type(node).__name__} is not lowered to hardware", where=f"layer '{node.layer or node.name}'",
        allowed="the operators of docs/fixed_point_network.md",
    )  # fmt: skip


@_lower.register
def _(node: Input, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    # The port's words are in the format already: the quantizer only tells hls4ml their range, it makes no hardware.
    form = node.result.with_modes(Rounding.TRN, Overflow.WRAP)
    port = {"class_name": "InputLayer", "name": node.name, "input_shape": list(node.shape)}
    return [port, layers.quantizer(node, form, f"{node.name}_format", node.name)]


@_lower.register
def _(node: Dense, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    if len(shape) == 1:
        return [layers.dense(node, lowered.ends[node.inputs[0]]), *_result(node)]
    if len(shape) > 3:
        raise refuse(node, f"Dense on {len(shape)} axes", "1 to 3 axes")
    axes = len(shape) - 1
    layer = layers.convolution(node, lowered.ends[node.inputs[0]], shape, (1,) * axes, ((0, 0),) * axes)
    return [layer, *_result(node)]


@_lower.register(Convolution)
@_lower.register(DepthwiseConvolution)
def _(node: Convolution | DepthwiseConvolution, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    _check_rank(node, shape)
    window = layers.hardware_kernel(node).shape[: len(node.strides)]
    _check_window(node, window, shape, node.padding)
    if lowered.io_type == "io_stream":
        _check_streamed(node, window)
    x, padding, added = lowered.ends[node.inputs[0]], node.padding, list[Layer]()
    if lowered.io_type == "io_stream" and any(map(any, padding)):
        # hls4ml inserts this layer too late: behind a fork it may pad what another layer reads.
        x, shape, added = _padded(node, x, shape, lowered)
        padding = ((0, 0),) * len(padding)
    return [*added, layers.convolution(node, x, shape, node.strides, padding), *_result(node)]


def _padded(
    node: Convolution | DepthwiseConvolution | MaxPool, x: str, shape: tuple[int, ...], lowered: Lowered
) -> tuple[str, tuple[int, ...], list[Layer]]:
    """A layer that pads what ``node`` reads: its name, its shape and itself."""
    name = f"{node.name}_part0"
    wide = tuple(n + sum(ends) for n, ends in zip(shape[:-1], node.padding, strict=True))
    lowered.casts[name] = node.inputs[0]
    return name, (*wide, shape[-1]), [layers.zero_padding(name, x, shape, node.padding)]


@_lower.register
def _(node: Scale, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    if layers.is_nothing(node):  # hls4ml would leave it out together with its result format
        return [plain("Cast", node.name, x), *_result(node)]
    # Without a change of format behind it hls4ml would move it behind an addition that reads it.
    return [layers.scale(node, x), *_own_format(node)]


@_lower.register
def _(node: Relu, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    return [plain("Activation", node.name, x, activation="relu", n_in=node.size), *_own_format(node)]


@_lower.register
def _(node: Requantize, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = network[node.inputs[0]]
    end = lowered.ends[x.name]
    alone = len(network.consumers(x.name)) == 1 and x.name not in network.outputs
    if alone and isinstance(x, Linear) and end == x.name and x.name not in lowered.flattened:
        return [layers.quantizer(node, node.result, node.name, end)]  # hls4ml makes it the sum's own result type
    # hls4ml merges every quantizer into the layer before it, and a second one there would replace the first.
    return [plain("Cast", node.name, end), *_own_format(node)]


@_lower.register
def _(node: Reshape, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = node.inputs[0]
    end = lowered.ends[x]
    # Of a transposition that is then flattened hls4ml makes other weights, right for one order of the axes only; and a
    # stream that was flattened has other packs than its shape says.
    if isinstance(network[x], Permute) or (x in lowered.flattened and lowered.io_type == "io_stream"):
        end = lowered.hand_on(x, f"{node.name}_in0")
    return [plain("Reshape", node.name, end, target_shape=list(node.shape))]


@_lower.register
def _(node: MaxPool, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = network[node.inputs[0]]
    _check_rank(node, x.shape)
    end, shape, added = lowered.ends[x.name], x.shape, list[Layer]()
    if any(map(any, node.padding)) and not x.result.signed:
        # hls4ml pads with the word that has the highest bit alone: for unsigned types that is no smallest one.
        end, shape, added = _padded(node, end, shape, lowered)
        node = replace(node, padding=((0, 0),) * len(node.window))
    _check_window(node, node.window, shape, node.padding)
    if lowered.io_type == "io_stream":
        _check_streamed_pool(node)
    return [*added, layers.max_pool(node, end, shape)]


@_lower.register
def _(node: ZeroPadding, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    _check_rank(node, shape)
    return [layers.zero_padding(node.name, lowered.ends[node.inputs[0]], shape, node.padding)]


@_lower.register
def _(node: Crop, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    _check_rank(node, shape)
    return [layers.crop(node, lowered.ends[node.inputs[0]], shape)]


@_lower.register
def _(node: Permute, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    if _is_reshape(node, network):
        return [plain("Reshape", node.name, x, target_shape=list(node.shape))]
    return [plain("Transpose", node.name, x, perm=list(node.axes))]


@_lower.register
def _(node: Merge, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    if isinstance(node, Average) and len(node.inputs) > 2:
        raise refuse(node, f"an average of {len(node.inputs)} layers", "two layers, or an average of averages")
    ends, op, parts = lowered.read(node), _OPERATIONS[type(node)], _partial(node, lowered)
    found, x = [], ends[0]
    for name, y in zip([*parts, node.name], ends[1:], strict=True):
        found.append(layers.merge(op, name, x, y))
        x = name
    return [*found, *_own_format(node)]


def _partial(node: Merge | Concatenate, lowered: Lowered) -> list[str]:
    """The names of the layers that join two, three … of more than two inputs."""
    names = [f"{node.name}_part{number}" for number in range(len(node.inputs) - 2)]
    for number, name in enumerate(names):
        lowered.parts[name] = replace(node, name=name, inputs=node.inputs[: number + 2])
    return names


@_lower.register
def _(node: Concatenate, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    rank = len(node.shape)
    if rank > 3:
        raise refuse(node, f"concatenation of {rank} axes", "1 to 3 axes")
    ends, parts = lowered.read(node), _partial(node, lowered)
    found, x = [], ends[0]
    for name, y in zip([*parts, node.name], ends[1:], strict=True):
        found.append(layers.concatenate(name, x, y, node.axis, rank))
        x = name
    return [*found, *_own_format(node)]


@_lower.register
def _(node: Table, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    data = layers.values(node.words, node.result)
    return [plain("UnaryLUT", node.name, x, table_data=data, activation="unary_lut")]


@_lower.register
def _(node: Embedding, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    if len(node.shape) != 2:
        raise refuse(node, f"an embedding of {len(node.shape) - 1} axes", "one axis")
    (x,) = lowered.read(node)
    return [layers.embedding(node, x)]


def _check_rank(node: Node, shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise refuse(node, f"{type(node).__name__} over {len(shape) - 1} axes", "one or two axes and the channels")


def _check_window(
    node: Node, window: tuple[int, ...], shape: tuple[int, ...], padding: tuple[tuple[int, int], ...]
) -> None:
    sizes = [n + sum(ends) for n, ends in zip(shape[:-1], padding, strict=True)]
    if any(taps > n for taps, n in zip(window, sizes, strict=True)):
        raise refuse(node, f"a window of {window} places over {tuple(sizes)}", "windows that fit into the padded input")
    assert all(output_length(n, k, 1, 1, (0, 0)) > 0 for n, k in zip(sizes, window, strict=True))


def _check_streamed(node: Convolution | DepthwiseConvolution, window: tuple[int, ...]) -> None:
    """hls4ml's line buffer counts the rows wrongly; a full convolution of one place goes another way."""
    point = window == (1, 1) and isinstance(node, Convolution)
    if len(window) == 2 and window[0] == 1 and node.strides[0] > 1 and not point:
        raise refuse(node, f"a window of {window} with strides {node.strides}", "two rows or more, or io_parallel")


def _check_streamed_pool(node: MaxPool) -> None:
    """hls4ml's streaming pool asserts both."""
    if any(map(any, node.padding)):
        raise refuse(node, "max pooling with padding of values that may be negative", "no padding, or io_parallel")
    if len(node.window) == 2 and node.window != node.strides:
        raise refuse(node, "overlapping or separate pooling windows", "strides = window under io_stream")


def _result(node: Linear) -> list[Layer]:
    return [] if node.result.same_grid(node.accumulator) else _own_format(node)


def _own_format(node: Node) -> list[Layer]:
    return [layers.quantizer(node, node.result, f"{node.name}_format", node.name)]
