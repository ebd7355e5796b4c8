"""A design as the estimator sees it: layers with their constants, widths and HLS choices, whoever wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.estimate.adder_graphs import AdderGraph

#: What a layer does, in the field's words. ``reshape`` is wiring; ``table`` any function of one word read from a table.
Kind = Literal[
    "dense", "conv1d", "conv2d", "depthwise", "recurrent", "scale", "embedding", "pooling", "merge", "activation",
    "table", "softmax", "padding", "resize", "reshape",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class DesignLayer:
    """One layer. ``weights (n_in, n_out)`` where it multiplies; ``positions``: how often they are used for a sample.

    A recurrent layer has its input kernel in ``weights``, its recurrent kernel in ``recurrent_weights``. Where only the
    shape of a kernel is known, ``weights`` is None and ``kernel_shape`` says it: such a layer is counted as dense.
    Widths are in bits; 0 where the layer has no such thing.
    """

    name: str
    kind: Kind
    data_width: int  # of the words it reads
    result_width: int
    words: int  # it puts out
    positions: int = 1
    weights: NDArray[np.int64] | None = None
    weight_width: int = 0
    accumulator_width: int = 0
    strategy: str = "latency"
    reuse_factor: int = 1
    dropped_bits: int = 0  # fractional bits of a product that the accumulator does not hold
    accumulator_rounds: bool = False  # the accumulator rounds or saturates each product (not hls4ml's default)
    biases: int = 0  # that are not zero
    function: str = ""  # relu, leaky_relu, hard_tanh, linear, sigmoid, tanh, max, average, add, multiply, gru, lstm, …
    recurrent_weights: NDArray[np.int64] | None = None
    kernel_shape: tuple[int, int] | None = None  # (n_in, n_out)
    recurrent_shape: tuple[int, int] | None = None
    recurrent_reuse_factor: int = 0  # of the recurrent kernel; 0: as reuse_factor
    input_shape: tuple[int, ...] = ()  # (steps, channels) or (height, width, channels), padding included
    window: tuple[int, ...] = ()  # (steps,) or (height, width) of a convolution or pooling
    table_size: int = 0  # entries
    table_width: int = 18
    result_rounds: bool = False  # an activation that rounds or clips into its result
    binding: Literal["auto", "dsp", "lut"] = "auto"  # of products, when the author forced it
    pixels: int = 0  # positions that a convolution in io_parallel computes at once; 0: one
    places: tuple[int, ...] = ()  # of a convolution's results: (steps,) or (height, width); empty: not known
    strides: tuple[int, ...] = ()  # of its windows, one for each axis
    margins: tuple[int, ...] = ()  # zeros in front of the first word and behind the last, two for each axis
    multiplier_limit: int = 0  # as hls4ml wrote it, by the zeros it counted; 0: as counted from its weights
    implementation: str = ""  # of a window: linebuffer, encoded (io_stream), pointwise (io_parallel); empty: linebuffer
    inlined: bool = False  # io_stream: the kernel stands in the loop over positions itself (hls4ml before 0.8)
    fifo_depth: int = 0  # of the stream behind the layer; 0: the positions of one sample
    data_widths: tuple[int, ...] = ()  # of each input, where they differ; 0: always zero
    adder_graph: AdderGraph | None = None  # of distributed arithmetic, where it is known
    doubt: str = ""  # why the counting may not hold for this layer: it is then taken as never measured


@dataclass(frozen=True)
class Design:
    """A whole design and the tool it is for."""

    layers: tuple[DesignLayer, ...]
    tool: Literal["vivado", "vitis"]
    io_type: str
    family: str
    clock_period_ns: float
    tool_version: str = ""  # "2020.1"; empty: not known
    speed_grade: int = 0  # of the part, 1 the slowest; 0: not known
    part: str = ""  # of the device; empty: not known
    uncertainty: float | None = None  # share of the clock period that the tool keeps free; None: its own
    dataflow: bool = False  # io_parallel: layers run side by side, a FIFO for each word between them
