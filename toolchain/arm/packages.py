"""The foreign systems' parts: names, versions and SHA-256 from ``packages.json``, and where the system is kept."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from toolchain.results import Record

Architecture = Literal["aarch64", "armv7"]
ARCHITECTURES: tuple[Architecture, ...] = ("aarch64", "armv7")
_FILE = Path(__file__).with_name("packages.json")


class Package(Record):
    """A Debian package: ``version`` and its file's SHA-256 as they were when this list was made."""

    name: str
    version: str
    size_bytes: int
    sha256: str
    license: str


class Wheel(Package):
    """A Python wheel; ``platforms`` are its platform tags."""

    file: str
    platforms: tuple[str, ...]


class System(Record):
    """One foreign system: Debian's C library and Python, and the TFLite runtimes."""

    debian: str  # Debian's name of the architecture
    library_folder: str
    emulator: str
    cpu: str  # that is emulated unless the target names one
    debs: tuple[Package, ...]
    wheels: tuple[Wheel, ...]

    @property
    def size_bytes(self) -> int:
        """What is downloaded."""
        return sum(package.size_bytes for package in (*self.debs, *self.wheels))


class _Packages(Record):
    distribution: str
    python: str
    systems: dict[Architecture, System]


@cache
def _packages() -> _Packages:
    return _Packages.model_validate_json(_FILE.read_bytes())


def system(architecture: Architecture) -> System:
    """The parts of ``architecture``'s system."""
    return _packages().systems[architecture]


def distribution() -> str:
    """The Debian release that the packages are of."""
    return _packages().distribution


def python_version() -> str:
    """The Python that Debian's packages hold and the wheels are for."""
    return _packages().python


def cache_folder() -> Path:
    """Where foreign systems are kept: below the user's cache folder."""
    return user_cache_path("toolchain") / "arm"


def system_folder(architecture: Architecture) -> Path:
    """The folder of ``architecture``'s system; another list of packages has another folder."""
    content = json.dumps(system(architecture).model_dump(mode="json"), sort_keys=True)
    return cache_folder() / f"{architecture}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
