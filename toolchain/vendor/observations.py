"""A synthesized project as what the estimator's coefficients are fitted on: layers with their own reports."""

from __future__ import annotations

import re

from toolchain.errors import ExternalToolError
from toolchain.estimate.calibration import Observation, SynthesizedDesign
from toolchain.estimate.directory.reader import Found
from toolchain.vendor.reports import SynthesisReport, read_csynth, read_utilization


def observations(found: Found) -> tuple[list[Observation], list[SynthesizedDesign]]:
    """Every layer of a directory whose module has a report of its own, and the whole if logic synthesis was run.

    Raises ExternalToolError when the project was not synthesized, or when no module's report is known to be a layer's.
    """
    folder = found.project.folder
    modules = [read_csynth(file) for file in sorted(folder.glob("*_prj/solution1/syn/report/*_csynth.xml"))]
    source = str(folder)
    layers = []
    for layer in found.design.layers:
        own = _report_of(found.configs.get(layer.name, ""), modules)
        if own is not None:
            figures = {"lut": float(own.lut), "ff": float(own.ff)}
            layers.append(Observation(found.design, layer, figures, source))
    if not layers:
        raise ExternalToolError(
            f"{len(modules)} reports of modules, none of them a layer's", where=source,
            allowed="a project of hls4ml with *_prj/solution1/syn/report/*_csynth.xml", hint="toolchain synth DIR",
        )  # fmt: skip
    utilization = folder / "vivado_synth.rpt"
    if not utilization.is_file():
        return layers, []
    whole = read_utilization(utilization)
    return layers, [SynthesizedDesign(found.design, {"lut": float(whole.lut), "ff": float(whole.ff)}, source)]


def _report_of(config: str, modules: list[SynthesisReport]) -> SynthesisReport | None:
    """The one module whose name holds the layer's configuration struct; none when several do."""
    if not config:
        return None
    # the products of a convolution are a module inside its own, with the struct config<N>_mult
    named = [module for module in modules if re.search(rf"_{re.escape(config)}(?!_mult)(_|$)", module.top)]
    return named[0] if len(named) == 1 else None
