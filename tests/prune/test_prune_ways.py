"""Strategies through the whole stage: what was asked for is what the result says and what stands in the kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prune_cases import write_data

from toolchain.model.graph import Graph
from toolchain.model.stage import train
from toolchain.project import ModelSection, PruneSection, TrainSection
from toolchain.prune import weights
from toolchain.prune.stage import prune
from toolchain.results import DataResult, Job, ModelResult, Samples


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataResult, ModelResult]:
    folder = tmp_path_factory.mktemp("trained")
    data = write_data(folder / "data")
    (folder / "model").mkdir()
    section = TrainSection(epochs=3, batch_size=32, learning_rate=3e-3)
    model = train(data, ModelSection(architecture="spx_cnn"), section, Job(folder / "model", folder))
    model.at(folder / "model")
    return data, model


@pytest.mark.parametrize(
    ("options", "zeros"),
    [
        ({"strategy": "iterative", "pruned_share": 0.4}, 1800),
        ({"strategy": "lottery_ticket", "pruned_share": 0.4}, 1800),
        ({"strategy": "one_shot", "percentile": 35.0}, 1260),
        ({"sensitivity": True, "accuracy_loss": 0.9}, 1800),
    ],
)
def test_the_zeros_asked_for_are_there(
    trained: tuple[DataResult, ModelResult], tmp_path: Path, options: dict[str, object], zeros: int
) -> None:
    given = {"epochs": 5, "skip": ("conv", "forecast"), **options}
    if "percentile" not in options:
        given["final_sparsity"] = 0.5
    result = prune(*trained, PruneSection(**given), Job(tmp_path, tmp_path))
    assert {layer.name: layer.zeros for layer in result.layers} == {"conv": 0, "hidden": zeros, "forecast": 0}
    measures = result.measures
    assert measures is not None
    assert measures.final_sparsity == pytest.approx(zeros / 3600)
    macs = {layer.layer: (layer.macs_before, layer.macs) for layer in measures.layers}
    assert macs == {"conv": (60, 60), "hidden": (3600, 3600 - zeros), "forecast": (120, 120)}
    assert measures.mac_reduction == pytest.approx(zeros / 3780)
    assert bool(measures.sensitivity) == bool(measures.targets) == ("sensitivity" in options)


def test_totals_are_the_sums_of_the_kernels(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    section = PruneSection(epochs=2, frequency=2, final_sparsity=0.5, structured_sparsity=0.5)
    measures = prune(*trained, section, Job(tmp_path, tmp_path)).measures
    assert measures is not None
    assert measures.multipliers_before == sum(layer.multipliers_before for layer in measures.layers) == 10 + 3600 + 120
    assert measures.multipliers_removed == sum(
        layer.multipliers_before - layer.multipliers for layer in measures.layers
    )
    assert measures.macs_before == sum(layer.macs_before for layer in measures.layers) == 60 + 3600 + 120
    for layer in measures.layers:
        assert layer.sparsity == pytest.approx(1 - layer.multipliers / layer.multipliers_before)
        assert layer.compression_ratio == pytest.approx(layer.multipliers_before / layer.multipliers)
        assert layer.mac_reduction == pytest.approx(1 - layer.macs / layer.macs_before)


@pytest.mark.parametrize("options", [{}, {"weight_criterion": "taylor"}])
def test_gradual_pruning_goes_only_as_far_as_the_loss_allows(
    trained: tuple[DataResult, ModelResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    tried: list[float] = []
    once = weights._prune_once

    def watch(graph: Graph, data: DataResult, samples: Samples, section: PruneSection, *rest: Any) -> Any:
        tried.append(section.final_sparsity)
        return once(graph, data, samples, section, *rest)

    losses = iter([0.3, 0.3, 0.05, 0.3, 0.3, 0.3, 0.3])
    monkeypatch.setattr(weights, "_prune_once", watch)
    monkeypatch.setattr(weights, "relative_loss", lambda *values: next(losses))
    section = PruneSection(
        epochs=2,
        frequency=2,
        final_sparsity=0.9,
        accuracy_loss=0.1,
        sparsities={"hidden": 0.8},
        skip=("conv", "forecast"),
        **options,
    )
    result = prune(*trained, section, Job(tmp_path, tmp_path))
    assert tried == pytest.approx([0.9, 0.8, 0.6])
    assert result.measures is not None
    assert result.measures.final_sparsity == pytest.approx(0.6)
    found = {layer.layer: layer.sparsity for layer in result.measures.layers}
    assert 0.2 - 1e-9 <= found["hidden"] < 0.6  # 0.2, and what was dead already
    tried.clear()
    (tmp_path / "none").mkdir()
    none = prune(*trained, section, Job(tmp_path / "none", tmp_path))
    assert tried == pytest.approx([0.9, 0.8, 0.6, 0.2])
    assert none.measures is not None
    assert none.measures.final_sparsity == none.sparsity == 0


def test_a_large_loss_is_said_with_the_ways_out(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    section = PruneSection(strategy="one_shot", epochs=5, final_sparsity=0.97)
    measures = prune(*trained, section, Job(tmp_path, tmp_path)).measures
    assert measures is not None
    assert measures.retention < 0.95
    (note,) = measures.notes
    assert "conv (1 weights for " in note
    assert "skip = ['conv', 'hidden'" in note
    assert "accuracy_loss = 0.05" in note
    whole = prune(*trained, PruneSection(final_sparsity=0.0), Job(tmp_path, tmp_path)).measures
    assert whole is not None
    assert whole.notes == ()
