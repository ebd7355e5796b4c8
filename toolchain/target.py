"""The schema of ``targets/*.toml``: devices as data, each figure with its source."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from toolchain.errors import PreflightError, ProjectError, nearest
from toolchain.project import Section, explain

Count = Annotated[int, Field(ge=0)]


class Fpga(Section):
    """``[fpga]``: what the device holds, and the clock the card's user would ask for."""

    part: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    family: Literal["7series", "ultrascale", "ultrascale_plus", "versal"]
    lut: Count
    ff: Count
    dsp: Count
    bram_18k: Count | None = Field(None, description="18 Kb blocks; absent where no public figure was found")
    uram: Count | None = Field(None, description="288 Kb blocks; absent where no public figure was found")
    clock_period_ns: float = Field(gt=0)
    clock_uncertainty_percent: float = Field(ge=0, lt=100)
    valid_parts: tuple[str, ...] = Field((), description="other part names with the same resources")


def speed_grade(part: str) -> int:
    """The speed grade in a part's name (``xc7z020clg400-1``: 1, ``xcu250-figd2104-2L-e``: 2); 0 when it has none.

    Of 7-series devices that of Artix fabric: Kintex and Virtex fabric counts as one grade faster (DS181, DS182, DS183).
    """
    found = re.search(r"-([1-3])[a-z]{0,2}(-[a-z])?$", part.lower())
    grade = int(found[1]) if found else 0
    fast = re.match(r"x[cqa]7(k|v|z0(3|4)|z100)", part.lower())
    return min(grade + 1, 3) if grade and fast else grade


class Arm(Section):
    """``[arm]``: the cores that run the TFLite artefact."""

    core: str
    architecture: Literal["aarch64", "armv7", "armv7e-m", "armv8.1-m"]
    cores: int = Field(ge=1)
    clock_mhz: float = Field(gt=0)
    qemu_cpu: str = ""
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    npu: str = ""


class Device(Section):
    """``[device]``: how to reach a real board. Port, key and jumps belong into the user's own ssh configuration."""

    ssh: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@:%-]*$", description="what stands after ssh: pi@board")
    python: str = Field("python3", pattern=r"^[A-Za-z0-9_/~][A-Za-z0-9_./~+-]*$", description="Python on the board")
    ssh_config: str = Field("", description="another configuration file than the user's own (ssh -F)")


class Target(Section):
    """A whole target file. At least one of ``fpga`` and ``arm`` is there."""

    name: str
    title: str
    fpga: Fpga | None = None
    arm: Arm | None = None
    device: Device | None = None
    sources: dict[str, str] = Field(description="figure or group of figures -> where it was read")


def targets_folder() -> Path:
    """The folder of the shipped target files: beside the package in a checkout, inside it when installed."""
    beside = Path(__file__).resolve().parent.parent / "targets"
    return beside if beside.is_dir() else Path(__file__).resolve().parent / "shipped_targets"


def load_target(name: str) -> Target:
    """The target called ``name``, or the one in the file ``name`` when it ends in ``.toml``.

    Raises ProjectError when there is none, PreflightError with every problem of its file.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    known = {file.stem: file for file in targets_folder().glob("*.toml")}
    if name not in known:
        raise ProjectError(f"no target called '{name}'", where="--target", hint=nearest(name, known))
    return _read(known[name])


def all_targets() -> list[Target]:
    """Every shipped target, by name."""
    return [_read(file) for file in sorted(targets_folder().glob("*.toml"))]


def _read(file: Path) -> Target:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProjectError(f"cannot be read: {error}", where=str(file)) from None
    try:
        target = Target.model_validate(table)
    except ValidationError as error:
        raise PreflightError(explain(Target, error, str(file))) from None
    if target.fpga is None and target.arm is None:
        raise ProjectError("has neither [fpga] nor [arm]", where=str(file))
    return target
