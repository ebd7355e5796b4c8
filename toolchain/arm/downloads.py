"""Fetching the foreign systems' packages through apt and pip, each file checked before anything is made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from toolchain.arm.packages import Package, System, distribution, python_version
from toolchain.errors import ExternalToolError
from toolchain.workspace import file_digest

_SECONDS = 900
#: apt with lists, state and architecture of its own: the machine's own package system is neither read nor changed.
_APT = """\
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
"""


def fetch_debs(system: System, folder: Path) -> dict[str, Path]:
    """Download the Debian packages of ``system`` into ``folder``: the file by the package's name.

    They come from the package sources that this machine's apt is set up for, whose signature apt checks. A package of
    the listed version must have the listed SHA-256. A version that the archive has replaced since (a security update)
    is taken as the signed index offers it. Raises ExternalToolError.
    """
    _require("apt-get", "Debian's package tools")
    environment = _private_apt(system.debian, folder / "apt")
    _run(["apt-get", "update", "-qq"], folder, environment, may_fail=True)  # one broken source must not matter
    found = {}
    for package in system.debs:
        place = folder / "debs" / package.name
        place.mkdir(parents=True)
        wanted = f"{package.name}:{system.debian}"
        try:
            _run(["apt-get", "download", "-qq", f"{wanted}={package.version}"], place, environment)
        except ExternalToolError:
            _run(["apt-get", "download", "-qq", wanted], place, environment)
        found[package.name] = _only_file(place, package)
    return found


def fetch_wheels(system: System, folder: Path) -> dict[str, Path]:
    """Download the wheels of ``system`` into ``folder``: the file by the package's name. pip itself refuses a file
    with another SHA-256 than the listed one. Raises ExternalToolError."""
    found = {}
    for wheel in system.wheels:
        place = folder / "wheels" / wheel.name
        place.mkdir(parents=True)
        line = f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
        (place / "requirements.txt").write_text(line, encoding="utf-8")
        tags = [word for tag in wheel.platforms for word in ("--platform", tag)]
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
            "--implementation", "cp", "--abi", f"cp{python_version().replace('.', '')}",
            "--python-version", python_version(), *tags, "-d", str(place), "-r", str(place / "requirements.txt"),
        ]  # fmt: skip
        _run(command, place, dict(os.environ))
        (place / "requirements.txt").unlink()
        found[wheel.name] = _only_file(place, wheel)
        check_digest(found[wheel.name], wheel)
    return found


def check_digest(file: Path, package: Package) -> None:
    """Raises ExternalToolError when ``file`` is not the listed one."""
    found = file_digest(file)
    if found != package.sha256:
        raise ExternalToolError(
            f"its SHA-256 is {found}; nothing of it was used", where=file.name, allowed=package.sha256,
            hint="fetch it again; if it stays so, the source hands out another file than it used to",
        )  # fmt: skip


def deb_version(file: Path) -> str:
    """The version that a Debian package says it is."""
    return _run(["dpkg-deb", "--field", str(file), "Version"], file.parent, dict(os.environ)).strip()


def _private_apt(architecture: str, folder: Path) -> dict[str, str]:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "apt.conf").write_text(_APT.format(folder=folder, architecture=architecture), encoding="utf-8")
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}


def _only_file(place: Path, package: Package) -> Path:
    files = list(place.iterdir())
    if len(files) != 1:
        raise ExternalToolError(f"{len(files)} files were downloaded instead of one", where=package.name)
    if files[0].suffix == ".deb" and deb_version(files[0]) == package.version:
        check_digest(files[0], package)
    return files[0]


def _require(program: str, what: str) -> None:
    if shutil.which(program) is None or shutil.which("dpkg-deb") is None:
        raise ExternalToolError(
            f"{program} or dpkg-deb is missing: the ARM system is made of packages of {distribution()}", where=what,
            hint=f"set it up on a machine or in a container with {distribution()}",
        )  # fmt: skip


def _run(command: list[str], folder: Path, environment: dict[str, str], may_fail: bool = False) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExternalToolError(f"failed: {error}", where=Path(command[0]).name) from None
    if done.returncode and not may_fail:
        last = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()][-3:]
        raise ExternalToolError(
            f"failed: {' '.join(last)[:500]}", where=" ".join(Path(word).name for word in command[:4]),
            hint="is this machine connected, and do its package sources carry this package?",
        )  # fmt: skip
    return done.stdout
