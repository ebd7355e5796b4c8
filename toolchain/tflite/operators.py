"""What an integer flatbuffer is made of, before it is bytes: tensors on their grids and TFLite's operators on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import Rounding
from toolchain.network.nodes import Convolution, Crop, Dense, DepthwiseConvolution, MaxPool, Permute, Scale, ZeroPadding
from toolchain.tflite.grids import Bits, Grid, Int8Array

IntArray = NDArray[np.int64]


class NotExpressibleError(Exception):
    """This network has no such form; the text says which layer and why. Never leaves the stage."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: ``shape`` without the sample axis."""

    name: str
    shape: tuple[int, ...]
    grid: Grid


@dataclass(frozen=True, eq=False, kw_only=True)
class Operator:
    """One operator; ``nodes`` are the network's nodes that it computes, the last one's words stand in ``output``."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    nodes: tuple[str, ...]
    layer: str

    @property
    def input(self) -> Tensor:
        """The first input, of most operators the only one."""
        return self.inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearOperator(Operator):
    """FULLY_CONNECTED, CONV_2D or DEPTHWISE_CONV_2D: ``output = clip((sum(input * kernel) + bias) * 2**-shift)``.

    ``kernel`` has the network's axes; ``shift`` and ``kernel_bits`` (fractional bits of the stored kernel) are per
    output channel. ``tie_exact``: with the reference kernels the channel's rounding equals the network's for every sum;
    ``tie_everywhere``: with any kernel.
    """

    node: Dense | Convolution | DepthwiseConvolution | Scale
    kernel: Int8Array
    bias: IntArray
    kernel_bits: tuple[int, ...]
    shift: tuple[int, ...]
    tie_exact: tuple[bool, ...]
    tie_everywhere: tuple[bool, ...]
    relu: bool
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class SumOperator(Operator):
    """ADD or SUB: ``clip((sum of signs[k] * inputs[k] on the finer grid) * 2**-shift)``."""

    subtracts: bool
    shift: int
    tie_exact: bool
    tie_everywhere: bool
    relu: bool
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class ProductOperator(Operator):
    """MUL: ``clip(inputs[0] * inputs[1] * 2**-shift)``."""

    shift: int
    tie_exact: bool
    tie_everywhere: bool
    relu: bool
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class ReluOperator(Operator):
    """RELU on an unchanged grid."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LimitOperator(Operator):
    """MINIMUM or MAXIMUM with a constant: a format narrower than the tensor saturates there. ``bound`` is a word."""

    bound: int
    upper: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ExtremeOperator(Operator):
    """MAXIMUM or MINIMUM of two tensors on one grid."""

    largest: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ReshapeOperator(Operator):
    """RESHAPE: the same words in row-major order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WidenOperator(Operator):
    """CAST from int8 to int16: the same words without the zero point, on the same scale."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MoveOperator(Operator):
    """MAX_POOL_2D, PAD, SLICE or TRANSPOSE: each word of the result is one of the input's, or zero."""

    node: MaxPool | ZeroPadding | Crop | Permute


@dataclass(frozen=True, eq=False, kw_only=True)
class JoinOperator(Operator):
    """CONCATENATION of tensors on one grid; ``axis`` without the sample axis."""

    axis: int


@dataclass(frozen=True, eq=False, kw_only=True)
class LookupOperator(Operator):
    """GATHER from a table by the input's word: ``table[word - first]``, quantized words of the output's grid.

    ``table`` is ``(rows,)``, for an Embedding ``(rows, channels)``. Every word that can occur has a row.
    """

    table: NDArray[Any]
    first: int


@dataclass(frozen=True, slots=True)
class ModelPort:
    """An input or output; ``rounding`` is the one from the network's format to the tensor's grid."""

    name: str
    tensor: Tensor
    rounding: Rounding


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """A graph of operators in the order of execution; activations are int8 or int16 (``bits``)."""

    name: str
    inputs: tuple[ModelPort, ...]
    outputs: tuple[ModelPort, ...]
    operators: tuple[Operator, ...]

    @property
    def bits(self) -> Bits:
        return self.inputs[0].tensor.grid.bits

    @property
    def input(self) -> Tensor:
        """The first input's tensor."""
        return self.inputs[0].tensor

    @property
    def output(self) -> Tensor:
        return self.outputs[0].tensor

    @property
    def output_rounding(self) -> Rounding:
        """How the first result is rounded to its port's grid (of no effect where that is exact)."""
        return self.outputs[0].rounding

    def tensors(self) -> tuple[Tensor, ...]:
        """Every activation once, in the order in which it is made."""
        return (*(port.tensor for port in self.inputs), *(operator.output for operator in self.operators))
