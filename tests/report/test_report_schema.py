"""The schema: committed, complete, and what a report obeys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_cases import arm_results, build_results, hostile_results, mismatch_results, over_budget_results

from toolchain.report import schema
from toolchain.report.assemble import assemble
from toolchain.report.schema import Report, schema_json

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "report.schema.json"


def test_the_committed_schema_is_the_one_the_command_prints() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == schema_json(), "toolchain schema > docs/report.schema.json"


def test_every_key_has_a_description() -> None:
    def properties(node: Any) -> list[tuple[str, dict[str, Any]]]:
        if isinstance(node, list):
            return [found for item in node for found in properties(item)]
        if not isinstance(node, dict):
            return []
        own = list(node["properties"].items()) if isinstance(node.get("properties"), dict) else []
        return own + [found for item in node.values() for found in properties(item)]

    found = properties(json.loads(schema_json()))
    assert len(found) > 100
    assert [name for name, entry in found if not entry.get("description")] == []


def test_a_key_without_a_description_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(schema.DESCRIPTIONS, "mismatched_words")
    with pytest.raises(KeyError, match="mismatched_words"):
        schema_json()


@pytest.mark.parametrize(
    "results", [build_results, mismatch_results, over_budget_results, arm_results, hostile_results]
)
def test_reports_obey_the_schema_and_survive_the_file(results: Any) -> None:
    report = assemble(results())
    document = json.loads(report.model_dump_json())
    jsonschema.Draft202012Validator(json.loads(schema_json())).validate(document)
    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    "path",
    [
        "bit_accuracy.verdict",
        "bit_accuracy.samples",
        "bit_accuracy.words",
        "bit_accuracy.mismatched_words",
        "bit_accuracy.first_mismatch",
        "bit_accuracy.model.verdict",
        "estimate.dsp.value",
        "estimate.bram_18k.low",
        "estimate.lut.high",
        "estimate.ff.value",
        "estimate.latency_cycles.value",
        "estimate.latency_ns.value",
        "estimate.initiation_interval.value",
        "estimate.fits",
        "estimate.stage",
        "estimate.layers",
        "estimate.grade",
        "estimate.share",
        "estimate.limiting",
        "pruning.sparsity",
        "pruning.parameters_before",
        "pruning.parameters_after",
        "pruning.layers",
        "pruning.measures.compression_ratio",
        "pruning.measures.mac_reduction",
        "pruning.measures.multipliers_removed",
        "pruning.measures.retention",
        "pruning.measures.layers",
        "accuracy.metric",
        "accuracy.unit",
        "accuracy.float.value",
        "accuracy.pruned.low",
        "accuracy.quantized.high",
        "accuracy.hls",
        "accuracy.tflite_int8",
        "accuracy.baselines",
        "tflite.0.path",
        "tflite.0.kind",
        "tflite.0.size_bytes",
        "tflite.0.sha256",
        "tflite.0.checked",
        "tflite_skipped",
        "budget.met",
        "budget.problems",
        "stages.0.name",
        "stages.0.seconds",
        "stages.0.cached",
        "skipped_stages",
        "tool_versions",
        "options",
        "schema_version",
        "project",
        "target",
        "created",
        "toolchain_version",
        "exit_code",
        "data.source",
    ],
)
def test_documented_keys_are_there(path: str) -> None:
    node: Any = json.loads(assemble(build_results()).model_dump_json())
    for part in path.split("."):
        node = node[int(part)] if part.isdigit() else node[part]


def test_every_key_that_the_documentation_names_exists() -> None:
    text = (COMMITTED.parent / "report.md").read_text(encoding="utf-8")
    table = text.split("| key | content |")[1].split("\n\n")[0]
    first_column = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    keys = [key for cell in first_column for name in re.findall(r"`([^`]+)`", cell) for key in _expand(name)]
    assert len(keys) > 60
    document = json.loads(assemble(mismatch_results()).model_dump_json())
    for key in keys:
        node: Any = document
        for step in key.split("."):
            node = node[step.removesuffix("[]")]
            node = node[0] if step.endswith("[]") and node else node
            if node == []:
                break  # nothing was skipped: its keys stand in the schema
    assert {name.split(".")[0].removesuffix("[]") for name in keys} >= set(document) - {
        "schema_version", "project", "description"
    }  # fmt: skip


def _expand(name: str) -> list[str]:
    group = re.search(r"\{([^}]*)\}", name)
    if not group:
        return [name]
    return [key for part in group[1].split(",") for key in _expand(name[: group.start()] + part + name[group.end() :])]
