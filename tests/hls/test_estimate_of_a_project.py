"""The estimate of a network is the estimate of the project that was written of it: two readers, one design."""

from __future__ import annotations

from pathlib import Path

import pytest
from hls_cases import FPGA, Run, conv_network

from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.from_network import design_of
from toolchain.estimate.stage import estimate_design
from toolchain.project import HlsSection


@pytest.mark.parametrize("strategy", ["latency", "resource", "distributed_arithmetic"])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("backend", ["vitis", "vivado"])
def test_a_project_has_the_estimate_of_its_network(backend: str, io_type: str, strategy: str, tmp_path: Path) -> None:
    section = HlsSection.model_validate({"backend": backend, "io_type": io_type, "strategy": strategy})
    run = Run(conv_network(), tmp_path, section)
    project = read_directory(run.write().folder)
    network = design_of(run.network, section, FPGA)
    read, made = (estimate_design(design, FPGA) for design in (project.design, network))
    assert [layer.adder_graph for layer in project.design.layers if layer.weight_width or layer.adder_graph] == [
        layer.adder_graph for layer in network.layers if layer.weight_width
    ]
    assert (read.grade, read.latency_cycles.value, read.initiation_interval.value) == (
        made.grade, made.latency_cycles.value, made.initiation_interval.value,
    )  # fmt: skip
    difference = {name: getattr(read, name).value - getattr(made, name).value for name in ("dsp", "bram_18k", "lut")}
    assert difference == {"dsp": 0, "bram_18k": 0, "lut": 0}
    of_network = {layer.name: layer for layer in made.layers}
    common = [layer for layer in read.layers[:-1] if layer.name in of_network]  # the output port has its own width
    assert [layer.name for layer in common][-3:] == ["conv_relu", "hidden", "hidden_relu"]
    assert [layer.ff for layer in common] == [of_network[layer.name].ff for layer in common]
