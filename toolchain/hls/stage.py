"""Stage ``hls``: the network lowered into hls4ml's graph and written as a complete Vitis or Vivado HLS project."""

from __future__ import annotations

import contextlib
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

from toolchain.errors import ExternalToolError, UnsupportedModelError
from toolchain.hls import readback
from toolchain.hls.lower import Lowered, lower
from toolchain.hls.options import HlsOptions, hls4ml_config, resolve
from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.words import write_words
from toolchain.project import HlsSection
from toolchain.results import HlsResult, Job, QuantizeResult
from toolchain.target import Fpga
from toolchain.workspace import manifest

TOP = "network"
#: Samples that go with the project as its own test vectors: enough to fail on, few enough for co-simulation.
VECTORS = 200


@dataclass(frozen=True)
class Traced:
    """A node's words in the C-simulation."""

    node: str
    trace: str
    type: str
    size: int


def write(quantized: QuantizeResult, section: HlsSection, fpga: Fpga, job: Job) -> HlsResult:
    """Write the project into ``job.folder``: ``vitis_hls -f build_prj.tcl`` (or ``vivado_hls``) would run there.

    Needs no TensorFlow. Raises ProjectError for options that are not legal, UnsupportedModelError for what cannot be
    exact, ExternalToolError or BitMismatchError when what hls4ml wrote is not what was asked for.
    """
    network = storage.load(quantized.folder / "network.fpn")
    options = resolve(network, section, fpga)
    lowered = lower(network)
    names = [layer["name"] for layer in lowered.layers]
    with quiet_hls4ml() as said:
        graph = _graph(lowered, hls4ml_config(options, names, TOP, str(job.folder)))
        graph.write()
    refused = [line for line in said.getvalue().splitlines() if "WARNING" in line or "Invalid" in line]
    if refused:
        raise ExternalToolError(f"hls4ml changed an option: {refused[0]}", where="hls")
    _make_reproducible(job.folder)
    readback.check_options(job.folder, options, options.backend)
    readback.require_weights(job.folder, network, options)
    traced = _places(graph, lowered, network)
    _write_bench(graph, traced, options, job.folder, network)
    _write_vectors(quantized, network, job.folder)
    types = readback.read_types(job.folder)
    return HlsResult(
        project_name=TOP, backend=section.backend, io_type=section.io_type, part=options.part,
        clock_period_ns=options.clock_period_ns, clock_uncertainty_percent=options.clock_uncertainty_percent,
        layers=options.layers, formats={t.node: str(readback.element_format(types[t.type])) for t in traced},
        files=manifest(job.folder),
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

    graph = ModelGraph.from_layer_list(config, lowered.layers, lowered.inputs, lowered.outputs)
    graph.apply_flow(graph.config.backend.get_default_flow())
    return graph


def _places(graph: Any, lowered: Lowered, network: FixedPointNetwork) -> list[Traced]:
    """Where each node's words appear. A quantizer that hls4ml fused is its producer; a reshape has no place."""
    present = {layer.name: layer for layer in graph.graph.values()}
    by_name = {layer["name"]: layer for layer in lowered.layers}
    taken: dict[str, str] = {}  # hls4ml layer -> the last node whose words it puts out
    for node in network.nodes[len(network.inputs) :]:
        name = lowered.ends[node.name]
        while name not in present:
            name = by_name[name]["inputs"][0]
        if type(present[name]).__name__ not in ("Input", "Reshape", "Repack"):
            taken[name] = node.name
    found = []
    for name, node_name in taken.items():
        if network[node_name].__class__.__name__ == "Reshape":
            continue
        variable = present[name].get_output_variable()
        found.append(Traced(node_name, name, variable.type.name, int(np.prod(variable.shape))))
    return found


def _write_bench(
    graph: Any, traced: list[Traced], options: HlsOptions, folder: Path, network: FixedPointNetwork
) -> None:
    if len(network.outputs) != 1 or len(network.inputs) != 1:
        raise UnsupportedModelError("several inputs or outputs", where="network", allowed="one of each")
    source = (folder / "firmware" / f"{TOP}.cpp").read_text()
    called = re.findall(r'save_layer_output<[^>]*>+\(\w+, "(\w+)", ([^)]+)\)', source)
    wanted = {item.trace for item in traced}
    missing = wanted - {name for name, _ in called}
    if missing:
        raise ExternalToolError(f"hls4ml wrote no trace of {', '.join(sorted(missing))}", where="hls")
    port, result = graph.get_input_variables()[0], graph.get_output_variables()[0]
    shape = {"size": int(np.prod(port.shape)), "type": port.type.name, "variable": port.name}
    output = {"size": int(np.prod(result.shape)), "type": result.type.name, "variable": result.name}
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = template.get_template("testbench.cpp.j2").render(
        top=TOP, layers=traced, input=shape, output={**output, "node": "result"}, stream=options.io_type == "io_stream",
        unused_traces=[{"trace": name, "size": size} for name, size in called if name not in wanted],
    )  # fmt: skip
    (folder / f"{TOP}_test.cpp").write_text(text)


def _write_vectors(quantized: QuantizeResult, network: FixedPointNetwork, folder: Path) -> None:
    """Test vectors and expected words for the vendor's own C-simulation and co-simulation."""
    port = network.inputs[0].name
    with np.load(quantized.folder / "inputs.npz", allow_pickle=False) as stored:
        words = stored[port]
    corners = words[quantized.test_samples :][: VECTORS // 2]
    words = np.concatenate([words[: VECTORS - len(corners)], corners])
    result = interpreter.run(network, {port: words})[network.outputs[0]]
    (folder / "tb_data").mkdir(exist_ok=True)
    write_words(folder / "tb_data" / "input_words.txt", words)
    write_words(folder / "tb_data" / "expected_words.txt", result)


def _make_reproducible(folder: Path) -> None:
    """Take the folder's own path and hls4ml's random library stamp out of the written files."""
    script = folder / "build_lib.sh"
    stamp = re.search(r"LIB_STAMP=(\w+)", script.read_text())
    for file in folder.iterdir():
        if file.is_file() and file.suffix in (".sh", ".yml", ".tcl", ".cpp"):
            text = file.read_text().replace(str(folder), ".")
            file.write_text(text.replace(stamp[1], "toolchain") if stamp else text)
