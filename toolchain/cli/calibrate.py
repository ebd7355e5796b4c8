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
    from toolchain.estimate.coefficients import shipped
    from toolchain.estimate.directory.reader import read_directory
    from toolchain.vendor.observations import observations
    from toolchain.workspace import replace_file

    layers, wholes = [], []
    for folder in directories:
        found, logic = observations(read_directory(folder))
        sys.stderr.write(f"{folder}: {len(found)} layers with a report of their own\n")
        layers += found
        wholes += logic
    try:
        fitted = fit(layers, shipped(), wholes)
    except ValueError as error:
        raise ProjectError(str(error), where="toolchain calibrate") from None
    replace_file(out, fitted.to_json().encode())
    changed = sorted(name for name, entry in fitted.entries.items() if shipped().entries.get(name) != entry)
    sys.stderr.write(f"wrote {out}; fitted anew: {', '.join(changed)}\n")
    if as_json:
        print_json({"file": str(out), "layers": len(layers), "fitted": changed})
