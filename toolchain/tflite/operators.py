"""What the int8 flatbuffer is made of, before it is bytes: tensors on 8-bit grids and TFLite's operators on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import Rounding
from toolchain.network.nodes import Convolution, Dense
from toolchain.tflite.grids import Grid, Int8Array

Int32Array = NDArray[np.int32]


class NotExpressibleError(Exception):
    """This network has no int8 form; the text says which layer and why. Never leaves the stage."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: ``shape`` without the sample axis."""

    name: str
    shape: tuple[int, ...]
    grid: Grid


@dataclass(frozen=True, eq=False, kw_only=True)
class Operator:
    """One operator; ``nodes`` are the network's nodes that it computes, the last one's words stand in ``output``."""

    input: Tensor
    output: Tensor
    nodes: tuple[str, ...]
    layer: str


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearOperator(Operator):
    """FULLY_CONNECTED or CONV_2D: ``output = clip((sum(input * kernel) + bias) * 2**-shift)``.

    ``kernel`` has the network's axes; ``shift`` and ``kernel_bits`` (fractional bits of the stored kernel) are per
    output channel. ``tie_exact``: with the reference kernels the channel's rounding equals the network's for every sum;
    ``tie_everywhere``: with any kernel.
    """

    node: Dense | Convolution
    kernel: Int8Array
    bias: Int32Array
    kernel_bits: tuple[int, ...]
    shift: tuple[int, ...]
    tie_exact: tuple[bool, ...]
    tie_everywhere: tuple[bool, ...]
    relu: bool
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class ReluOperator(Operator):
    """RELU on an unchanged grid."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LimitOperator(Operator):
    """MINIMUM or MAXIMUM with a constant: a format narrower than 8 bits saturates there. ``bound`` is a word."""

    bound: int
    upper: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ReshapeOperator(Operator):
    """RESHAPE: the same words in row-major order."""


@dataclass(frozen=True, eq=False)
class Int8Model:
    """A chain of operators from ``input`` to ``output``."""

    name: str
    input_name: str
    output_name: str
    input: Tensor
    output: Tensor
    operators: tuple[Operator, ...]

    @property
    def output_rounding(self) -> Rounding:
        """How the network's result is rounded to the output port's grid (of no effect where that is exact)."""
        rounding = [operator.rounding for operator in self.operators if isinstance(operator, LinearOperator)]
        return rounding[-1] if rounding else Rounding.RND
