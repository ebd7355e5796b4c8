"""From the C-synthesis figures to what the device will hold after logic synthesis.

Nine published designs have both reports; 42 more have the later one only (dense layers in memory, Vitis HLS 2023.2):
these are counted and fitted themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from toolchain.estimate.amounts import Amounts, regime
from toolchain.estimate.block import Block, block_dsp, block_of
from toolchain.estimate.coefficients import Coefficients
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.intervals import conformal, united
from toolchain.estimate.price import figure
from toolchain.results import Estimated

#: Later figure as a multiple of the C-synthesis figure: (low, value, high). Weights in logic: 20 pairs by six authors;
#: recurrent layers in memory: three pairs; convolutions in memory: seven pairs of one author. Where weights take few
#: turns, their memories are so shallow that logic synthesis builds them in look-up tables (three pairs).
_RATIOS = {
    "logic": {"lut": (0.37, 0.54, 0.69), "ff": (0.4, 0.86, 1.2), "dsp": (0.9, 1.0, 1.0), "bram_18k": (0.4, 0.73, 1.0)},
    "memory": {
        "lut": (0.09, 0.25, 0.35),
        "ff": (0.4, 0.75, 1.25),
        "dsp": (0.9, 1.0, 1.0),
        "bram_18k": (0.5, 0.73, 1.0),
    },
    "streams": {"lut": (0.3, 0.43, 0.5), "ff": (0.45, 0.78, 0.9), "dsp": (0.9, 1.0, 1.0), "bram_18k": (0.5, 0.73, 1.0)},
}
_SHALLOW, _SHALLOW_RATIO = 16, (0.1, 0.15, 0.75)
#: A product that finds no DSP block on the device is built of look-up tables: 50 to 140 each in three designs.
_SPILLED_LUT = (40.0, 75.0, 140.0)


def after_logic_synthesis(
    design: Design, found: Mapping[str, Estimated], coefficients: Coefficients, kind: str, dsp: int = 0
) -> dict[str, Estimated]:
    """dsp, bram_18k, lut, ff after logic synthesis, from those of C synthesis, widened by what ``kind`` deviates.

    ``dsp``: blocks that the device has; 0 when that is not known. C synthesis may report more of them.
    """
    kernels = [layer for layer in design.layers if layer.weights is not None or layer.kernel_shape is not None]
    blocks = [layer for layer in kernels if layer.kind == "recurrent" or regime(layer) == "block"]
    memory = bool(blocks)
    streams = memory and design.io_type == "io_stream" and not any(layer.kind == "recurrent" for layer in blocks)
    ratios = _RATIOS["streams" if streams else "memory" if memory else "logic"]
    if memory and max(layer.reuse_factor for layer in blocks) <= _SHALLOW:
        ratios = {**ratios, "bram_18k": _SHALLOW_RATIO}
    later = {name: _scaled(found[name], found[name], ratios[name]) for name in ratios}
    if dsp:
        later = _spilled(later, dsp)
    if memory and is_measured(design):
        for name, amounts in logic_amounts(design).items():
            priced = figure(name, amounts, "any", coefficients)
            low, high = priced.spread
            later[name] = _rounded(priced.value, priced.value * low, priced.value * high)
    kind = "dense_in_memory" if is_measured(design) else kind
    return {
        name: united(one, conformal(one, name, "logic_synthesis", kind, coefficients)) for name, one in later.items()
    }  # fmt: skip


def _spilled(later: Mapping[str, Estimated], dsp: int) -> dict[str, Estimated]:
    """Products beyond the device's DSP blocks, in look-up tables."""
    wanted, lut = later["dsp"], later["lut"]
    beyond = [max(0.0, number - dsp) for number in (wanted.low, wanted.value, wanted.high)]
    more = [number * each for number, each in zip(beyond, _SPILLED_LUT, strict=True)]
    held = [min(float(dsp), number) for number in (wanted.value, wanted.low, wanted.high)]
    return {
        **later, "dsp": _rounded(*held),
        "lut": _rounded(lut.value + more[1], lut.low + more[0], lut.high + more[2]),
    }  # fmt: skip


def is_measured(design: Design) -> bool:
    """Nothing but dense layers in memory (and ReLU) by Vitis in parallel: what the 42 designs are."""
    kinds = {layer.kind for layer in design.layers}
    blocks = [layer for layer in design.layers if layer.kind == "dense"]
    return (
        design.tool == "vitis" and design.io_type == "io_parallel" and kinds <= {"dense", "activation", "reshape"}
        and bool(blocks) and all(regime(layer) == "block" and layer.reuse_factor > 1 for layer in blocks)
    )  # fmt: skip


def logic_amounts(design: Design) -> dict[str, Amounts]:
    """``lut`` and ``ff`` of a whole design of dense layers in memory; widths scale what was measured at 16 bits."""
    layers = [layer for layer in design.layers if layer.kind == "dense"]
    blocks = [(layer, block_of(layer)) for layer in layers]
    inputs = sum(block.n_in * layer.data_width / 16 for layer, block in blocks)
    outputs = sum(block.n_out * max(layer.accumulator_width, 16) / 16 for layer, block in blocks)
    between = sum(block.n_in * layer.data_width / 16 for layer, block in blocks[1:])
    fabric = sum(_fabric(layer, block, design) for layer, block in blocks)
    weight_bits = sum(float(block.width * block.multipliers) for _, block in blocks)
    shared = {"layers": float(len(blocks)), "inputs": inputs, "outputs": outputs, "between": between}
    lut = {**shared, "fabric_bits": fabric, "weight_bits": weight_bits, "rom_bits": sum(map(_rom_bits, blocks))}
    return {"lut": Amounts("block_logic", lut), "ff": Amounts("block_logic", {**shared, "fabric_bits": fabric})}


def _fabric(layer: DesignLayer, block: Block, design: Design) -> float:
    """Product bits in fabric."""
    return float(block.multipliers * block.width * layer.data_width) if not block_dsp(block, layer, design) else 0.0


def _rom_bits(item: tuple[DesignLayer, Block]) -> float:
    """Kilobits of weights: small ones are built in logic."""
    block = item[1]
    return block.n_in * block.n_out * block.width / 1024


def _scaled(low_high: Estimated, value: Estimated, ratio: tuple[float, float, float]) -> Estimated:
    return _rounded(value.value * ratio[1], low_high.low * ratio[0], low_high.high * ratio[2])


def _rounded(value: float, low: float, high: float) -> Estimated:
    middle = round(value)
    return Estimated(value=middle, low=min(middle, math.floor(low)), high=max(middle, math.ceil(high)))
