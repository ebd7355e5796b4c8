"""The stages that make the network: data, train, prune, quantize."""

from __future__ import annotations

from typing import Any

from toolchain.pipeline.outcome import Outcome, as_json, digest_of, run_stage
from toolchain.results import DataResult, Job, ModelResult, PruneResult, QuantizeResult

_KERAS = ("tensorflow", "tf-keras", "keras", "numpy")


_PRUNE = (*_KERAS, "tensorflow-model-optimization")


_QUANTIZE = (*_KERAS, "qkeras")


def data(outcome: Outcome) -> DataResult:
    """The samples in their parts."""
    section = outcome.request.project.data
    depends = {"section": as_json(section), "file": digest_of(outcome.request.project_folder, section.path)}
    if section.source == "python":
        return _data_of_function(outcome, depends)

    def produce(job: Job) -> DataResult:
        from toolchain.data.stage import prepare

        return prepare(section, job)

    return run_stage(outcome, "data", DataResult, depends, ("numpy", "pandas", "arch"), produce)


def _data_of_function(outcome: Outcome, depends: dict[str, Any]) -> DataResult:
    """A function may read anything, so it is called in every run; what it returned is what the stage depends on."""
    from toolchain.data.python_function import call
    from toolchain.data.stage import prepare_returned

    section = outcome.request.project.data
    returned = call(section, outcome.request.project_folder)
    depends = depends | {"returned": returned.digest()}
    return run_stage(
        outcome, "data", DataResult, depends, ("numpy", "pandas"), lambda job: prepare_returned(returned, section, job)
    )


def train(outcome: Outcome, data: DataResult) -> ModelResult:
    """The float model: trained, or as the file has it."""
    project = outcome.request.project
    depends = {
        "model": as_json(project.model),
        "section": as_json(project.train),
        "file": digest_of(outcome.request.project_folder, project.model.file),
        "seed": project.seed,
        "data": data.sha256,
    }

    def produce(job: Job) -> ModelResult:
        from toolchain.model.stage import train

        return train(data, project.model, project.train, job)

    return run_stage(outcome, "train", ModelResult, depends, _KERAS, produce)


def prune(outcome: Outcome, data: DataResult, trained: ModelResult) -> PruneResult:
    """The pruned model."""
    project = outcome.request.project
    depends = {"section": as_json(project.prune), "seed": project.seed, "train": outcome.keys["train"]}

    def produce(job: Job) -> PruneResult:
        from toolchain.prune.stage import prune

        return prune(data, trained, project.prune, job)

    return run_stage(outcome, "prune", PruneResult, depends, _PRUNE, produce)


def quantize(outcome: Outcome, data: DataResult, pruned: PruneResult) -> QuantizeResult:
    """The quantized model and the integer network."""
    project = outcome.request.project
    depends = {"section": as_json(project.quantize), "seed": project.seed, "prune": outcome.keys["prune"]}

    def produce(job: Job) -> QuantizeResult:
        from toolchain.quantize.stage import quantize

        return quantize(data, pruned, project.quantize, job)

    return run_stage(outcome, "quantize", QuantizeResult, depends, _QUANTIZE, produce)
