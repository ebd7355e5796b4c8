"""Layers without a kernel: activations, tables, merging, casts, pooling, padding, resizing, wiring, embeddings."""

from __future__ import annotations

import math

import numpy as np

from toolchain.estimate.design import DesignLayer, Kind
from toolchain.estimate.directory.reading import (
    Reading,
    Rule,
    Tensor,
    config_of,
    implementation_of,
    keep,
    margins_of,
    need,
    padded,
    take_away,
    types_of,
)
from toolchain.estimate.directory.sources import LayerCall, Type

MERGES = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "average": "average", "maximum": "maximum",
    "minimum": "minimum", "dot1d": "dot",
}  # fmt: skip

_SINGLE_FORMATS = "every element has a format of its own; the widest was counted for all, so this is an upper bound"


def elementwise(kind: Kind) -> Rule:
    def add(reading: Reading, call: LayerCall) -> None:
        config = config_of(reading, call)
        data, result = types_of(reading, call)
        words = config.numbers.get("n_in") or config.numbers.get("n_elem") or 0
        before = reading.tensor(call.arguments[0], data)
        words = words or before.positions * before.channels
        channels = before.channels if before.channels and words % before.channels == 0 else words
        table = config.types.get("table_t") or config.types.get("exp_table_t")
        function = MERGES.get(call.function, call.function)
        if kind == "softmax":
            function = config.words.get("implementation", "").rpartition("::")[2] or function
        positions = max(1, words // channels)
        constant = before.constant if kind in ("activation", "table") and channels == before.channels else 0
        live = max(positions, words - positions * constant)
        layer = DesignLayer(
            call.name, kind, data.width, result.width, live, positions, function=function,
            table_size=config.numbers.get("table_size", config.numbers.get("exp_table_size", 0)),
            table_width=reading.sources.type_of(table).width if table else 18, result_rounds=_rounds(data, result),
            reuse_factor=config.numbers.get("reuse_factor", 1) if kind == "softmax" else 1,
        )  # fmt: skip
        keep(reading, call, layer, Tensor(positions, channels, result.width, constant))

    return add


def _rounds(data: Type, result: Type) -> bool:
    """Whether the result's mode has anything to do: it lacks bits that the data has."""
    return result.rounds and (result.fractional < data.fractional or result.integer < data.integer)


def cast(reading: Reading, call: LayerCall) -> None:
    """A change of format that this toolchain writes itself."""
    data, result = (reading.sources.type_of(name) for name in call.templates[:2])
    words = reading.sources.number(call.templates[2])
    before = reading.tensor(call.arguments[0], data)
    channels = before.channels if before.channels and words % before.channels == 0 else words
    layer = DesignLayer(
        call.name, "activation", data.width, result.width, words, words // channels, function="linear",
        result_rounds=result.rounds,
    )  # fmt: skip
    keep(reading, call, layer, Tensor(words // channels, channels, result.width), (call.arguments[1],))


def is_quantizer(reading: Reading, call: LayerCall) -> bool:
    """A quantizer of single elements (HGQ): hls4ml writes a function of its own, with two types and no struct."""
    named = call.function.startswith("h_quantize") or call.function.endswith("_quantizer")
    plain = not any(name in reading.sources.configs for name in call.templates)
    return named and plain and len(call.templates) == 2 and len(call.arguments) == 2


def quantizer(reading: Reading, call: LayerCall) -> None:
    """Formats of single elements; the widest for all where the generated code is missing."""
    data, result = types_of(reading, call)
    before = reading.tensor(call.arguments[0], data)
    words = reading.sources.lengths.get(call.arguments[1], before.positions * before.channels)
    channels = before.channels if before.channels and words % before.channels == 0 else words
    elements = reading.code.elements.get(call.function, ())
    known = len(elements) == words
    rounded = sum(element is not None and _rounds(data, element) for element in elements) if known else words
    kind: Kind = "activation" if result.rounds and rounded else "reshape"  # bits that are only left out are wiring
    layer = DesignLayer(
        call.name, kind, data.width, result.width, rounded or words, words // channels, function="linear",
        result_rounds=result.rounds, doubt="" if known else _SINGLE_FORMATS,
    )  # fmt: skip
    if not known:
        reading.notes.append(f"layer '{call.name}': {_SINGLE_FORMATS}")
    elif not reading.sources.streams:
        take_away(reading, call.arguments[0], np.array([element is None for element in elements]))
    tensor = Tensor(words // channels, channels, result.width, elements=elements if known else ())
    keep(reading, call, layer, tensor, (call.arguments[1],))


def pooling(reading: Reading, call: LayerCall) -> None:
    config = config_of(reading, call)
    data, result = types_of(reading, call)
    two = "2d" in call.function
    whole = call.function.startswith("global")
    axes = (need(config, "in_height"), need(config, "in_width")) if two else (need(config, "in_width", "n_in"),)
    channels = need(config, "n_filt", "n_chan")
    window: tuple[int, ...]
    places: tuple[int, ...]
    if whole:
        window, places = axes, (1,)
    elif two:
        window = (need(config, "pool_height"), need(config, "pool_width"))
        places = (need(config, "out_height"), need(config, "out_width"))
    else:
        window, places = (need(config, "pool_width", "pool_size"),), (need(config, "out_width", "n_out"),)
    function = "average" if "average" in config.words.get("pool_op", "").lower() else "max"
    function = f"global_{function}" if whole else function
    # Before hls4ml had line buffers every pooling of a stream was encoded, and its structs said nothing.
    gathered = implementation_of(config) or ("encoded" if reading.sources.streams and not whole else "")
    layer = DesignLayer(
        call.name, "pooling", data.width, result.width, math.prod(places) * channels, math.prod(places),
        function=function, input_shape=(*padded(config, axes), channels), window=window, places=places,
        implementation=gathered,
    )  # fmt: skip
    keep(reading, call, layer, Tensor(math.prod(places), channels, result.width), (call.arguments[1],))


def spatial(kind: Kind) -> Rule:
    def add(reading: Reading, call: LayerCall) -> None:
        config = config_of(reading, call)
        data, result = types_of(reading, call)
        two = "out_height" in config.numbers or "new_height" in config.numbers
        height = need(config, "out_height", "new_height") if two else 1
        width = need(config, "out_width", "new_width")
        channels = need(config, "n_chan")
        words = height * width * channels
        inside = (height, width, channels) if two else (width, channels)
        margins = margins_of(config, two) if kind == "padding" else ()
        layer = DesignLayer(
            call.name, kind, data.width, result.width, words, height * width, input_shape=inside, margins=margins
        )
        keep(reading, call, layer, Tensor(height * width, channels, result.width), (call.arguments[1],))

    return add


def wiring(reading: Reading, call: LayerCall) -> None:
    names = [name for name in call.templates if name not in reading.sources.configs and not name.strip().isdigit()]
    data = reading.sources.type_of(names[0])
    clone = call.function == "clone_stream"
    inputs = call.arguments[:2] if call.function.startswith("concatenate") else call.arguments[:1]
    outs = call.arguments[1:] if clone else (call.arguments[len(inputs)],)
    before = [reading.tensor(name, data) for name in inputs]
    channels = sum(tensor.channels for tensor in before) if len(before) > 1 else before[0].channels
    positions, width = before[0].positions, before[0].width
    layer = DesignLayer(
        call.name, "reshape", width, width, positions * channels, positions, function=call.function.split("_")[0]
    )
    keep(reading, call, layer, Tensor(positions, channels, width), tuple(outs))


def embedding(reading: Reading, call: LayerCall) -> None:
    config = config_of(reading, call)
    data, result = types_of(reading, call)
    n_in, n_out, rows = need(config, "n_in"), need(config, "n_out"), need(config, "vocab_size")
    layer = DesignLayer(
        call.name, "embedding", data.width, result.width, n_in * n_out, n_in, weight_width=result.width,
        kernel_shape=(rows, n_out),
    )  # fmt: skip
    keep(reading, call, layer, Tensor(n_in, n_out, result.width), (call.arguments[1],))
