"""A foreign system on this disk: made once from checked packages, checked again before each use."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from toolchain.arm.downloads import deb_version, fetch_debs, fetch_wheels
from toolchain.arm.packages import Architecture, System, python_version, system, system_folder
from toolchain.errors import ExternalToolError
from toolchain.workspace import file_digest, remove, write_file

_SET_UP = "toolchain arm-setup"
#: What LiteRT reads about the processor. Without these files it would read this machine's and crash under emulation.
_PROCESSOR = {
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n",
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "sys/devices/system/cpu/online": "0\n",
    "sys/devices/system/cpu/kernel_max": "0\n",
    "sys/devices/system/cpu/cpu0/topology/physical_package_id": "0\n",
    "sys/devices/system/cpu/cpu0/topology/core_siblings": "1\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1500000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq": "600000\n",
}


@dataclass(frozen=True, slots=True)
class Sysroot:
    """A checked foreign system. ``root`` is what its programs see as ``/``; ``site`` has the runtimes by name."""

    architecture: Architecture
    folder: Path
    versions: dict[str, str]  # package -> version

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def site(self) -> Path:
        return self.folder / "site"


def open_sysroot(architecture: Architecture) -> Sysroot:
    """The system that ``set_up`` made, every file as it was then.

    Raises ExternalToolError when it is absent, or when a file was changed: nothing of it is then executed.
    """
    folder = system_folder(architecture)
    hint = f"{_SET_UP} (it says what it downloads)"
    if not folder.is_dir():
        raise ExternalToolError("is not set up on this machine", where=f"ARM emulation, {architecture}", hint=hint)
    try:
        record = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files, versions = dict(record["files"]), dict(record["versions"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ExternalToolError("its manifest is damaged", where=str(folder), hint=f"{hint} --again") from None
    found = _contents(folder)
    wrong = sorted(name for name in files.keys() | found.keys() if files.get(name) != found.get(name))
    if wrong:
        raise ExternalToolError(
            f"{len(wrong)} of its files are not as they were set up, first: {wrong[0]}; nothing was executed",
            where=str(folder), hint=f"{_SET_UP} --again",
        )  # fmt: skip
    return Sysroot(architecture, folder, versions)


def is_set_up(architecture: Architecture) -> bool:
    """Whether there is a system to open; its files are not checked here."""
    return (system_folder(architecture) / "manifest.json").is_file()


def set_up(architecture: Architecture, again: bool, note: Callable[[str], None]) -> Sysroot:
    """Download, check and unpack ``architecture``'s system, unless a whole one is there.

    ``again``: from nothing. ``note`` is told what is done. Raises ExternalToolError.
    """
    folder = system_folder(architecture)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if again:
            remove(folder)
        if folder.is_dir():
            note(f"{architecture}: is set up in {folder}")
            return open_sysroot(architecture)
        parts = system(architecture)
        note(f"{architecture}: downloading {parts.size_bytes / 1e6:.1f} MB through apt and pip")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{architecture}-partial-") as partial:
            _build(parts, Path(partial), note)
            (Path(partial) / "whole").rename(folder)
        note(f"{architecture}: set up in {folder}")
        return open_sysroot(architecture)


def _build(parts: System, partial: Path, note: Callable[[str], None]) -> None:
    (partial / "fetched").mkdir()
    debs, wheels = fetch_debs(parts, partial / "fetched"), fetch_wheels(parts, partial / "fetched")
    whole = partial / "whole"
    versions = {}
    for package in parts.debs:
        versions[package.name] = deb_version(debs[package.name])
        if versions[package.name] != package.version:
            note(f"{package.name}: version {versions[package.name]} of the signed index instead of {package.version}")
        _unpack_deb(debs[package.name], whole / "root")
    for wheel in parts.wheels:
        versions[wheel.name] = wheel.version
        with zipfile.ZipFile(wheels[wheel.name]) as archive:
            archive.extractall(whole / "site" / wheel.name)
    for name, content in _PROCESSOR.items():
        file = whole / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="ascii")
    record = {"versions": versions, "files": _contents(whole)}
    write_file(whole / "manifest.json", json.dumps(record, indent=1).encode())


def _unpack_deb(file: Path, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["dpkg-deb", "-x", str(file), str(root)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExternalToolError(f"cannot be unpacked: {done.stderr.strip()[:300]}", where=file.name)


def _contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``root`` and ``site``, and where every link points."""
    found = {}
    for part in ("root", "site"):
        for path in sorted((folder / part).rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                found[name] = f"link {path.readlink()}"
            elif path.is_file():
                found[name] = file_digest(path)
    return found


def python_program(sysroot: Sysroot) -> Path:
    """The foreign Python."""
    return sysroot.root / "usr" / "bin" / f"python{python_version()}"


def find_emulator(architecture: Architecture) -> str:
    """The qemu program for ``architecture``. Raises ExternalToolError when it is missing."""
    name = system(architecture).emulator
    program = shutil.which(name)
    if program is None:
        raise ExternalToolError("is missing", where=name, hint="apt-get install qemu-user")
    return program
