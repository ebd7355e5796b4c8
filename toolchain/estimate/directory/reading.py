"""What every kind of layer needs of a call: its configuration struct, its types, the variables it reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.design import DesignLayer
from toolchain.estimate.directory.generated_code import Element, GeneratedCode
from toolchain.estimate.directory.sources import Config, LayerCall, Sources, Type

_STRATEGIES = {
    "latency": "latency", "resource": "resource", "resource_unrolled": "resource", "unrolled": "resource",
    "compressed": "resource", "distributed_arithmetic": "distributed_arithmetic",
}  # fmt: skip
NO_STRATEGY = "no strategy is said (hls4ml before 0.2): taken as latency; one such design was 300 times too high"


@dataclass(frozen=True)
class Tensor:
    """What a variable holds: places and channels, and the width of a word."""

    positions: int
    channels: int
    width: int
    constant: int = 0  # channels that no weight reaches: constants, which the tool takes away in io_parallel
    elements: tuple[Element, ...] = ()  # formats of the single words, where they differ


@dataclass
class Reading:
    """The layers so far, the variables, and what was noticed."""

    sources: Sources
    weights: Path
    code: GeneratedCode = field(default_factory=GeneratedCode)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[DesignLayer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    configs: dict[str, str] = field(default_factory=dict)  # layer -> the struct that configures it
    origins: dict[str, int] = field(default_factory=dict)  # variable -> the layer that writes it
    inputs: list[str] = field(default_factory=list)  # variable that each layer reads first

    def tensor(self, name: str, fallback: Type) -> Tensor:
        """The variable that is read; of a port only its type is known."""
        name = self.sources.aliases.get(name, name)
        return self.tensors.get(name, Tensor(1, fallback.pack, fallback.width))


Rule = Callable[[Reading, LayerCall], None]


def config_of(reading: Reading, call: LayerCall) -> Config:
    for name in reversed(call.templates):
        if name in reading.sources.configs:
            return reading.sources.configs[name]
    by_lower = {name.lower(): config for name, config in reading.sources.configs.items()}
    for name in reversed(call.templates):  # hls4ml 1.2 and 1.3 spell Softmax_config in one place
        if name.lower() in by_lower:
            return by_lower[name.lower()]
    raise UnsupportedModelError(
        f"no configuration struct of {call.function} was found", where=f"{reading.sources.folder}: layer '{call.name}'"
    )


def types_of(reading: Reading, call: LayerCall) -> tuple[Type, Type]:
    """The types that a call reads and gives."""
    structs = {name.lower() for name in reading.sources.configs}
    names = [name for name in call.templates if name.lower() not in structs]
    data = reading.sources.type_of(names[0])
    typed = [name for name in names[1:] if not name.isdigit()]
    return data, reading.sources.type_of(typed[-1]) if typed else data


def output_of(call: LayerCall) -> str:
    """The variable that a call writes: its last argument that is no weight."""
    names = [name for name in call.arguments if name.endswith("_out") or "_cpy" in name or "layer" in name]
    return names[-1] if names else call.arguments[min(1, len(call.arguments) - 1)]


def keep(reading: Reading, call: LayerCall, layer: DesignLayer, tensor: Tensor, outs: tuple[str, ...] = ()) -> None:
    names = outs or (output_of(call),)
    reading.layers.append(replace(layer, fifo_depth=reading.sources.depths.get(names[0], 0)))
    reading.inputs.append(call.arguments[0])
    for name in names:
        reading.tensors[name] = tensor
        reading.origins[name] = len(reading.layers) - 1


def take_away(reading: Reading, variable: str, dead: NDArray[np.bool_]) -> None:
    """Words that only this reader would read, and does not: the tool builds nothing for them (io_parallel)."""
    while True:
        variable = reading.sources.aliases.get(variable, variable)
        place = reading.origins.get(variable)
        named = [reading.sources.aliases.get(name, name) for call in reading.sources.calls for name in call.arguments]
        if place is None or named.count(variable) != 2:  # the layer itself, and the reader
            return
        layer = reading.layers[place]
        live = max(1, int((~dead).sum()))
        if layer.kind == "dense" and layer.weights is not None and layer.weights.shape[1] == len(dead):
            left = np.where(dead, 0, layer.weights)
            reading.layers[place] = replace(
                layer, weights=left, words=min(layer.words, live), biases=min(layer.biases, live)
            )
            dead, variable = unread(left), reading.inputs[place]
            continue
        if layer.kind != "activation" or layer.positions != 1 or layer.words > len(dead):
            return
        reading.layers[place] = replace(layer, words=min(layer.words, live))
        variable = reading.inputs[place]


def unread(weights: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Inputs whose weights are all zero."""
    found: NDArray[np.bool_] = np.logical_not(np.any(weights, axis=1))
    return found


def need(config: Config, *names: str) -> int:
    for name in names:
        if name in config.numbers:
            return config.numbers[name]
    raise UnsupportedModelError(f"does not say {names[0]}", where=f"struct {config.name}")


def strategy_of(reading: Reading, config: Config, call: LayerCall) -> str:
    word = config.words.get("strategy", "latency").rpartition("::")[2].lower()
    if word not in _STRATEGIES:
        raise UnsupportedModelError(f"strategy {word!r} is not known", where=f"layer '{call.name}'")
    if doubt := doubt_of(config):
        reading.notes.append(f"layer '{call.name}': {doubt}")
    return _STRATEGIES[word]


def doubt_of(config: Config) -> str:
    """Why the counting may not hold for this kernel; empty when there is no reason."""
    word, kernel = config.words.get("strategy", ""), config.words.get("kernel", "")
    if not word:
        return NO_STRATEGY
    if "nrolled" in f"{word}{kernel}" or "ompressed" in f"{word}{kernel}":
        return f"strategy {word.rpartition('::')[2]}: no report has it; counted as resource"
    return ""


def padded(config: Config, axes: tuple[int, ...]) -> tuple[int, ...]:
    ends = margins_of(config, len(axes) == 2)
    return tuple(size + sum(ends[2 * axis : 2 * axis + 2]) for axis, size in enumerate(axes))


def margins_of(config: Config, two: bool) -> tuple[int, ...]:
    """Zeros in front of the first word and behind the last, of one axis or two."""
    names = ("pad_top", "pad_bottom", "pad_left", "pad_right")[0 if two else 2 :]
    return tuple(config.numbers.get(name, 0) for name in names)


def strides_of(config: Config, two: bool) -> tuple[int, ...]:
    """Words from one window to the next, of one axis or two."""
    return tuple(config.numbers.get(name, 1) for name in ("stride_height", "stride_width")[0 if two else 1 :])


def implementation_of(config: Config) -> str:
    """How a window is gathered: linebuffer, encoded, pointwise; empty where the struct does not say.

    Before hls4ml had line buffers its structs said the table of an encoded window and no word.
    """
    word = config.words.get("implementation", "").rpartition("::")[2].lower()
    return word or ("encoded" if config.numbers.get("min_width", 0) > 0 else "")
