"""project.toml and target files: unknown keys, wrong values, overrides."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from toolchain.errors import PreflightError, ProjectError
from toolchain.project import load_project, parse_project
from toolchain.target import all_targets, load_target

MINIMAL = {"name": "p", "model": {"architecture": "spx_cnn"}}


@pytest.mark.parametrize("name", ["spx_forecast", "btc_direction"])
def test_the_reference_projects_load(name: str) -> None:
    assert load_project(ROOT / "hls_projects" / name).name == name


def test_overrides_reach_every_level() -> None:
    overrides = ["prune.final_sparsity=0.9", "hls.layers.hidden.reuse_factor=4", "data.path=a/b.csv", "seed=7"]
    project = load_project(ROOT / "hls_projects" / "spx_forecast", overrides)
    assert project.prune.final_sparsity == 0.9
    assert project.hls.layers["hidden"].reuse_factor == 4
    assert project.data.path == "a/b.csv"
    assert project.seed == 7


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("prune", "sparsity", 0.5, "perhaps you meant"),
        ("prune", "final_sparsity", 1.0, "less than 1"),
        ("prune", "initial_sparsity", 0.9, "must not exceed"),
        ("prune", "end_step", 0, "greater than or equal"),
        ("data", "embargo", 3, "look_back"),
        ("data", "train_share", 0.95, "below 1"),
        ("quantize", "weight_bits", 1, "greater than or equal"),
        ("hls", "strategy", "fast", "latency"),
        ("hls", "clock_period_ns", 0, "greater than"),
        ("model", "file", "x.keras", "exactly one"),
    ],
)
def test_wrong_values_name_the_key(section: str, key: str, value: object, says: str) -> None:
    table = {**MINIMAL, section: {**MINIMAL.get(section, {}), key: value}}
    with pytest.raises(PreflightError) as caught:
        parse_project(table, "p.toml")
    assert says in caught.value.text()
    assert "p.toml" in caught.value.text()
    assert caught.value.exit_code == 2


def test_all_problems_at_once() -> None:
    with pytest.raises(PreflightError) as caught:
        parse_project({**MINIMAL, "prune": {"a": 1, "b": 2}, "nmae": "x"}, "p.toml")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("name", ["../x", "a b", "class-1", "", "ä"])
def test_project_names_are_safe(name: str) -> None:
    with pytest.raises(PreflightError):
        parse_project({**MINIMAL, "name": name}, "p.toml")


@pytest.mark.parametrize(
    ("section", "hint"),
    [
        ({"hls": {"layers": {"quantize": {"reuse_facto": 2}}}}, "perhaps you meant 'reuse_factor'"),
        ({"quantize": {"layers": {"dense": {"weight_bit": 4}}}}, "perhaps you meant 'weight_bits'"),
        ({"budget": {"luts": 4}}, "perhaps you meant 'lut'"),
    ],
)
def test_an_unknown_key_is_compared_with_those_of_its_own_table(section: dict[str, object], hint: str) -> None:
    with pytest.raises(PreflightError) as caught:
        parse_project({**MINIMAL, **section}, "p.toml")
    assert hint in caught.value.text()


def test_every_target_names_its_sources() -> None:
    for target in all_targets():
        assert target.sources, target.name
        assert target.name == target.name.lower()
        if target.fpga:
            assert any(key in target.sources for key in ("fpga", "lut")), target.name
        if target.arm:
            assert "arm" in target.sources, target.name


def test_targets_by_file_and_by_name(tmp_path: Path) -> None:
    assert load_target("zcu102").name == "zcu102"
    with pytest.raises(ProjectError, match="perhaps you meant 'zcu102'"):
        load_target("zcu10")
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\ntitle = "t"\n[sources]\n')
    with pytest.raises(ProjectError, match="neither"):
        load_target(str(file))
    file.write_text('name = "mine"\ntitle = "t"\n[fpga]\nlut = 5\n[sources]\n')
    with pytest.raises(PreflightError, match="part"):
        load_target(str(file))
    file.write_text('name = "mine"\ntitle = "t"\n[fpga]\nclock_period = 5\n[sources]\n')
    with pytest.raises(PreflightError, match="perhaps you meant 'clock_period_ns'"):
        load_target(str(file))
