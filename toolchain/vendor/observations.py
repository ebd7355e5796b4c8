"""A synthesized project as what the estimator's coefficients are fitted on: layers with their own reports."""

from __future__ import annotations

import re

from toolchain.errors import ExternalToolError
from toolchain.estimate.calibration import Observation
from toolchain.estimate.design import DesignLayer
from toolchain.estimate.directory.reader import Found
from toolchain.estimate.held_out import ReportedDesign
from toolchain.vendor.reports import SynthesisReport, read_csynth, read_utilization


def reported(found: Found, layers_wanted: bool = True) -> ReportedDesign:
    """Every layer of a directory whose module has a report of its own, and the whole after each stage that was run.

    Raises ExternalToolError when the project was not synthesized, when ``layers_wanted`` and no module's report is
    known to be a layer's, or when a report's formats are not those of the firmware beside it.
    """
    folder = found.project.folder
    modules = _modules(found)
    source = str(folder)
    layers = []
    for layer in found.design.layers:
        own = _report_of(found.configs.get(layer.name, ""), modules)
        if own is not None:
            _check_formats(layer, own.top, source)
            figures = {"lut": float(own.lut), "ff": float(own.ff)}
            layers.append(Observation(found.design, layer, figures, source))
    if not layers and (layers_wanted or not modules):
        raise ExternalToolError(
            f"{len(modules)} reports of modules, none of them a layer's", where=source,
            allowed="a project of hls4ml with *_prj/solution1/syn/report/*_csynth.xml", hint="toolchain synth DIR",
        )  # fmt: skip
    whole = {}
    for report in modules:
        if report.top == found.project.top.stem:
            whole["csynth"] = _figures(report)
    utilization = folder / "vivado_synth.rpt"
    if utilization.is_file():
        whole["logic_synthesis"] = _figures(read_utilization(utilization))
    return ReportedDesign(found.design, found.fpga, tuple(layers), whole, source)


def _modules(found: Found) -> list[SynthesisReport]:
    """The reports beside that of the top function, wherever the tool's version puts them."""
    folder, top = found.project.folder, f"{found.project.top.stem}_csynth.xml"
    places = sorted({file.parent for file in folder.rglob(top) if file.parent.parts[-2:] == ("syn", "report")})
    if not places:  # reports of modules alone
        places = sorted({file.parent for file in folder.glob("*_prj/solution1/syn/report/*_csynth.xml")})
    return [read_csynth(file) for place in places[:1] for file in sorted(place.glob("*_csynth.xml"))]


def _check_formats(layer: DesignLayer, module: str, where: str) -> None:
    """A module's name holds the widths of the words it reads and puts out."""
    named = [int(width) for width in re.findall(r"ap_u?fixed_(\d+)_-?\d+_\d", module)]
    if layer.kind not in ("dense", "activation") or len(named) != 2 or named == [layer.data_width, layer.result_width]:
        return
    raise ExternalToolError(
        f"the report of {module} has words of {named[0]} and {named[1]} bits", where=where,
        allowed=f"{layer.data_width} and {layer.result_width} bits, as the firmware has in layer '{layer.name}'",
        hint="the firmware was written anew after the synthesis: toolchain synth DIR",
    )  # fmt: skip


def _figures(report: SynthesisReport) -> dict[str, float]:
    """What the report has of the estimator's figures."""
    given = {
        "dsp": report.dsp, "bram_18k": report.bram_18k, "lut": report.lut, "ff": report.ff,
        "latency_cycles": report.latency_max_cycles, "initiation_interval": report.initiation_interval_max,
    }  # fmt: skip
    return {name: float(value) for name, value in given.items() if value is not None}


def _report_of(config: str, modules: list[SynthesisReport]) -> SynthesisReport | None:
    """The one module whose name holds the layer's configuration struct; none when several do."""
    if not config:
        return None
    # the products of a convolution are a module inside its own, with the struct config<N>_mult
    named = [module for module in modules if re.search(rf"_{re.escape(config)}(?!_mult)(_|$)", module.top)]
    return named[0] if len(named) == 1 else None
