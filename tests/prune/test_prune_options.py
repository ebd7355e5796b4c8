"""An option that the chosen way of pruning does not use is an error before any work, and it says where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import run_toolchain, write_small_project

from toolchain.project import PruneSection
from toolchain.prune.options import USES, unused

SOME = {
    "schedule": "cubic", "power": 2.0, "rate": 2.0, "initial_sparsity": 0.1, "begin_step": 3, "end_step": 9,
    "frequency": 5, "learning_rate_factor": 0.3, "pruned_share": 0.3, "rewind_epoch": 2, "fine_tune_share": 0.3,
    "fine_tune_learning_rate_factor": 0.3, "final_sparsity": 0.5, "criterion": "l1", "granularity": "filter",
    "temperature": 3.0, "hardware_bits": 6,
}  # fmt: skip
CONSTANT = {"schedule", "begin_step", "end_step", "frequency", "learning_rate_factor", "final_sparsity"}
TUNING = {"fine_tune_share", "fine_tune_learning_rate_factor"}
ROUNDS = {*TUNING, "final_sparsity", "pruned_share"}
USED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {*CONSTANT, "initial_sparsity", "power"}),
    ({"schedule": "constant"}, CONSTANT),
    ({"schedule": "exponential"}, {*CONSTANT, "initial_sparsity", "rate"}),
    ({"strategy": "one_shot"}, {*TUNING, "final_sparsity"}),
    ({"strategy": "one_shot", "accuracy_loss": 0.1}, ROUNDS),
    ({"strategy": "one_shot", "percentile": 35.0}, TUNING),
    ({"strategy": "iterative", "weight_criterion": "hardware"}, {*ROUNDS, "hardware_bits"}),
    ({"strategy": "lottery_ticket", "distillation": 0.5}, {*ROUNDS, "rewind_epoch", "temperature"}),
    ({"strategy": "iterative", "structured_sparsity": 0.5}, {*ROUNDS, "criterion", "granularity"}),
    ({"strategy": "iterative", "structured_sparsity": 0.5, "granularity": "layer"}, {*ROUNDS, "granularity"}),
]


@pytest.mark.parametrize(("way", "used"), USED)
def test_every_option_is_used_or_refused(way: dict[str, Any], used: set[str]) -> None:
    assert set(SOME) == set(USES)
    for key, value in SOME.items():
        section = PruneSection(**{**({} if key in way else {key: value}), **way})
        found = [problem.where for problem in unused(section)]
        assert (f"[prune] {key}" in found) == (key not in used), key
        assert len(found) <= 1
    (problem,) = unused(PruneSection(rewind_epoch=0))
    assert problem.allowed == "with strategy = 'lottery_ticket'"
    assert problem.exit_code == 2


def test_the_command_line_says_it_before_any_work(tmp_path: Path) -> None:
    project = write_small_project(tmp_path / "small")
    done = run_toolchain("prune", str(project), "--set", "prune.strategy=iterative", "--set", "prune.rate=3")
    assert done.returncode == 2
    assert "[prune] frequency: 1 would have no effect" in done.stderr
    assert "[prune] rate: 3.0 would have no effect" in done.stderr
    assert "with strategy = 'gradual'" in done.stderr
    assert not (project / "build" / ".stages").exists()
    without = run_toolchain(
        "prune", str(project), "--set", "prune.strategy=iterative", "--set", "prune.frequency=", "--json"
    )
    assert without.returncode == 0, without.stderr
    assert '"strategy": "iterative"' in without.stdout


def test_the_page_on_pruning_speaks_of_every_option() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "pruning.md").read_text(encoding="utf-8")
    assert [key for key in PruneSection.model_fields if f"`{key}" not in page] == []
    assert "(surgery.md)" in page
