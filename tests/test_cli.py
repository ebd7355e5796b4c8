"""The command line itself: instant help, init, targets, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import run_toolchain


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    code = f"""
import sys
from toolchain import cli
sys.argv = ["toolchain", "{argument}"]
try:
    cli.main()
except SystemExit as leave:
    assert not leave.code
heavy = {{"tensorflow", "keras", "numpy", "pandas", "pydantic", "hls4ml", "rich"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "toolchain" in done.stdout.lower()


def test_targets_as_json() -> None:
    found = {target["name"]: target for target in json.loads(run_toolchain("targets", "--json").stdout)}
    wanted = {"alveo_u250", "alveo_ul3524", "vu13p", "zcu102", "kria_kv260", "pynq_z2", "raspberry_pi_4",
              "raspberry_pi_5", "cortex_m4", "cortex_m55"}  # fmt: skip
    assert wanted <= set(found)
    assert found["zcu102"]["arm"]["core"] == "Cortex-A53"


def test_init_writes_a_project_that_checks(tmp_path: Path) -> None:
    done = run_toolchain("init", "mine", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / json.loads(done.stdout)["file"]
    assert tomllib.loads(file.read_text())["name"] == "mine"
    assert run_toolchain("check", "mine", cwd=tmp_path).returncode == 0
    again = run_toolchain("init", "mine", cwd=tmp_path)
    assert again.returncode == 2
    assert "it was left as it is" in again.stderr


@pytest.mark.parametrize("name", ["../evil", "a b", "", "1x", "a/b"])
def test_init_refuses_names_that_escape(tmp_path: Path, name: str) -> None:
    assert run_toolchain("init", name, cwd=tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_every_init_key_is_explained(tmp_path: Path) -> None:
    """The template holds every key of the schema."""
    from toolchain.project import Project

    run_toolchain("init", "mine", cwd=tmp_path)
    text = (tmp_path / "hls_projects" / "mine" / "project.toml").read_text()
    for section, entry in Project.model_fields.items():
        for key in getattr(entry.annotation, "model_fields", {}):
            assert f"{key} =" in text or key in ("inputs", "outputs", "layers", "sparsities"), f"{section}.{key}"


def test_what_is_no_project_is_said(tmp_path: Path) -> None:
    done = run_toolchain("estimate", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "neither a project.toml nor the firmware/ of an hls4ml project" in done.stderr
    done = run_toolchain("estimate", str(tmp_path / "away"), cwd=tmp_path)
    assert done.returncode == 2
    assert "no such file or directory" in done.stderr
    (tmp_path / "hls_projects" / "spx_forecast").mkdir(parents=True)
    (tmp_path / "hls_projects" / "spx_forecast" / "project.toml").touch()
    done = run_toolchain("build", "spx_forecst", cwd=tmp_path)
    assert "perhaps you meant 'spx_forecast'" in done.stderr
