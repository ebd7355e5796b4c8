"""What each operator becomes: hls4ml's layers for one node, or the refusal of what it cannot do exactly."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import Overflow, Rounding
from toolchain.hls import layers
from toolchain.hls.admission import port_name, refuse
from toolchain.hls.layers import Layer, plain
from toolchain.hls.lowered import Lowered
from toolchain.network import nodes
from toolchain.network.nodes import FixedPointNetwork, Linear, Merge, Node
from toolchain.network.ranges import analyse
from toolchain.network.windows import output_length

_OPERATIONS = {
    nodes.Add: "add", nodes.Subtract: "subtract", nodes.Multiply: "multiply",
    nodes.Maximum: "maximum", nodes.Minimum: "minimum", nodes.Average: "average",
}  # fmt: skip


def keeps_order(node: Node, network: FixedPointNetwork) -> bool:
    """Whether ``node`` keeps the words in their row-major order."""
    if not isinstance(node, nodes.Permute):
        return isinstance(node, nodes.Reshape)
    before = network[node.inputs[0]].shape
    longer = [axis for axis in node.axes if before[axis] > 1]
    return longer == sorted(longer)


@singledispatch
def lower_node(node: Node, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    raise UnsupportedModelError(
        f"{type(node).__name__} is not lowered to hardware", where=f"layer '{node.layer or node.name}'",
        allowed="the operators of docs/fixed_point_network.md",
    )  # fmt: skip


@lower_node.register
def _(node: nodes.Input, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    # The port's words are in the format already: the quantizer only tells hls4ml their range, it makes no hardware.
    form = node.result.with_modes(Rounding.TRN, Overflow.WRAP)
    port = port_name(node)
    layer = {"class_name": "InputLayer", "name": port, "input_shape": list(node.shape)}
    return [layer, layers.quantizer(node, form, f"{node.name}_format", port)]


@lower_node.register
def _(node: nodes.Dense, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    if len(shape) == 1:
        return [layers.dense(node, lowered.ends[node.inputs[0]]), *_result(node)]
    if len(shape) > 3:
        raise refuse(node, f"Dense on {len(shape)} axes", "1 to 3 axes")
    axes = len(shape) - 1
    layer = layers.convolution(node, lowered.ends[node.inputs[0]], shape, (1,) * axes, ((0, 0),) * axes)
    return [layer, *_result(node)]


@lower_node.register(nodes.Convolution)
@lower_node.register(nodes.DepthwiseConvolution)
def _(
    node: nodes.Convolution | nodes.DepthwiseConvolution, network: FixedPointNetwork, lowered: Lowered
) -> list[Layer]:
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
    node: nodes.Convolution | nodes.DepthwiseConvolution | nodes.MaxPool,
    x: str,
    shape: tuple[int, ...],
    lowered: Lowered,
) -> tuple[str, tuple[int, ...], list[Layer]]:
    """A layer that pads what ``node`` reads: its name, its shape and itself."""
    name = f"{node.name}_part0"
    wide = tuple(n + sum(ends) for n, ends in zip(shape[:-1], node.padding, strict=True))
    lowered.casts[name] = node.inputs[0]
    return name, (*wide, shape[-1]), [layers.zero_padding(name, x, shape, node.padding)]


@lower_node.register
def _(node: nodes.Scale, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    if layers.is_nothing(node):  # hls4ml would leave it out together with its result format
        return [plain("Cast", node.name, x), *_result(node)]
    # Without a change of format behind it hls4ml would move it behind an addition that reads it.
    return [layers.scale(node, x), *_own_format(node)]


@lower_node.register
def _(node: nodes.Relu, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    return [plain("Activation", node.name, x, activation="relu", n_in=node.size), *_own_format(node)]


@lower_node.register
def _(node: nodes.Requantize, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = network[node.inputs[0]]
    end = lowered.ends[x.name]
    alone = len(network.consumers(x.name)) == 1 and x.name not in network.outputs
    if alone and isinstance(x, Linear) and end == x.name and x.name not in lowered.flattened:
        return [layers.quantizer(node, node.result, node.name, end)]  # hls4ml makes it the sum's own result type
    # hls4ml merges every quantizer into the layer before it, and a second one there would replace the first.
    return [plain("Cast", node.name, end), *_own_format(node)]


@lower_node.register
def _(node: nodes.Reshape, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = node.inputs[0]
    end = lowered.ends[x]
    # Of a transposition that is then flattened hls4ml makes other weights, right for one order of the axes only; and a
    # stream that was flattened has other packs than its shape says.
    if isinstance(network[x], nodes.Permute) or (x in lowered.flattened and lowered.io_type == "io_stream"):
        end = lowered.hand_on(x, f"{node.name}_in0")
    return [plain("Reshape", node.name, end, target_shape=list(node.shape))]


@lower_node.register
def _(node: nodes.MaxPool, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = network[node.inputs[0]]
    _check_rank(node, x.shape)
    end, shape, added = lowered.ends[x.name], x.shape, list[Layer]()
    if any(map(any, node.padding)) and analyse(network)[x.name].lowest >= 0:
        # hls4ml pads with the word that has the highest bit alone. For unsigned types that is no smallest one, and it
        # makes every type unsigned whose values are never negative.
        end, shape, added = _padded(node, end, shape, lowered)
        node = replace(node, padding=((0, 0),) * len(node.window))
    _check_window(node, node.window, shape, node.padding)
    if lowered.io_type == "io_stream":
        _check_streamed_pool(node)
    return [*added, layers.max_pool(node, end, shape)]


@lower_node.register
def _(node: nodes.ZeroPadding, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    _check_rank(node, shape)
    return [layers.zero_padding(node.name, lowered.ends[node.inputs[0]], shape, node.padding)]


@lower_node.register
def _(node: nodes.Crop, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    _check_rank(node, shape)
    return [layers.crop(node, lowered.ends[node.inputs[0]], shape)]


@lower_node.register
def _(node: nodes.Permute, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    if keeps_order(node, network):
        return [plain("Reshape", node.name, x, target_shape=list(node.shape))]
    return [plain("Transpose", node.name, x, perm=list(node.axes))]


@lower_node.register
def _(node: Merge, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    if isinstance(node, nodes.Average) and len(node.inputs) > 2:
        raise refuse(node, f"an average of {len(node.inputs)} layers", "two layers, or an average of averages")
    ends, op, parts = lowered.read(node), _OPERATIONS[type(node)], _partial(node, lowered)
    found, x = [], ends[0]
    for name, y in zip([*parts, node.name], ends[1:], strict=True):
        found.append(layers.merge(op, name, x, y))
        x = name
    return [*found, *_own_format(node)]


def _partial(node: Merge | nodes.Concatenate, lowered: Lowered) -> list[str]:
    """The names of the layers that join two, three … of more than two inputs."""
    names = [f"{node.name}_part{number}" for number in range(len(node.inputs) - 2)]
    for number, name in enumerate(names):
        lowered.parts[name] = replace(node, name=name, inputs=node.inputs[: number + 2])
    return names


@lower_node.register
def _(node: nodes.Concatenate, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    rank = len(node.shape)
    if rank > 3:
        raise refuse(node, f"concatenation of {rank} axes", "1 to 3 axes")
    ends, parts = lowered.read(node), _partial(node, lowered)
    found, x = [], ends[0]
    for name, y in zip([*parts, node.name], ends[1:], strict=True):
        found.append(layers.concatenate(name, x, y, node.axis, rank))
        x = name
    return [*found, *_own_format(node)]


@lower_node.register
def _(node: nodes.Table, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    (x,) = lowered.read(node)
    data = layers.values(node.words, node.result)
    return [plain("UnaryLUT", node.name, x, table_data=data, activation="unary_lut")]


@lower_node.register
def _(node: nodes.Embedding, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
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


def _check_streamed(node: nodes.Convolution | nodes.DepthwiseConvolution, window: tuple[int, ...]) -> None:
    """hls4ml's line buffer counts the rows wrongly; a full convolution of one place goes another way."""
    point = window == (1, 1) and isinstance(node, nodes.Convolution)
    if len(window) == 2 and window[0] == 1 and node.strides[0] > 1 and not point:
        raise refuse(node, f"a window of {window} with strides {node.strides}", "two rows or more, or io_parallel")


def _check_streamed_pool(node: nodes.MaxPool) -> None:
    """hls4ml's streaming pool asserts both."""
    if any(map(any, node.padding)):
        raise refuse(node, "max pooling with padding of values that may be negative", "no padding, or io_parallel")
    if len(node.window) == 2 and node.window != node.strides:
        raise refuse(node, "overlapping or separate pooling windows", "strides = window under io_stream")


def _result(node: Linear) -> list[Layer]:
    return [] if node.result.same_grid(node.accumulator) else _own_format(node)


def _own_format(node: Node) -> list[Layer]:
    return [layers.quantizer(node, node.result, f"{node.name}_format", node.name)]
