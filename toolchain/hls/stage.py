"""Stage ``hls``: the network lowered into hls4ml's graph and written as a complete Vitis or Vivado HLS project."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from toolchain.errors import ExternalToolError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls import readback
from toolchain.hls.layers import table_values
from toolchain.hls.lower import Lowered, lower
from toolchain.hls.options import HlsOptions, hls4ml_config, resolve
from toolchain.hls.sufficiency import exact_bounds, find_shortfall
from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork, Input, Table
from toolchain.network.words import input_rows, output_files, write_words
from toolchain.project import HlsSection
from toolchain.results import HlsResult, Job, QuantizeResult
from toolchain.target import Fpga
from toolchain.workspace import manifest

TOP = "network"
#: Samples that go with the project as its own test vectors: enough to fail on, few enough for co-simulation.
VECTORS = 200


@dataclass(frozen=True)
class Traced:
    """Where a node's words appear in the C-simulation: the hls4ml layer, its C++ type and the words of a sample."""

    node: str
    trace: str
    type: str
    size: int


def write(quantized: QuantizeResult, section: HlsSection, fpga: Fpga, job: Job) -> HlsResult:
    """Write the project into ``job.folder``: ``vitis_hls -f build_prj.tcl`` (or ``vivado_hls``) would run there.

    Needs no TensorFlow. Raises ProjectError for options that are not legal, UnsupportedModelError for what cannot be
    exact, ExternalToolError or BitMismatchError when what hls4ml wrote is not what was asked for.
    """
    folder = job.folder.resolve()
    network = storage.load(quantized.folder / "network.fpn")
    lowered = lower(network, section.io_type)
    options = resolve(network, section, fpga)
    job.progress("write", 0, 2)
    with quiet_hls4ml() as said:
        graph = _graph(lowered, hls4ml_config(options, lowered.names, TOP, str(folder)))
        traced = _places(graph, lowered, network)
        _keep_every_bit(graph, traced, network)
        _keep_handed_on(graph, lowered)
        _fit_tables(graph, network)
        graph.write()
    refused = [line for line in said.getvalue().splitlines() if "WARNING" in line or "Invalid" in line]
    if refused:
        raise ExternalToolError(f"hls4ml changed an option: {refused[0]}", where="hls")
    _make_reproducible(folder)
    _make_weights_quick(folder)
    job.progress("read back", 1, 2)
    readback.check_options(folder, TOP, options)
    formats = _formats(folder, graph, traced, network)
    readback.require_same(folder, network, options.layers, formats)
    _write_bench(graph, traced, options, folder, network)
    _write_vectors(quantized, network, folder)
    return HlsResult(
        project_name=TOP, backend=section.backend, io_type=section.io_type, part=options.part,
        clock_period_ns=options.clock_period_ns, clock_uncertainty_percent=options.clock_uncertainty_percent,
        layers=options.layers, formats={name: str(form) for name, form in formats.items()}, files=manifest(folder),
    )  # fmt: skip


@contextlib.contextmanager
def quiet_hls4ml() -> Iterator[io.StringIO]:
    """Collect what hls4ml prints, and keep it from importing Keras only to look for a class of it."""
    absent = {name: sys.modules.get(name) for name in ("keras", "tensorflow") if name not in sys.modules}
    said = io.StringIO()
    try:
        for name in absent:
            sys.modules[name] = None  # type: ignore[assignment]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def _graph(lowered: Lowered, config: dict[str, Any]) -> Any:
    from hls4ml.model.graph import ModelGraph

    from toolchain.hls import extension

    extension.register()
    graph = ModelGraph.from_layer_list(config, lowered.layers, lowered.inputs, lowered.outputs)
    graph.apply_flow(graph.config.backend.get_default_flow())
    return graph


def _places(graph: Any, lowered: Lowered, network: FixedPointNetwork) -> list[Traced]:
    """Where each node's words appear. A quantizer that hls4ml fused is its producer; a reshape has no place."""
    present = {layer.name: layer for layer in graph.graph.values()}
    by_name = {layer["name"]: layer for layer in lowered.layers}
    taken: dict[str, str] = {}  # hls4ml layer -> the last node whose words it puts out
    for node in network.nodes:
        name = lowered.ends[node.name]
        if isinstance(node, Input) or by_name[name]["class_name"] == "Reshape" or name == lowered.ends[node.inputs[0]]:
            continue  # the words of the node before, as they were
        while name not in present or by_name[name]["class_name"] == "Reshape":  # the same words, not traced
            name = by_name[name]["inputs"][0]
        if by_name[name]["class_name"] != "InputLayer":
            taken[name] = node.name
    found = []
    for name, node_name in taken.items():
        variable = present[name].get_output_variable()
        found.append(Traced(node_name, name, variable.type.name, int(np.prod(variable.shape))))
    return found


def _keep_every_bit(graph: Any, traced: list[Traced], network: FixedPointNetwork) -> None:
    """Give a layer's result the bits back that hls4ml left out because no later layer needs them.

    It does so before a truncating change of format, and where a clipped value needs them. Kept, every layer's words can
    be compared by themselves; synthesis leaves unused bits out anyway.
    """
    bounds = exact_bounds(network)
    for place in traced:
        node, kind = network[place.node], graph.graph[place.trace].get_output_variable().type
        exact, now, form = bounds[node.name], kind.precision, _format_of(kind.precision)
        if not find_shortfall(exact, node.result, form):
            continue
        fits = not find_shortfall(exact, node.result, exact.smallest_format())
        form = exact.smallest_format() if fits else node.result
        precision = copy.copy(now)  # the old one may be another layer's too
        precision.width, precision.integer = form.width, form.integer_bits + int(form.signed)
        precision.signed = form.signed
        precision.rounding_mode, precision.saturation_mode = str(form.rounding), str(form.overflow)
        _set_precision(graph, kind, precision)


def _set_precision(graph: Any, kind: Any, precision: Any) -> None:
    """Give ``kind`` and whatever goes by its name (copies of a stream) another precision."""
    for layer in graph.graph.values():
        for variable in layer.variables.values():
            if variable.type.name == kind.name:
                variable.type.precision = precision
    kind.precision = precision


def _keep_handed_on(graph: Any, lowered: Lowered) -> None:
    """A layer that only hands words on has the type that it reads."""
    for name in lowered.casts:
        layer = graph.graph[name]
        precision = copy.copy(layer.get_input_variable().type.precision)
        precision.rounding_mode, precision.saturation_mode = "TRN", "WRAP"
        _set_precision(graph, layer.get_output_variable().type, precision)


def _fit_tables(graph: Any, network: FixedPointNetwork) -> None:
    """Index each table by the words that the layer before it really puts out: hls4ml's type may have fewer bits."""
    for node in network.nodes:
        if not isinstance(node, Table):
            continue
        layer, form = graph.graph[node.name], network[node.inputs[0]].result
        table = layer.weights["table"]
        table.data = table_values(node, form, _format_of(layer.get_input_variable().type.precision))
        table.shape = list(table.data.shape)
        table.data_length = table.data.size
        layer.set_attr("table_size", table.data.size)


def _format_of(precision: Any) -> FixedPoint:
    sign = int(precision.signed)
    modes = Rounding(precision.rounding_mode.name), Overflow(precision.saturation_mode.name)
    return FixedPoint(bool(sign), precision.integer - sign, precision.width - precision.integer, *modes)


def _formats(folder: Path, graph: Any, traced: list[Traced], network: FixedPointNetwork) -> dict[str, FixedPoint]:
    """The formats of the input ports and of every traced node, as written in ``firmware/defines.h``."""
    types = readback.read_types(folder)
    ports = zip(network.inputs, graph.get_input_variables(), strict=True)
    names = {node.name: port.type.name for node, port in ports} | {place.node: place.type for place in traced}
    return {node: readback.element_format(types[name]) for node, name in names.items()}


def _write_bench(
    graph: Any, traced: list[Traced], options: HlsOptions, folder: Path, network: FixedPointNetwork
) -> None:
    source = (folder / "firmware" / f"{TOP}.cpp").read_text()
    called = re.findall(r'save_layer_output<[^>]*>+\(\w+, "(\w+)", ([^)]+)\)', source)
    wanted = {item.trace for item in traced}
    missing = wanted - {name for name, _ in called}
    if missing:
        raise ExternalToolError(f"hls4ml wrote no trace of {', '.join(sorted(missing))}", where="hls")
    inputs = zip(graph.get_input_variables(), (node.name for node in network.inputs), strict=True)
    outputs = zip(graph.get_output_variables(), output_files(network), strict=True)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = template.get_template("testbench.cpp.j2").render(
        top=TOP, layers=traced, inputs=[_port(*port) for port in inputs], outputs=[_port(*port) for port in outputs],
        stream=options.io_type == "io_stream",
        unused_traces=[{"trace": name, "size": size} for name, size in called if name not in wanted],
    )  # fmt: skip
    (folder / f"{TOP}_test.cpp").write_text(text)


def _port(variable: Any, node: str) -> dict[str, Any]:
    return {
        "node": node,
        "size": int(np.prod(variable.shape)),
        "type": variable.type.name,
        "variable": variable.name,
    }


def _write_vectors(quantized: QuantizeResult, network: FixedPointNetwork, folder: Path) -> None:
    """Test vectors and expected words for the vendor's own C-simulation and co-simulation."""
    with np.load(quantized.folder / "inputs.npz", allow_pickle=False) as stored:
        words = {node.name: stored[node.name] for node in network.inputs}
    samples = len(words[network.inputs[0].name])
    corners = np.arange(quantized.test_samples, samples)[: VECTORS // 2]
    chosen = np.concatenate([np.arange(samples)[: VECTORS - len(corners)], corners])
    words = {name: array[chosen] for name, array in words.items()}
    found = interpreter.run(network, words)
    expected = [found[name].reshape(len(chosen), -1) for name in network.outputs]
    (folder / "tb_data").mkdir(exist_ok=True)
    write_words(folder / "tb_data" / "input_words.txt", input_rows(network, words))
    write_words(folder / "tb_data" / "expected_words.txt", np.concatenate(expected, axis=1))


def _make_reproducible(folder: Path) -> None:
    """Take the folder's own path and hls4ml's random library stamp out of the written files."""
    script = folder / "build_lib.sh"
    stamp = re.search(r"LIB_STAMP=(\w+)", script.read_text())
    for file in folder.iterdir():
        if file.is_file() and file.suffix in (".sh", ".yml", ".tcl", ".cpp"):
            text = file.read_text().replace(str(folder), ".")
            file.write_text(text.replace(stamp[1], "toolchain") if stamp else text)


_QUICK = """#ifndef __SYNTHESIS__
static const double {name}_numbers[{size}]
#else
{type} {name}[{size}]
#endif
 = {{{numbers}}};

#ifndef __SYNTHESIS__
{type} {name}[{size}];
static const struct {name}_filling {{
    {name}_filling() {{
        for (int i = 0; i < {size}; i++)
            {name}[i] = {name}_numbers[i];
    }}
}} {name}_filled;
#endif
"""


def _make_weights_quick(folder: Path) -> None:
    """Let the C-simulation fill the weights in a loop from the very numbers that synthesis initializes them with.

    g++ takes 5 ms for each element of an initialized ``ap_fixed`` array: 40 s for 7,560 weights.
    """
    array = re.compile(r"^(?P<type>\w+_t) (?P<name>\w+)\[(?P<size>\d+)\] = \{(?P<numbers>[^}]*)\};\n", re.MULTILINE)
    for file in sorted((folder / "firmware" / "weights").glob("*.h")):
        text, count = array.subn(lambda found: _QUICK.format(**found.groupdict()), file.read_text())
        if count != 1:
            raise ExternalToolError("holds no array of weights as hls4ml 1.3.0 writes them", where=str(file))
        file.write_text(text)
