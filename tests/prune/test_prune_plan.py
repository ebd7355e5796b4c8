"""``toolchain prune --plan``: what would go, printed and saved, nothing cut."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import run_toolchain, write_small_project

from toolchain.prune.surgery.plan import load_plan


def test_a_plan_is_printed_and_saved_and_nothing_is_cut(tmp_path: Path) -> None:
    project = write_small_project(tmp_path / "small")
    done = run_toolchain("prune", str(project), "--plan", "--set", "prune.structured_sparsity=0.5", "--json")
    assert done.returncode == 0, done.stderr
    file = project / "build" / "alveo_u250" / "prune_plan.json"
    plan = load_plan(file)
    assert {layer: len(units) for layer, units in plan.units.items()} == {"hidden": 3}
    assert json.loads(done.stdout) == json.loads(file.read_text())
    assert plan.text() in done.stderr
    assert not (project / "build" / ".stages" / "prune").exists()
    wrong = run_toolchain("prune", str(project), "--plan", "--set", "prune.skip=['hiden']")
    assert wrong.returncode == 2
    assert "hidden" in wrong.stderr
