"""The operators of a ``FixedPointNetwork``. ``docs/fixed_point_network.md`` specifies their arithmetic.

Shapes never include the sample axis. Images are ``(height, width, channels)``, sequences ``(steps, channels)``.
Weights are raw words on the grid of their format. Every array is made read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import FixedPoint

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """One operator. ``inputs`` are names of earlier nodes; ``result`` is the format of every word it puts out."""

    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    result: FixedPoint
    layer: str = ""  # the Keras layer it stems from, for messages

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                frozen = np.array(value, dtype=np.int64)  # a copy: the caller's array stays the caller's
                frozen.setflags(write=False)
                object.__setattr__(self, item.name, frozen)

    @property
    def size(self) -> int:
        """Words per sample."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """An input port: real values enter through ``result.words_of``."""

    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Node):
    """Base of the operators that multiply by constants and sum.

    The sum is exact on the grid ``2**-accumulator.fractional_bits``, modulo ``2**accumulator.width``; then ``result``
    rounds it and brings it into range.
    """

    kernel: IntArray
    kernel_format: FixedPoint
    bias: IntArray | None
    bias_format: FixedPoint | None
    accumulator: FixedPoint
    constant: bool = False  # the kernel is part of the layer's definition (a sum, a mean): no weights, no strategy


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Linear):
    """``y[..., o] = sum_i x[..., i] * kernel[i, o] + bias[o]``; kernel ``(n_in, n_out)``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Linear):
    """Cross-correlation over one or two axes; kernel ``(*window, channels_in, filters)``.

    ``padding`` gives the zeros before and after each axis.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConvolution(Linear):
    """Each channel with its own window; kernel ``(*window, channels)``, bias ``(channels,)``."""

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Linear):
    """``y[..., c] = x[..., c] * kernel[c] + bias[c]``; kernel ``(channels,)`` (BatchNormalization)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Relu(Node):
    """``max(x, 0)``, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Requantize(Node):
    """A change of format and nothing else."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Node):
    """The same words in row-major order under another shape (Flatten too)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Node):
    """The largest word of each window; padded places never win."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Merge(Node):
    """Base of the operators that join two or more tensors of one shape, element by element."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Merge):
    """``sum_k inputs[k]``, exact, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Subtract(Merge):
    """``inputs[0] - inputs[1]``, exact, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply(Merge):
    """``prod_k inputs[k]``, exact, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Maximum(Merge):
    """The largest of the inputs' values, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Minimum(Merge):
    """The smallest of the inputs' values, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Average(Merge):
    """``sum_k inputs[k] / n``, exact because n is a power of two, then the result format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Concatenate(Node):
    """The inputs one behind the other along ``axis`` (0 is the first after the samples), then the result format."""

    axis: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Table(Node):
    """Any function of one word: ``words[x mod 2**width]`` on the grid of ``result``; ``(2**width of the input,)``."""

    words: IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding(Node):
    """Row x of ``words`` for each input word x: ``(2**width of the input, channels)``, on the grid of ``result``.

    The input is unsigned without fractional bits; the result has one axis more than x, the channels.
    """

    words: IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroPadding(Node):
    """Zeros before and after each axis but the channels; the result has x's format."""

    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Crop(Node):
    """x without the first and last places of each axis but the channels; the result has x's format."""

    cropping: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(Node):
    """The axes in another order: axis k of the result is axis ``axes[k]`` of x; the result has x's format."""

    axes: tuple[int, ...]


#: Operators that only move words: each result word is an input word (or zero) in the input's format.
MOVES = (Reshape, MaxPool, ZeroPadding, Crop, Permute)


@dataclass(frozen=True, eq=False, kw_only=True)
class FixedPointNetwork:
    """A quantized network as integers: the one structure that everything after quantization reads.

    ``nodes`` stand in topological order, inputs first; ``outputs`` are names of nodes.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    _index: dict[str, Node] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.nodes:
            assert node.name not in self._index, f"two nodes are called {node.name}"
            assert all(name in self._index for name in node.inputs), f"{node.name} reads a node that comes later"
            self._index[node.name] = node
        assert self.outputs
        assert all(name in self._index for name in self.outputs)

    def __getitem__(self, name: str) -> Node:
        return self._index[name]

    @property
    def inputs(self) -> tuple[Input, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Input))

    def consumers(self, name: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if name in node.inputs)
