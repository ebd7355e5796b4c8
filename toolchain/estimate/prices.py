"""What a layer costs at C synthesis: each kind priced from its counts. docs/estimates.md says how far to trust each."""

from __future__ import annotations

import math
from dataclasses import replace

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.block import memory_blocks
from toolchain.estimate.coefficients import Coefficients, shipped
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.kernels import kernel_price
from toolchain.estimate.kinds import KERNELS, layer_amounts
from toolchain.estimate.operator_library import period_ns, table_ns
from toolchain.estimate.partitions import input_fifo, word_fifos
from toolchain.estimate.price import EXACT, Price, Spread, figure
from toolchain.estimate.recurrent import recurrent_price
from toolchain.estimate.small_layers import (
    WIRING,
    activation_cycles,
    activation_ns,
    lanes,
    pooling_cost,
    pooling_cycles,
    softmax_cycles,
    softmax_memory,
    table_blocks,
)
from toolchain.estimate.stream_cycles import padding_cycles, pooled_cycles
from toolchain.estimate.stream_layers import pooling_turns
from toolchain.estimate.streams import encoded_fifos, fifos
from toolchain.network.constant_products import dsp_blocks

__all__ = ["Price", "price"]

_FEW_REPORTS = {"lut": (0.6, 1.6), "ff": (0.4, 2.0), "latency_cycles": (0.7, 1.4)}
_NO_REPORT = {"lut": (0.4, 2.5), "ff": (0.2, 3.0), "bram_18k": (0.5, 2.0), "latency_cycles": (0.5, 2.0)}
#: What is built in another way than it was counted.
_DOUBTED = {
    **_NO_REPORT, "dsp": (0.1, 2.0), "bram_18k": (0.1, 3.0), "latency_cycles": (0.3, 3.0),
    "initiation_interval": (0.3, 3.0),
}  # fmt: skip
#: A table: the word becomes an address (shifted, clipped at both ends); flip-flops for each cycle but the first.
_TABLE_LUT, _TABLE_BIT_LUT, _TABLE_CYCLE_FF = 115.0, 2.3, 22.0
#: Calls that only move words, but take a process of their own in io_stream; look-up tables of a port for each word.
STREAM_WIRING, _STREAM_PORT = ("clone", "repack", "transpose", "concatenate"), 18.0
#: Bits of both operands up to which a product is in fabric.
_ALWAYS_IN_FABRIC = 9


def price(layer: DesignLayer, design: Design, coefficients: Coefficients | None = None) -> Price:
    """The price of one layer, and of the FIFO behind it in ``io_stream``."""
    found = _layer_price(layer, design, coefficients or shipped())
    if layer.doubt:
        spread = {name: _around(found.of(name), wide) for name, wide in _DOUBTED.items()}
        found = replace(found, spread=spread, notes=(*found.notes, layer.doubt), measured="none")
    if design.io_type == "io_stream" and (layer.kind != "reshape" or found.lut):
        return _with_fifo(found, layer, design)
    if design.dataflow and layer.kind != "reshape":
        return _with_word_fifos(found, layer, design)
    handed = _handed_bits(layer, design) if len(design.layers) > 1 and found.ff + found.lut > 0 else 0
    if handed:
        line = f"{handed} flip-flops hand the words of the layer to the next one"
        return replace(found, ff=found.ff + handed, explanation=(*found.explanation, line))
    return found


def _with_word_fifos(found: Price, layer: DesignLayer, design: Design) -> Price:
    """Layers that run side by side in io_parallel (a pragma of the top function)."""
    if layer is design.layers[-1]:
        return replace(found, ff=found.ff + layer.words * layer.result_width)
    lut, ff = word_fifos(layer, design)
    line = f"a FIFO for each of {layer.words} words: {lut:.0f} look-up tables, {ff:.0f} flip-flops"
    more = input_fifo(design).bram_18k if layer is design.layers[0] else 0
    notes = (f"the whole input may wait in a FIFO of {more} blocks of memory (three of six designs)",) if more else ()
    return replace(
        found, lut=found.lut + lut, ff=found.ff + ff, explanation=(*found.explanation, line),
        notes=(*found.notes, *notes), more_bram_18k=found.more_bram_18k + more,
    )  # fmt: skip


def _handed_bits(layer: DesignLayer, design: Design) -> int:
    """Registers between the layers of a design in parallel: what a layer hands to the next.

    Vivado keeps the input of a design of constants and what kernels put out; its activations join the layer behind
    unless they take a cycle. Vitis keeps what kernels and activations put out. Neither keeps a scale or the last layer.
    """
    bits = layer.words * layer.result_width
    if layer is design.layers[-1] or layer.function == "scale":
        return 0
    if design.tool == "vitis":
        return bits
    if layer.kind == "activation" and not activation_cycles(design):
        return 0
    first = layer is design.layers[0] and layer.weights is not None and layer.strategy == "latency"
    return bits + (int(layer.weights.shape[0]) * layer.data_width if first and layer.weights is not None else 0)


def _around(one: Spread, other: Spread) -> Spread:
    return min(one[0], other[0]), max(one[1], other[1])


def _layer_price(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    if design.io_type == "io_stream" and layer.function.startswith(STREAM_WIRING):
        return _stream_wiring(layer, design)
    if layer.kind == "reshape" or layer.function in WIRING:
        return Price(0, 0, 0, 0, 0, 1, explanation=("wiring",))
    if layer.kind in KERNELS:
        return kernel_price(layer, design, coefficients)
    if layer.kind == "recurrent":
        return recurrent_price(layer, design, coefficients)
    if layer.kind == "activation":
        return _activation(layer, design, coefficients)
    if layer.kind == "softmax":
        return _softmax(layer, design, coefficients)
    if layer.kind == "pooling":
        return _pooling(layer, design, coefficients)
    return _OTHERS[layer.kind](layer, design)


def _with_fifo(found: Price, layer: DesignLayer, design: Design) -> Price:
    if layer is design.layers[-1]:
        return found  # a port
    number = max(1, layer.words // max(layer.positions, 1))
    behind = fifos(layer, design)
    spread = dict(found.spread)
    if behind.bram_18k:
        spread["bram_18k"] = (min(found.of("bram_18k")[0], 0.5), max(found.of("bram_18k")[1], 1.1))
    depth = layer.fifo_depth or layer.positions
    line = f"FIFO of {depth} x {number} words of {layer.result_width} bits: {behind.bram_18k} blocks of memory"
    return replace(
        found, bram_18k=found.bram_18k + behind.bram_18k, lut=found.lut + behind.lut, ff=found.ff + behind.ff,
        spread=spread, explanation=(*found.explanation, f"{line}, {behind.lut:.0f} look-up tables"),
    )  # fmt: skip


def _stream(layer: DesignLayer, design: Design, cycles: float) -> tuple[float, float]:
    """(cycles, interval): one position after the other in io_stream."""
    if design.io_type == "io_stream":
        return layer.positions - 1 + cycles, float(layer.positions)
    return cycles, 1.0


def _activation(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    amounts = layer_amounts(layer, design)
    lut = figure("lut", amounts["lut"], design.tool, coefficients)
    ff = figure("ff", amounts["ff"], design.tool, coefficients)
    cycles, interval = _stream(layer, design, float(activation_cycles(design)))
    number = lanes(layer, design)
    multipliers = number * 2 if layer.function in ("leaky_relu", "prelu") and layer.data_width > 18 else 0
    measured = "own" if layer.function in ("relu", "linear", "") else "foreign"
    spread = {"lut": lut.spread, "ff": ff.spread, "latency_cycles": (0.5, 1.5)}
    lines = (f"{number} words from {layer.data_width} to {layer.result_width} bits at once", lut.line, ff.line)
    notes = () if measured == "own" else (f"{layer.function}: few reports have it",)
    more = 0
    if layer.function == "scale" and layer.data_width > _ALWAYS_IN_FABRIC:
        more = number
        notes = (*notes, f"the constants are not known: up to {more} products may take a DSP block each")
    return Price(
        multipliers, 0, lut.value, ff.value, cycles, interval, spread, lines, notes, measured,
        delay_ns=None if cycles else activation_ns(layer, design), more_dsp=float(more),
    )  # fmt: skip


def _softmax(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    amounts = layer_amounts(layer, design)
    lut = figure("lut", amounts["lut"], design.tool, coefficients)
    ff = figure("ff", amounts["ff"], design.tool, coefficients)
    memory, dsp = softmax_memory(layer, design)
    cycles, interval = _stream(layer, design, float(softmax_cycles(layer, design)))
    spread = {
        "lut": lut.spread, "ff": ff.spread, "latency_cycles": (0.8, 1.3),
        "bram_18k": EXACT if design.io_type == "io_parallel" else (0.2, 1.2),
    }  # fmt: skip
    lines = (f"{memory} tables in memory, {dsp} products", lut.line, ff.line)
    measured = lut.measured if design.io_type == "io_parallel" else "foreign"
    return Price(dsp, memory, lut.value, ff.value, cycles, interval, spread, lines, (), measured)


def _pooling(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    amounts = layer_amounts(layer, design)
    if amounts:
        return _stream_pooling(layer, design, amounts, coefficients)
    lut, ff = pooling_cost(layer, design)
    if design.io_type == "io_stream":
        pixels = math.prod(layer.input_shape[:-1]) if layer.input_shape else layer.positions
        whole = layer.function.startswith("global_")
        cycles = (1.0 if whole else 2.0) * pixels + 3
        lines = (f"{lanes(layer, design)} channels{'' if whole else ' with line buffers'}",)
        return Price(0, 0, lut, ff, cycles, cycles + 1, _FEW_REPORTS, lines, measured="foreign")
    cycles = float(pooling_cycles(layer, design))
    what = "an adder" if layer.function.endswith("average") else "a comparison"
    lines = (f"{layer.words} windows of {math.prod(layer.window or (2,))} words: {what} for each word but one",)
    note = "pooling in parallel: three reports have it, of averages over the whole input"
    return Price(0, 0, lut, ff, cycles, 1, _FEW_REPORTS, lines, (note,), "foreign")


def _stream_wiring(layer: DesignLayer, design: Design) -> Price:
    """Words that only pass: read, and written to one stream or two (three layers)."""
    number = max(1, layer.words // max(layer.positions, 1))
    cycles = float(layer.positions + 2)
    lut = 100.0 + (2 * _STREAM_PORT if design.tool == "vivado" else 4.0) * number
    lines = (f"{layer.function}: {number} channels pass",)
    return Price(0, 0, lut, 20.0, cycles, cycles, _FEW_REPORTS, lines, measured="foreign")


def _stream_pooling(
    layer: DesignLayer, design: Design, amounts: dict[str, Amounts], coefficients: Coefficients
) -> Price:
    lut = figure("lut", amounts["lut"], design.tool, coefficients)
    ff = figure("ff", amounts["ff"], design.tool, coefficients)
    cycles = pooled_cycles(layer, design, pooling_turns(layer, design))
    blocks = 0
    if layer.implementation == "encoded" and design.tool == "vivado":
        blocks = encoded_fifos(layer).bram_18k
    lines = (f"{layer.input_shape[-1]} channels, windows of {math.prod(layer.window)} words", lut.line, ff.line)
    spread = {"lut": lut.spread, "ff": ff.spread, "latency_cycles": (0.9, 1.1)}
    return Price(0, blocks, lut.value, ff.value, cycles, cycles + 1, spread, lines, measured=lut.measured)


def _table(layer: DesignLayer, design: Design) -> Price:
    number = lanes(layer, design)
    blocks = table_blocks(layer, number)
    logic = 0.0 if blocks else number * (layer.table_size or 1024) * layer.table_width / 64
    took = math.ceil(table_ns(design) / period_ns(design))
    lut = number * (_TABLE_LUT + _TABLE_BIT_LUT * layer.data_width) + logic
    cycles, interval = _stream(layer, design, float(took))
    lines = (f"{number} tables of {layer.table_size or 1024} words of {layer.table_width} bits, two in one memory",)
    note = "tables: cycles and logic from 56 modules of nine authors, memory from five recurrent designs"
    spread = {**_NO_REPORT, "bram_18k": (0.9, 1.1), "lut": (0.7, 1.4), "latency_cycles": (1.0, 1.0 + 1 / took)}
    ff = number * _TABLE_CYCLE_FF * (took - 1)
    return Price(0, blocks, lut, ff, cycles, interval, spread, lines, (note,), "foreign")


def _merge(layer: DesignLayer, design: Design) -> Price:
    number, width = lanes(layer, design), layer.result_width
    cycles, interval = _stream(layer, design, float(activation_cycles(design)))
    products = layer.function in ("multiply", "dot")
    dsp = number * dsp_blocks(layer.data_width, layer.data_width, design.family) if products else 0
    lut = number * (5.0 if products else width + 4.0)
    lines = (f"{number} {'products' if products else 'adders or comparisons'} of {layer.data_width} bits",)
    return Price(dsp, 0, lut, number * width * 0.3, cycles, interval, _NO_REPORT, lines,
                 (f"{layer.function or 'merge'}: no report has it",), "none")  # fmt: skip


def _padding(layer: DesignLayer, design: Design) -> Price:
    if design.io_type == "io_parallel":
        return Price(0, 0, 0, 0, 0, 1, explanation=("wiring",))
    number = lanes(layer, design)
    grown = layer.kind == "resize"
    rows = len(layer.input_shape) != 2
    if grown:
        lut, ff = 250 + 4.7 * number * layer.data_width, 8.0 * number * layer.data_width
    elif design.tool == "vivado":
        lut, ff = (205 + 33.0 * number, 37.0) if rows else (75 + 40.0 * number, 14.0)
    else:
        lut, ff = (430.0, 45.0 + number * layer.data_width) if rows else (150.0, 16.0)
    cycles = float(layer.positions + 2) if grown else padding_cycles(layer, design)
    spread = _FEW_REPORTS if grown or not layer.margins else {**_FEW_REPORTS, "latency_cycles": EXACT}
    lines = (f"{number} channels, {layer.positions} positions written",)
    return Price(0, 0, lut, ff, cycles, cycles + 1, spread, lines, measured="foreign")


def _embedding(layer: DesignLayer, design: Design) -> Price:
    """A table of rows, read once for each position."""
    rows, width = layer.kernel_shape or (layer.weights.shape if layer.weights is not None else (layer.table_size, 1))
    blocks = memory_blocks(rows, width * layer.weight_width) if rows * width * layer.weight_width > 1024 else 0
    logic = 0.0 if blocks else rows * width * layer.weight_width / 64
    cycles = float(layer.positions + 1)
    lines = (f"{rows} rows of {width} words of {layer.weight_width} bits",)
    return Price(0, blocks, 50 + logic, 20.0 + width * layer.weight_width, cycles, layer.positions, _NO_REPORT, lines,
                 ("embedding: no report has it",), "none")  # fmt: skip


_OTHERS = {
    "table": _table, "merge": _merge, "padding": _padding, "resize": _padding,
    "embedding": _embedding,
}  # fmt: skip
