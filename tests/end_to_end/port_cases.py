"""Projects of models of several inputs or outputs: the table, the build, the ways of pruning that both go through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import run_toolchain

from toolchain import pipeline
from toolchain.project import parse_project
from toolchain.target import load_target

WAYS_OF_PRUNING: list[dict[str, Any]] = [
    {"strategy": "iterative", "epochs": 4, "final_sparsity": 0.4},
    {"strategy": "one_shot", "weight_criterion": "taylor", "epochs": 4, "final_sparsity": 0.4, "distillation": 0.5},
    {"frequency": 1, "structured_sparsity": 0.3, "criterion": "taylor", "epochs": 4, "final_sparsity": 0.3},
]


def project_table(**sections: Any) -> dict[str, Any]:
    """Of ``model.keras`` with its own weights and ``data.npz``; ``sections`` in the place of what stands here."""
    return {
        "name": "two", "data": {"source": "npz", "path": "data.npz", "task": "regression"}, "train": {"epochs": 0},
        "model": {"file": "model.keras"}, "prune": {"epochs": 2, "frequency": 1, "final_sparsity": 0.3},
        "quantize": {"epochs": 1, "activation_integer_bits": 4}, **sections,
    }  # fmt: skip


def request(table: dict[str, Any], folder: Path, until: str = "report") -> pipeline.Request:
    return pipeline.Request(parse_project(table, "here"), folder, load_target("alveo_u250"), until=until)


def run(table: dict[str, Any], folder: Path, until: str = "report") -> pipeline.Outcome:
    return pipeline.run(request(table, folder, until))


def initialised(folder: Path) -> list[str]:
    """``toolchain init`` for ``model.keras`` in ``made/``; the project of ``data.npz`` is written and checked."""
    command = ["init", "--folder", str(folder / "made"), "--model", str(folder / "model.keras")]
    done = run_toolchain(*command, "named", "--data", str(folder / "data.npz"))
    assert done.returncode == 0, done.stderr
    checked = run_toolchain("check", str(folder / "made" / "named"))
    assert checked.returncode == 0, checked.stderr
    return command


def found(outcome: pipeline.Outcome, name: str, kind: Any) -> Any:
    """The result of a stage that ran."""
    result = outcome.get(name, kind)
    assert result is not None, name
    return result
