"""Nothing of a foreign system is executed that is not as it was checked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from toolchain.arm.downloads import check_digest, fetch_wheels
from toolchain.arm.packages import ARCHITECTURES, Package, Wheel, system, system_folder
from toolchain.arm.sysroot import _contents, is_set_up, open_sysroot
from toolchain.errors import ExternalToolError


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole system of three files in a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = system_folder("aarch64")
    assert tmp_path in folder.parents
    for name in ("root/usr/bin/python3.11", "root/lib/libc.so.6", "site/numpy/numpy/__init__.py"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    (folder / "root/lib/link").symlink_to("libc.so.6")
    record = {"versions": {"libc6": "2.36"}, "files": _contents(folder)}
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


def test_a_whole_system_is_opened(made_up: Path) -> None:
    assert is_set_up("aarch64")
    found = open_sysroot("aarch64")
    assert (found.root, found.versions) == (made_up / "root", {"libc6": "2.36"})


def test_a_system_that_is_not_there_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for architecture in ARCHITECTURES:
        assert not is_set_up(architecture)
        with pytest.raises(ExternalToolError, match="is not set up") as caught:
            open_sysroot(architecture)
        assert "toolchain arm-setup" in caught.value.hint


@pytest.mark.parametrize("damage", ["change", "add", "remove", "relink", "manifest", "no manifest", "other manifest"])
def test_a_changed_system_is_refused(made_up: Path, damage: str) -> None:
    library = made_up / "root/lib/libc.so.6"
    if damage == "change":
        library.write_text("other")
    elif damage == "add":
        (made_up / "site/numpy/sitecustomize.py").write_text("import os")
    elif damage == "remove":
        library.unlink()
    elif damage == "relink":
        (made_up / "root/lib/link").unlink()
        (made_up / "root/lib/link").symlink_to("/etc/passwd")
    elif damage == "no manifest":
        (made_up / "manifest.json").unlink()
    else:
        (made_up / "manifest.json").write_text("{" if damage == "manifest" else '{"files": 3, "versions": []}')
    with pytest.raises(ExternalToolError, match=r"nothing was executed|manifest is damaged"):
        open_sysroot("aarch64")


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "libc6.deb"
    file.write_bytes(b"something else")
    package = Package(name="libc6", version="1", size_bytes=14, sha256="0" * 64, license="")
    with pytest.raises(ExternalToolError, match="nothing of it was used"):
        check_digest(file, package)


def test_a_wheel_with_another_hash_is_refused_by_pip_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local folder stands for the registry; the file has the right name and another content."""
    listed = next(wheel for wheel in system("armv7").wheels if wheel.name == "tflite_runtime")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / listed.file).write_bytes(b"PK\x05\x06" + bytes(18))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "fetched").mkdir()
    parts = system("armv7").model_copy(update={"wheels": (Wheel(**listed.model_dump()),)})
    with pytest.raises(ExternalToolError, match=r"(?i)hash"):
        fetch_wheels(parts, tmp_path / "fetched")


def test_every_package_is_listed_with_hash_size_and_license() -> None:
    for architecture in ARCHITECTURES:
        for package in (*system(architecture).debs, *system(architecture).wheels):
            assert len(package.sha256) == 64
            assert package.size_bytes > 0
            assert package.license
