"""The written project read again: every option and every weight must stand there as it was asked for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.fixed_point import FixedPoint, parse_ap_fixed
from toolchain.hls.options import HlsOptions
from toolchain.network.nodes import FixedPointNetwork, Linear

_TYPEDEF = re.compile(r"^\s*typedef\s+(.+?)\s+(\w+);\s*$", re.MULTILINE)
_STRUCT = re.compile(r"^// (\w+)\n((?:.*\n)*?)(?=^// |\Z)", re.MULTILINE)
_ARRAY = re.compile(r"=\s*\{(.*?)\};", re.DOTALL)


def read_types(project: Path) -> dict[str, str]:
    """Every typedef of ``firmware/defines.h``: name -> type as written."""
    text = (project / "firmware" / "defines.h").read_text()
    return {name: kind for kind, name in _TYPEDEF.findall(text)}


def element_format(kind: str) -> FixedPoint:
    """The element type of an ``ap_fixed`` or a stream's ``nnet::array<ap_fixed, n>``. Raises ValueError."""
    match = re.match(r"nnet::array<\s*(ap_\w+<[^>]*>)", kind)
    return parse_ap_fixed(match[1] if match else kind)


def check_options(project: Path, options: HlsOptions, backend: str) -> None:
    """Compare ``project.tcl`` and ``parameters.h`` with ``options``.

    Raises ExternalToolError naming the first option that hls4ml wrote differently.
    """
    tcl = (project / "project.tcl").read_text()
    written = {key: value.strip('"') for key, value in re.findall(r"^set (\w+) (.+)$", tcl, re.MULTILINE)}
    _same("part", options.part, written.get("part"))
    _same("backend", backend, written.get("backend"))
    _same("clock_period_ns", f"{options.clock_period_ns:g}", f"{float(written.get('clock_period', 'nan')):g}")
    expected = f"{options.clock_uncertainty_percent:g}%"
    _same("clock_uncertainty_percent", expected, written.get("clock_uncertainty"))
    parameters = (project / "firmware" / "parameters.h").read_text()
    blocks = dict(_STRUCT.findall(parameters.split("insert layer-config")[1]))
    for layer in options.layers:
        body = blocks.get(layer.name)
        if body is None:
            raise ExternalToolError("is not in the written project", where=f"layer '{layer.name}'")
        strategies = set(re.findall(r"strategy = nnet::(\w+);", body))
        factors = set(re.findall(r"reuse_factor = (\d+);", body))
        if layer.strategy != "distributed_arithmetic" or strategies:
            _same(f"layer '{layer.name}': strategy", {layer.strategy}, strategies)
        _same(f"layer '{layer.name}': reuse_factor", {str(layer.reuse_factor)}, factors or {"1"})


def _same(what: str, asked: object, found: object) -> None:
    if asked != found:
        raise ExternalToolError(f"asked for {asked}, hls4ml wrote {found}", where=what)


def check_weights(project: Path, network: FixedPointNetwork, options: HlsOptions) -> list[str]:
    """Compare ``firmware/weights/*.h`` with the network's integers; returns the names of layers that differ."""
    files = _weight_files(project)
    wrong = []
    for node in network.nodes:
        if not isinstance(node, Linear) or options.layer(node.name).strategy == "distributed_arithmetic":
            continue  # distributed arithmetic has its weights in generated code; the C-simulation covers them
        kernel = node.kernel_format.values_of(node.kernel)
        found = files.get(node.name, {})
        flat = found.get("w")
        orders = [kernel.reshape(-1), kernel.reshape(-1, kernel.shape[-1]).T.reshape(-1)]
        resource = options.layer(node.name).strategy == "resource"
        if flat is None or not np.array_equal(flat, orders[1] if resource else orders[0]):
            wrong.append(f"{node.name}: kernel")
        bias = np.zeros(kernel.shape[-1])
        if node.bias is not None and node.bias_format is not None:
            bias = node.bias_format.values_of(node.bias)
        if not np.array_equal(found.get("b", np.zeros(0)), bias):
            wrong.append(f"{node.name}: bias")
    return wrong


def require_weights(project: Path, network: FixedPointNetwork, options: HlsOptions) -> None:
    """Raise BitMismatchError when a written weight is not the network's."""
    wrong = check_weights(project, network, options)
    if wrong:
        raise BitMismatchError(f"the written weights differ from the network's: {', '.join(wrong)}")


def _weight_files(project: Path) -> dict[str, dict[str, np.ndarray]]:
    """``{layer: {"w": values, "b": values}}``: the type names in the headers tell the layer."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for file in sorted((project / "firmware" / "weights").glob("*.h")):
        text = file.read_text()
        kind = re.search(r"^(\w+)_(weight|bias)_t \w+\[", text, re.MULTILINE)
        numbers = _ARRAY.search(text)
        if kind and numbers:
            values = np.array([float(part) for part in numbers[1].split(",")])
            found.setdefault(kind[1], {})["w" if kind[2] == "weight" else "b"] = values
    return found
