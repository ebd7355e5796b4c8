"""``toolchain calibrate``: the estimator's coefficients fitted on a user's own reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, app, print_json


@app.command()
def calibrate(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="synthesized projects that hls4ml wrote")],
    out: Annotated[Path, typer.Option("--out", help="the file of coefficients to write")] = Path("calibration.json"),
    as_json: AsJson = False,
) -> None:
    """Fit the estimator on your own synthesis reports; 'toolchain estimate --calibration FILE' uses the result."""
    from toolchain.errors import ProjectError
    from toolchain.estimate.calibration import fit
    from toolchain.estimate.coefficients import Coefficients, shipped
    from toolchain.estimate.directory.reader import read_directory
    from toolchain.estimate.held_out import FEWEST_DESIGNS, own_intervals
    from toolchain.vendor.observations import reported
    from toolchain.workspace import replace_file

    reports = []
    for folder in directories:
        one = reported(read_directory(folder))
        of_whole = f", of the whole after {' and '.join(one.whole)}" if one.whole else ", no report of the whole"
        sys.stderr.write(f"{folder}: {len(one.layers)} layers with a report of their own{of_whole}\n")
        reports.append(one)
    layers = [layer for report in reports for layer in report.layers]
    try:
        fitted = fit(layers, shipped(), [whole for report in reports for whole in report.synthesized()])
    except ValueError as error:
        raise ProjectError(str(error), where="toolchain calibrate") from None
    intervals = own_intervals(reports, shipped())
    fitted = Coefficients({**fitted.entries, **intervals})
    replace_file(out, fitted.to_json().encode())
    changed = sorted(name for name, entry in fitted.entries.items() if shipped().entries.get(name) != entry)
    sys.stderr.write(f"wrote {out}; fitted anew: {', '.join(changed)}\n")
    if not intervals:
        sys.stderr.write(
            f"80 % intervals: those of the package are kept; your own need {FEWEST_DESIGNS} designs of one grade with "
            "a report of the whole\n"
        )
    if as_json:
        print_json({"file": str(out), "layers": len(layers), "fitted": changed, "intervals": sorted(intervals)})
