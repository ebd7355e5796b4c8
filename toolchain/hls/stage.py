"""Stage ``hls``: the network lowered into hls4ml's graph and written as a complete Vitis or Vivado HLS project."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from toolchain.errors import ExternalToolError
from toolchain.fixed_point import FixedPoint
from toolchain.hls import readback
from toolchain.hls.accumulators import settle
from toolchain.hls.lower import lower
from toolchain.hls.lowered import Lowered
from toolchain.hls.options import HlsOptions, hls4ml_config, resolve
from toolchain.hls.precision import Traced, correct_precisions, find_places
from toolchain.hls.quick import make_quick
from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.words import input_rows, output_files, write_words
from toolchain.project import HlsSection
from toolchain.results import HlsResult, Job, QuantizeResult
from toolchain.target import Fpga
from toolchain.workspace import manifest

TOP = "network"
#: Samples that go with the project as its own test vectors: enough to fail on, few enough for co-simulation.
VECTORS = 200


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
        correct_precisions(graph, lowered, network)  # before any backend makes code from them
        accumulators = settle(graph, network, options.layers, section.accumulator)
        graph.apply_flow(graph.config.backend.get_default_flow())
        traced = find_places(graph, lowered, network)
        graph.write()
    refused = [line for line in said.getvalue().splitlines() if "WARNING" in line or "Invalid" in line]
    if refused:
        raise ExternalToolError(f"hls4ml changed an option: {refused[0]}", where="hls")
    _make_reproducible(folder)
    make_quick(folder)
    job.progress("read back", 1, 2)
    readback.check_options(folder, TOP, options)
    formats = _formats(folder, graph, traced, network)
    readback.require_same(folder, network, options.layers, formats)
    _write_bench(graph, traced, options, folder, network)
    _write_vectors(quantized, network, folder)
    return HlsResult(
        project_name=TOP, backend=section.backend, io_type=section.io_type, part=options.part,
        clock_period_ns=options.clock_period_ns, clock_uncertainty_percent=options.clock_uncertainty_percent,
        layers=options.layers, accumulator=section.accumulator, accumulators=accumulators,
        formats={name: str(form) for name, form in formats.items()}, files=manifest(folder),
        output_ports=tuple(variable.name for variable in graph.get_output_variables()),
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
    return ModelGraph.from_layer_list(config, lowered.layers, lowered.inputs, lowered.outputs)


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
