"""The stages of a target with an FPGA: hls, csim, verify, estimate."""

from __future__ import annotations

import json
from typing import Any

from toolchain.errors import BitMismatchError, UnsupportedModelError
from toolchain.pipeline.outcome import Outcome, as_json, publish_stage, run_stage
from toolchain.results import CsimResult, EstimateResult, HlsResult, Job, QuantizeResult, VerifyResult
from toolchain.target import Fpga
from toolchain.workspace import file_digest, manifest, text_digest

_HLS = ("hls4ml", "da4ml", "numpy")


def hls(outcome: Outcome, quantized: QuantizeResult, fpga: Fpga) -> HlsResult:
    """The HLS project, published where the user synthesizes it."""
    section = outcome.request.project.hls
    depends = {"section": as_json(section), "fpga": as_json(fpga), "network": quantized.network_sha256}
    depends["inputs"] = file_digest(quantized.folder / "inputs.npz")

    def produce(job: Job) -> HlsResult:
        from toolchain.hls.stage import write

        return write(quantized, section, fpga, job)

    result = run_stage(outcome, "hls", HlsResult, depends, _HLS, produce)
    publish_stage(outcome, "hls", result.folder)
    return result


def csim(outcome: Outcome, quantized: QuantizeResult, hls: HlsResult) -> CsimResult:
    """The words of the published project, compiled as it stands there."""
    section = outcome.request.project.csim
    project = outcome.request.output_folder / "hls"
    depends = {
        "section": as_json(section),
        "hls": outcome.keys["hls"],
        "project": text_digest(json.dumps(manifest(project))),
        "inputs": file_digest(quantized.folder / "inputs.npz"),
    }

    def produce(job: Job) -> CsimResult:
        from toolchain.hls.csim import simulate

        return simulate(project, hls, quantized, section, job)

    result = run_stage(outcome, "csim", CsimResult, depends, ("numpy",), produce)
    publish_stage(outcome, "csim", result.folder)
    return result


def verify(outcome: Outcome, quantized: QuantizeResult, csim: CsimResult) -> VerifyResult:
    """Both comparisons; a difference is a problem of the outcome."""
    words = outcome.request.output_folder / "csim"
    depends = {
        "csim": outcome.keys["csim"],
        "words": text_digest(json.dumps(manifest(words))),
        "quantize": outcome.keys["quantize"],
    }

    def produce(job: Job) -> VerifyResult:
        from toolchain.verify.stage import verify

        simulated = csim.model_copy()
        simulated.at(words)
        return verify(quantized, simulated, job)

    result = run_stage(outcome, "verify", VerifyResult, depends, ("numpy",), produce)
    compared = ((result.hardware, "hardware"), (result.model, "QKeras model"), (result.window, "step over the window"))
    for comparison, title in compared:
        if comparison is not None and comparison.verdict == "mismatch":
            outcome.problems.append(_mismatch(comparison.first_mismatch, comparison.mismatched_words, title))
    return result


def _mismatch(first: Any, words: int, title: str) -> BitMismatchError:
    if first is None:
        return BitMismatchError(f"{words} words of the {title} differ from the network's")
    return BitMismatchError(
        f"{words} words of the {title} differ; first: sample {first.sample}, element {list(first.element)}: "
        f"expected word {first.expected_word}, found {first.found_word}",
        where=f"layer '{first.layer}'" + (f", output port {first.port}" if first.port else ""),
        hint=f"cause: {first.cause}",
    )


def estimate(outcome: Outcome, quantized: QuantizeResult, fpga: Fpga) -> EstimateResult:
    """The estimate; an exceeded budget is a problem of the outcome."""
    project = outcome.request.project
    depends = {"section": as_json(project.hls), "fpga": as_json(fpga), "network": quantized.network_sha256}

    def produce(job: Job) -> EstimateResult:
        from toolchain.estimate.stage import estimate

        return estimate(quantized, project.hls, fpga, job)

    result = run_stage(outcome, "estimate", EstimateResult, depends, ("numpy", "da4ml"), produce)
    from toolchain.estimate.budget import check_build

    outcome.problems.extend(check_build(result, quantized, project, fpga))
    return result


def skip_fpga(outcome: Outcome, wanted: tuple[str, ...]) -> None:
    """Say of every stage here why it did not run. Raises UnsupportedModelError where one was asked for."""
    why = f"target {outcome.request.target.name} has no FPGA"
    for name in ("hls", "csim", "verify", "estimate"):
        if name in wanted:
            outcome.skipped[name] = why
    if outcome.request.until in outcome.skipped:
        raise UnsupportedModelError(why, where=f"stage '{outcome.request.until}'", hint="toolchain targets")
