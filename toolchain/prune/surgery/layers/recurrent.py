"""Recurrent layers: a unit is one column of every gate, and one row of the recurrent kernel."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from toolchain.prune.surgery.channels import Channels, Labels, UncuttableError
from toolchain.prune.surgery.layers.functions import check_activation, check_quantizers
from toolchain.prune.surgery.rules import Output, Site, rule

_GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4, "QSimpleRNN": 1, "QGRU": 3, "QLSTM": 4}
_STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2, "QSimpleRNN": 1, "QGRU": 1, "QLSTM": 2}


@rule(*_GATES)
def recurrent(site: Site) -> Output:
    """Kernel ``(inputs, gates * units)``, recurrent kernel ``(units, gates * units)``; states are tied to the units."""
    read = site.input()
    _check(site)
    units = site.units(int(site.option("units")))
    _bind(site, site.layer.weights, read, units, _GATES[site.layer.kind])
    site.size("units", units)
    for place in range(1, len(site.inputs)):
        site.tie(site.input(place).labels, units)
    for key in ("activation", "recurrent_activation"):
        check_activation(site, units, key)
    out = site.result(units)
    if not site.option("return_state", False):
        return out
    return (out, *(Channels((len(units),), 0, units) for _ in range(_STATES[site.layer.kind])))


@rule("Bidirectional")
def bidirectional(site: Site) -> Output:
    """Two layers of as many units each: unit ``i`` of both directions goes together."""
    inner = site.option("layer")
    kind, config = str(inner["class_name"]), inner["config"]
    if kind not in _GATES or config.get("return_state") or "backward_layer" in site.layer.config:
        raise UncuttableError(f"round a {kind} with states or with a backward layer of its own")
    read = site.input()
    _check(site)
    units = site.units(int(config["units"]))
    weights = list(site.layer.weights)
    for half in (weights[: len(weights) // 2], weights[len(weights) // 2 :]):
        _bind(site, half, read, units, _GATES[kind])
    site.size("units", units, ("layer", "config"))
    if "build_config" in inner:
        site.reset("layer", "build_config")
    mode = site.layer.config.get("merge_mode", "concat")
    if mode is None:
        return site.result(units), site.result(units)
    return site.result(np.concatenate([units, units]) if mode == "concat" else units)


def _check(site: Site) -> None:
    check_quantizers(site)
    inner = site.option("layer", {}).get("config", site.layer.config)
    if inner.get("time_major") or "mask" in site.call.keywords:
        raise UncuttableError("time_major or a mask as an input")
    for key in ("activation", "recurrent_activation"):
        if "softmax" in str(inner.get(key)):
            raise UncuttableError(f"{key} softmax runs over all its units")


def _bind(site: Site, weights: Iterable[str], read: Channels, units: Labels, gates: int) -> None:
    columns = np.tile(units, gates)
    for weight in weights:
        name = weight.split("/")[-1]
        if name == "kernel":
            site.bind("reads", weight, 0, read.labels)
            site.bind("makes", weight, 1, columns)
        elif name == "recurrent_kernel":
            site.bind("inside", weight, 0, units)
            site.bind("makes", weight, 1, columns)
        elif name == "bias":
            site.bind("makes", weight, -1, columns)
        else:
            raise UncuttableError(f"its weight {weight} is not known")
        if name != "bias":
            site.works(weight, read.shape[:1])
