"""The layers of a published report: the configuration structs of ``designs.csv`` in order, with their weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.estimate.design import DesignLayer
from toolchain.estimate.directory.reading import NO_STRATEGY

#: Activations by the name of their configuration or function.
FUNCTIONS = ("softmax", "sigmoid", "hard_tanh", "tanh", "LeakyReLU", "relu", "linear", "elu", "selu")


@dataclass(frozen=True)
class Format:
    """``ap_[u]fixed<width, integer_bits>``."""

    width: int
    integer_bits: int
    rounds: bool = False

    @property
    def fraction(self) -> int:
        return self.width - self.integer_bits


def text_format(text: object) -> Format:
    """``ap_fixed<16,6,AP_RND,AP_SAT>`` or ``ap_int<16>``; 16, 6 when there is none."""
    found = re.search(r"<\s*(\d+)\s*(?:,\s*(-?\d+))?([^>]*)", str(text).split(";")[0])
    if not found:
        return Format(16, 6)
    width = int(found[1])
    return Format(width, int(found[2]) if found[2] else width, "RND" in found[3] or "SAT" in found[3])


def module_formats(module: str) -> list[Format]:
    """The formats in a generated module's name, in order."""
    found = re.findall(r"ap_u?fixed_(\d+)_(-?\d+)_(\d)_(\d)_\d", module)
    return [Format(int(w), int(i), rounding != "5" or overflow != "3") for w, i, rounding, overflow in found]


class NotReadError(Exception):
    """A report whose layers are not all known: it cannot be a design, and is left out."""


@dataclass(frozen=True)
class StoredWeights:
    """``weights.csv`` by (design, configuration), and the matrices of ``weights.npz`` by their keys."""

    rows: Mapping[tuple[str, str], Any]
    arrays: Mapping[str, NDArray[np.generic]]


def _with_unlisted(configs: list[dict[str, Any]], formats: Mapping[str, list[Format]]) -> list[dict[str, Any]]:
    """The configurations in order, and activations that have a module but no configuration, by their number."""
    listed = {config["cfg"] for config in configs}
    found = list(configs)
    for name in formats:
        if name in listed or "_config" not in name:
            continue
        number = int(name.rsplit("_config", 1)[1])
        numbers = [_number(config["cfg"]) for config in found]
        place = max((i + 1 for i, n in enumerate(numbers) if n < number), default=0)
        found.insert(place, {"cfg": name, "base": "activ_config", "n_in": 0})
    return found


def _number(name: str) -> int:
    digits = re.search(r"config(\d+)", name)
    return int(digits[1]) if digits else 0


class PublishedLayers:
    """Walks the configurations in order; formats come from module names where they are printed, else from before."""

    def __init__(self, stored: StoredWeights, row: Any, formats: Mapping[str, list[Format]]) -> None:
        self.stored, self.row, self.formats = stored, row, formats
        self.data = text_format(row.input_t)
        self.shape: tuple[int, ...] = ()
        self.factors = [int(float(f)) for f in str(row.reuse_effective).split(";") if f not in ("", "nan")]
        self.binding = row.mul_binding if row.mul_binding in ("dsp", "lut") else "auto"

    def all(self) -> list[DesignLayer]:
        configs = json.loads(self.row.layers_json) if isinstance(self.row.layers_json, str) else []
        if not configs:
            raise NotReadError("no configuration")
        inner = {c.get("mult_config1") for c in configs} | {c.get("mult_config2") for c in configs}
        inner |= {c.get("ACT_CONFIG_GRU") for c in configs} | {c.get("ACT_CONFIG_T") for c in configs}
        self.by_name = {c["cfg"]: c for c in configs}
        layers = []
        for config in _with_unlisted(configs, self.formats):
            if config["cfg"] in inner or config["cfg"].endswith("_mult"):
                continue
            found = self._layer(config)
            if found is not None:
                layers.append(found)
        return layers

    def _layer(self, config: dict[str, Any]) -> DesignLayer | None:
        base, name = config.get("base", "dense_config"), config["cfg"]
        given = self.formats.get(name, [])
        if len(given) >= 2:
            self.data = given[0]
        if base == "dense_config":
            return self._kernel(config, "dense", 1, given)
        if base in ("conv1d_config", "conv2d_config"):
            return self._convolution(config, base, given)
        if base == "activ_config":
            return self._activation(config, given)
        if base == "batchnorm_config":
            return self._scale(config, given)
        if base in ("pooling1d_config", "pooling2d_config"):
            return self._pooling(config, base)
        if base in ("padding1d_config", "padding2d_config"):
            return self._padding(config)
        if base == "gru_config":
            return self._recurrent(config)
        raise NotReadError(base)

    def _reuse(self, config: dict[str, Any]) -> int:
        asked = int(config.get("reuse_factor") or 1)
        return asked if asked in self.factors or not self.factors else self.factors[0]

    def _strategy(self, config: dict[str, Any], shape: tuple[int, int] | None) -> str:
        """Versions before 0.2 have no strategy: many turns meant memory."""
        text = str(config.get("strategy") or str(self.row.strategy).split(";")[-1]).lower()
        many = shape is not None and self._reuse(config) > shape[0]
        return ("resource" if many else "latency") if text in ("nan", "") else text

    def _kernel(self, config: dict[str, Any], kind: Any, positions: int, given: list[Format]) -> DesignLayer:
        name = config["cfg"]
        held = text_format(config.get("accum_t") or str(self.row.accum_t))
        known = self.stored.rows.get((self.row.id, name)) or self.stored.rows.get((self.row.id, f"{name}_mult"))
        matrix, biases, weight = None, 0, text_format(config.get("weight_t") or self.row.weight_t)
        if known is not None:
            matrix = self.stored.arrays[known.key].astype(np.int64)
            weight = Format(int(known.total_bits), int(known.total_bits) - int(known.frac_bits))
            if isinstance(known.bias_key, str):
                biases = int(np.count_nonzero(self.stored.arrays[known.bias_key]))
        dropped = max(0, self.data.fraction + weight.fraction - held.fraction)
        shape = (int(config["n_in"]), int(config["n_out"])) if "n_in" in config else None
        columns = matrix.shape[1] if matrix is not None else shape[1] if shape else 1
        layer = DesignLayer(
            name,
            kind,
            self.data.width,
            given[-1].width if given else held.width,
            columns * positions,
            positions,
            matrix,
            weight.width,
            held.width,
            self._strategy(config, shape),
            self._reuse(config),
            dropped,
            held.rounds,
            biases,
            kernel_shape=shape,
            input_shape=self.shape,
            binding=self.binding,
            doubt=NO_STRATEGY if "strategy" not in config and not isinstance(self.row.strategy, str) else "",
        )
        self.data = given[-1] if given else held
        self.shape = (positions, columns)
        return layer

    def _convolution(self, config: dict[str, Any], base: str, given: list[Format]) -> DesignLayer:
        one = base == "conv1d_config"
        inside = (int(config["in_width"]),) if one else (int(config["in_height"]), int(config["in_width"]))
        outside = (int(config["out_width"]),) if one else (int(config["out_height"]), int(config["out_width"]))
        window = (int(config["filt_width"]),) if one else (int(config["filt_height"]), int(config["filt_width"]))
        channels, filters = int(config["n_chan"]), int(config["n_filt"])
        self.shape = (*inside, channels)
        merged = {**config, **{k: v for k, v in self.by_name.get(config["cfg"] + "_mult", {}).items() if k != "cfg"}}
        merged |= {"n_in": int(np.prod(window)) * channels, "n_out": filters}
        layer = self._kernel(merged, "conv1d" if one else "conv2d", int(np.prod(outside)), given)
        self.shape = (*outside, filters)
        return replace(
            layer, window=window, input_shape=(*inside, channels), implementation=str(config.get("implementation", ""))
        )

    def _activation(self, config: dict[str, Any], given: list[Format]) -> DesignLayer:
        name, words = config["cfg"], int(config["n_in"]) or max(1, int(np.prod(self.shape)))
        function = next((f for f in FUNCTIONS if f in name), "linear").lower()
        result = given[-1] if given else self.data
        kind: Any = "softmax" if function == "softmax" else "table" if function in ("sigmoid", "tanh") else "activation"
        positions = int(np.prod(self.shape[:-1])) if self.shape and int(np.prod(self.shape)) == words else 1
        layer = DesignLayer(
            name, kind, self.data.width, result.width, words, positions, function=function, result_rounds=result.rounds,
            table_size=int(config.get("table_size") or config.get("exp_table_size") or 1024), binding=self.binding,
        )  # fmt: skip
        self.data = result
        return layer

    def _scale(self, config: dict[str, Any], given: list[Format]) -> DesignLayer:
        result = given[-1] if given else self.data
        words = int(config["n_in"])
        layer = DesignLayer(config["cfg"], "activation", self.data.width, result.width, words, 1, function="scale")
        self.data = result
        return layer

    def _pooling(self, config: dict[str, Any], base: str) -> DesignLayer:
        channels = int(config["n_filt"])
        inside = (
            (int(config["n_in"]),)
            if base == "pooling1d_config"
            else (int(config["in_height"]), int(config["in_width"]))
        )
        if "n_out" in config or "out_width" in config:
            outside = (
                (int(config["n_out"]),) if "n_out" in config else (int(config["out_height"]), int(config["out_width"]))
            )
        else:
            outside = (1,)
        whole = "" if "filt_width" in config or "pool_width" in config else "global_"
        layer = DesignLayer(
            config["cfg"], "pooling", self.data.width, self.data.width, int(np.prod(outside)) * channels,
            int(np.prod(outside)), function=whole + str(config.get("pool_op", "max")).lower(),
            input_shape=(*inside, channels),
            window=_window(config, len(inside)) or (() if whole else (2,) * len(inside)),
            implementation=str(config.get("implementation", "")),
        )  # fmt: skip
        self.shape = (*outside, channels)
        return layer

    def _padding(self, config: dict[str, Any]) -> DesignLayer:
        channels = int(config["n_chan"])
        outside = (
            (int(config["out_width"]),)
            if "out_height" not in config
            else (int(config["out_height"]), int(config["out_width"]))
        )
        self.shape = (*outside, channels)
        positions = int(np.prod(outside))
        width = self.data.width
        return DesignLayer(
            config["cfg"], "padding", width, width, positions * channels, positions, input_shape=self.shape
        )  # fmt: skip

    def _recurrent(self, config: dict[str, Any]) -> DesignLayer:
        outer, inner = self.by_name[config["mult_config1"]], self.by_name[config["mult_config2"]]
        held, weight = text_format(config["accum_t"]), text_format(config["weight_t"])
        layer = DesignLayer(
            config["cfg"], "recurrent", self.data.width, held.width, int(config["n_out"]),
            int(config["n_sequence"]), None,
            weight.width, held.width, strategy="resource", reuse_factor=int(config["reuse_factor"]), function="gru",
            kernel_shape=(int(outer["n_in"]), int(outer["n_out"])),
            recurrent_shape=(int(inner["n_in"]), int(inner["n_out"])), table_size=1024,
            recurrent_reuse_factor=int(inner["reuse_factor"]),
        )  # fmt: skip
        self.data, self.shape = held, (int(config["n_out"]),)
        return layer


def _window(config: Mapping[str, Any], axes: int) -> tuple[int, ...]:
    """Height and width of a pooling window, as far as the configuration says them."""
    names = ("filt_height", "filt_width")[-axes:]
    sizes = [config.get(name, config.get(name.replace("filt", "pool"), config.get("filt_width"))) for name in names]
    return tuple(int(size) for size in sizes if size is not None)
