"""The written project read again: every option, format and weight must stand there as it was asked for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.fixed_point import FixedPoint, parse_ap_fixed
from toolchain.hls.layers import bias_values, hardware_kernel, is_nothing, table_values
from toolchain.hls.options import HlsOptions
from toolchain.hls.sufficiency import exact_bounds, find_shortfall, holds
from toolchain.network.nodes import (
    DepthwiseConvolution,
    Embedding,
    FixedPointNetwork,
    Input,
    Linear,
    Node,
    Scale,
    Table,
)
from toolchain.network.ranges import Range
from toolchain.results import HlsLayerOptions

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


def check_options(project: Path, top: str, options: HlsOptions) -> None:
    """Compare ``project.tcl``, the top function and ``parameters.h`` with ``options``.

    Raises ExternalToolError naming the first option that hls4ml wrote differently.
    """
    tcl = (project / "project.tcl").read_text()
    written = {key: value.strip('"') for key, value in re.findall(r"^set (\w+) (.+)$", tcl, re.MULTILINE)}
    _same("part", options.part, written.get("part"))
    _same("backend", options.backend, written.get("backend"))
    _same("clock_period_ns", options.clock_period_ns, _number(written.get("clock_period")))
    uncertainty = written.get("clock_uncertainty", "")
    _same("clock_uncertainty_percent", options.clock_uncertainty_percent, _number(uncertainty.removesuffix("%")))
    source = (project / "firmware" / f"{top}.cpp").read_text()
    ports = {"ap_vld": "io_parallel", "axis": "io_stream"}
    found = {ports.get(kind, kind) for kind in re.findall(r"#pragma HLS INTERFACE (\w+)", source)}
    _same("io_type", {options.io_type}, found)
    parameters = (project / "firmware" / "parameters.h").read_text()
    blocks = dict(_STRUCT.findall(parameters.split("insert layer-config")[1]))
    calls = {name: call for call, name in re.findall(r"^\s*(nnet::.*) // (\w+)$", source, re.MULTILINE)}
    for layer in options.layers:
        _check_layer(layer, blocks.get(layer.name, ""), calls.get(layer.name, ""))


def _check_layer(layer: HlsLayerOptions, config: str, call: str) -> None:
    where = f"layer '{layer.name}'"
    if not call:
        raise ExternalToolError("is not in the written project", where=where)
    strategies = set(re.findall(r"strategy = nnet::(\w+);", config))
    factors = set(re.findall(r"reuse_factor = (\d+);", config))
    if layer.strategy == "distributed_arithmetic":
        # Its weights are code: the layer calls its own generated function, directly or through its configuration.
        if "dense_da_" not in call + config:
            raise ExternalToolError("asked for distributed_arithmetic, hls4ml wrote a matrix product", where=where)
        strategies, factors = strategies or {layer.strategy}, factors or {"1"}
    _same(f"{where}: strategy", {layer.strategy}, strategies)
    _same(f"{where}: reuse_factor", {str(layer.reuse_factor)}, factors)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _same(what: str, asked: object, found: object) -> None:
    if asked != found:
        raise ExternalToolError(f"asked for {asked}, hls4ml wrote {found}", where=what)


def find_differences(
    project: Path, network: FixedPointNetwork, layers: tuple[HlsLayerOptions, ...], formats: dict[str, FixedPoint]
) -> list[str]:
    """One sentence, its node's name first, for all that makes the project in ``project`` another network.

    Weights that are not the network's, types that do not hold them, accumulators that do not hold every sum, and
    results, of the types ``formats`` (by node), that are not provably the network's. In the network's order.
    """
    exact = exact_bounds(network)
    types = read_types(project)
    weights = _weight_differences(project, network, layers, formats)
    found = []
    for node in network.nodes:
        problems = weights.get(node.name, [])
        if isinstance(node, Linear):
            problems += _narrow_sum(node, types, exact[node.name])
        problems += _narrow_arrays(node, types, _arrays(node, network, formats))
        if node.name in formats:
            form = formats[node.name]
            if isinstance(node, Input):
                why = "" if form.same_grid(node.result) else "is another format"
            else:
                why = find_shortfall(exact[node.name], node.result, form)
            if why:
                problems.append(f"the result {form} {why}: asked for {node.result}")
        found += [f"{node.name}: {problem}" for problem in problems]
    return found


def _narrow_sum(node: Linear, types: dict[str, str], exact: Range) -> list[str]:
    accumulator = types.get(f"{node.name}_accum_t", "")
    if accumulator and not _holds(accumulator, exact):
        return [f"the accumulator {accumulator} does not hold every sum: {exact.smallest_format()}"]
    return []


def _narrow_arrays(node: Node, types: dict[str, str], arrays: dict[str, np.ndarray]) -> list[str]:
    problems = []
    for kind, values in arrays.items():
        written = types.get(f"{node.name}_{kind}_t", "")
        if written and not _holds_values(written, values):
            problems.append(f"the {kind} type {written} does not hold every {kind}")
    return problems


def _holds(kind: str, exact: Range) -> bool:
    try:
        return holds(element_format(kind), exact)
    except ValueError:
        return False


def _holds_values(kind: str, values: np.ndarray) -> bool:
    try:
        form = element_format(kind)
    except ValueError:
        return False
    return bool((form.values_of(form.words_of(values)) == values).all())


def require_same(
    project: Path, network: FixedPointNetwork, layers: tuple[HlsLayerOptions, ...], formats: dict[str, FixedPoint]
) -> None:
    """Raise BitMismatchError when anything of ``find_differences`` is there: hls4ml wrote another network."""
    wrong = find_differences(project, network, layers, formats)
    if wrong:
        raise BitMismatchError("; ".join(wrong), where="the written project")


def _arrays(node: Node, network: FixedPointNetwork, formats: dict[str, FixedPoint]) -> dict[str, np.ndarray]:
    """A node's constants (as they stand in hardware) as real numbers, by hls4ml's names for them."""
    if isinstance(node, Linear):
        kernel = node.kernel_format.values_of(hardware_kernel(node))
        return {"scale" if isinstance(node, Scale) else "weight": kernel, "bias": bias_values(node)}
    if isinstance(node, Table):
        x = node.inputs[0]
        form = network[x].result
        while x not in formats:  # a change of shape has no type of its own
            x = network[x].inputs[0]
        return {"table": table_values(node, form, formats[x])}
    if isinstance(node, Embedding):
        return {"embeddings": node.result.values_of(node.words)}
    return {}


def _weight_differences(
    project: Path, network: FixedPointNetwork, layers: tuple[HlsLayerOptions, ...], formats: dict[str, FixedPoint]
) -> dict[str, list[str]]:
    """By node, the arrays of ``firmware/weights/*.h`` that are not the network's.

    The weights of distributed_arithmetic layers are generated code: only the C-simulation can compare them.
    """
    files = _weight_files(project)
    strategies = {layer.name: layer.strategy for layer in layers}
    wrong: dict[str, list[str]] = {}
    for node in network.nodes:
        strategy = strategies.get(node.name, "")
        if strategy == "distributed_arithmetic" or is_nothing(node):
            continue
        for kind, expected in _arrays(node, network, formats).items():
            if strategy == "resource" and not isinstance(node, DepthwiseConvolution):
                expected = np.moveaxis(expected, -1, 0)  # hls4ml stores the transposed matrix: outputs first
            file, found = files.get((node.name, kind), ("", np.zeros(0)))
            problem = _array_difference(expected.reshape(-1), found)
            if problem:
                wrong.setdefault(node.name, []).append(f"{kind} {problem} in {file or 'no file'}")
    return wrong


def _array_difference(expected: np.ndarray, found: np.ndarray) -> str:
    if found.shape != expected.shape:
        return f"has {found.size} numbers instead of {expected.size}"
    places = np.flatnonzero(found != expected)
    if not places.size:
        return ""
    first = int(places[0])
    return f"{first} is {found[first]:g} instead of {expected[first]:g} ({places.size} differ)"


def _weight_files(project: Path) -> dict[tuple[str, str], tuple[str, np.ndarray]]:
    """``{(layer, kind): (file, values)}``: the type names in the headers tell the layer."""
    found = {}
    for file in sorted((project / "firmware" / "weights").glob("*.h")):
        text = file.read_text(errors="replace")
        kind = re.search(r"^(\w+)_(weight|bias|scale|table|embeddings)_t \w+\[", text, re.MULTILINE)
        numbers = _ARRAY.search(text)
        if kind and numbers:
            values = [_number(part.strip()) for part in numbers[1].split(",")]
            array = np.array([np.nan if value is None else value for value in values])
            found[kind[1], kind[2]] = (f"firmware/weights/{file.name}", array)
    return found
