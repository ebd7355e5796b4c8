"""Resource strategy: weights in memory, ``block factor = ceil(n_in * n_out / reuse_factor)`` multipliers take turns.

Zeros save nothing. All counts here are exact for 871 published designs of Vivado HLS 2020.1 (memory with a depth of up
to 1,024); the coefficients of look-up tables and flip-flops are fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.multiplexers import padded_multiplexer_luts
from toolchain.estimate.operator_library import older_than, product_stages, stage_registers
from toolchain.network.constant_products import dsp_blocks

#: Inputs that a multiplier chooses from are looked up, not selected, beyond this number.
_MOST_WAYS = 32
#: Below this many bits the table of output indices is built in logic (all of 871 designs).
_INDEX_MEMORY_BITS = 1024


@dataclass(frozen=True)
class Block:
    """Counts of a kernel ``(n_in, n_out)`` in memory. ``top_bits``: what the last weight of a word really needs."""

    n_in: int
    n_out: int
    factor: int
    width: int
    top_bits: int

    @property
    def multipliers(self) -> int:
        """The block factor."""
        return math.ceil(self.n_in * self.n_out / self.factor)

    @property
    def selects_outputs(self) -> bool:
        """More than two rounds over the inputs: each multiplier's output is looked up."""
        return self.factor // self.n_in > 2


def block_of(layer: DesignLayer) -> Block:
    """The block of a layer, from its weights or from the shape of its kernel."""
    shape = layer.weights.shape if layer.weights is not None else layer.kernel_shape
    assert shape is not None
    largest = int(np.abs(layer.weights).max(initial=0)) if layer.weights is not None else 2 ** (layer.weight_width - 1)
    return Block(shape[0], shape[1], layer.reuse_factor, layer.weight_width,
                 min(layer.weight_width, largest.bit_length() + 1 if largest else 1))  # fmt: skip


def block_memory(block: Block, uram: bool = False) -> int:
    """18 Kb blocks: words of ``multipliers * width`` bits, less the sign bits that the last weight does not need."""
    bits = block.multipliers * block.width - (block.width - block.top_bits)
    index_bits = block.factor * math.ceil(math.log2(max(block.factor // block.n_in, 1)))
    return memory_blocks(block.factor, bits) + (1 if index_bits >= _INDEX_MEMORY_BITS else 0)


def memory_copies(block: Block, design: Design) -> float:
    """Blocks beyond those counted, where Vitis leaves the weights one memory and copies it for every two reads.

    Two of seven authors' designs: 100 blocks for 200 reads, 16 for 32. Nothing in the project says which it is.
    """
    copies = math.ceil(block.multipliers / 2)
    return float(max(0, copies - block_memory(block))) if design.tool == "vitis" else 0.0


def memory_blocks(depth: int, bits: int) -> int:
    """18 Kb blocks of a memory: 36 bits wide up to a depth of 512, 18 to 1,024, deeper ones in banks of 1,024."""
    banks, rest = divmod(depth, 1024)
    last = math.ceil(bits / 36) if 0 < rest <= 512 else math.ceil(bits / 18) if rest else 0
    return banks * math.ceil(bits / 18) + last


def block_dsp(block: Block, layer: DesignLayer, design: Design) -> float:
    """Each multiplier in DSP blocks by its widths; below 5 bits (Vitis: 7) in fabric, the last one by what it needs.

    Since 2020 narrow ones are fused with the sum behind them into a DSP block on 7-series, two with one sum: 14 of 15
    layers of three authors (none of nine before).
    """
    if layer.binding == "lut":
        return 0.0
    least = 7 if design.tool == "vitis" else 5
    data = layer.data_width

    def blocks(width: int) -> int:
        in_fabric = layer.binding == "auto" and (min(width, data) < least or max(width, data) <= 9)
        return 0 if in_fabric else dsp_blocks(max(width, data), min(width, data), design.family)

    fused = design.family == "7series" and not older_than(design, "2020") and layer.binding == "auto"
    if fused and not blocks(block.width):
        return float(min(block.multipliers, block.n_out) * math.ceil(max(1.0, block.multipliers / block.n_out) / 2))
    return float((block.multipliers - 1) * blocks(block.width) + (blocks(block.top_bits) or int(fused)))


def block_amounts(block: Block, layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """``lut`` and ``ff`` of a layer in memory; widths scale what was measured at 16 bits.

    In io_stream the words of the input are gathered in registers before the kernel is evaluated.
    """
    number, outputs = block.multipliers, block.n_out
    data, held = layer.data_width / 16, max(layer.accumulator_width, 1) / 16
    few = block.width <= 6
    rounded = float(number * layer.accumulator_width) if layer.accumulator_rounds else 0.0
    held_inside = block_dsp(block, layer, design) * stage_registers(product_stages(design))
    window = float(layer.data_width * block.n_in) if design.io_type == "io_stream" else 0.0
    if block.factor <= block.n_in and block.factor < block.n_in * block.n_out:
        ways = min(block.factor, _MOST_WAYS) if block.factor < block.n_in else 1
        lut = {
            "one": 1.0, "inputs": block.n_in * data, "outputs": outputs * held,
            "input_multiplexers": number * padded_multiplexer_luts(ways) * data, "accumulators": number * held,
            "rounded_bits": rounded,
        }  # fmt: skip
        ff = {
            "one": 1.0, "outputs": outputs * held, "multipliers": number * held, "inputs": block.n_in * data,
            "window_bits": window, "rounded_bits": rounded,
        }  # fmt: skip
        return {"lut": Amounts("block_few_turns", lut), "ff": Amounts("block_few_turns", ff, held_inside)}
    wide = block.selects_outputs
    lut = {
        "one": min(1.0, block.n_in * outputs / 1024),
        "inputs": block.n_in * data,
        "outputs": outputs * held,
        "outputs_side": 0.0 if wide else outputs * held,
        "output_multiplexers": number * padded_multiplexer_luts(outputs) * held if wide else 0.0,
        "multipliers_side": 0.0 if wide else number * held,
        "fabric_products": 0.0 if block_dsp(block, layer, design) else number * data,
        "single": float(number == 1),
        "rounded_bits": rounded,
    }
    ff = {
        "one": 1.0,
        "rounded_bits": rounded,
        "window_bits": window,
        "outputs": outputs * held,
        "outputs_side": 0.0 if wide else outputs * held,
        "multipliers_wide": number * held if wide and not few else 0.0,
        "fabric_products_wide": number * held if wide and few else 0.0,
        "multipliers_side": 0.0 if wide else number * held,
        "single": float(number == 1),
    }
    return {"lut": Amounts("block", lut), "ff": Amounts("block", ff, held_inside)}
