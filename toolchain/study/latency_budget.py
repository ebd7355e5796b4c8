"""What inference takes of the way from market data to order, on each target."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.errors import ExternalToolError, ToolchainError
from toolchain.pipeline import Outcome, Request, run
from toolchain.project import Project
from toolchain.results import EstimateResult, Interval, TfliteResult
from toolchain.study.chapter import Share
from toolchain.target import Target, all_targets

#: The chapter's section 4.1, microseconds, from and to. Not measured here: they belong to the user's own system.
BUDGET = {
    "market data ingestion": (1.0, 5.0),
    "feature computation": (2.0, 10.0),
    "model inference": (5.0, 50.0),
    "order generation": (1.0, 5.0),
}
_OTHERS = [span for name, span in BUDGET.items() if name != "model inference"]
REST_US = sum(span[0] for span in _OTHERS), sum(span[1] for span in _OTHERS)
_INVOCATIONS = 2000


def shares(project: Project, project_file: Path, emulate: bool, say: Callable[[str], None]) -> tuple[Share, ...]:
    """The project's own design on every shipped target, and measured on this machine.

    FPGAs: the estimate with its 80 % interval. This machine: the int8 file through TFLite, median and 1st to 99th
    percentile of 2,000 invocations. ARM application cores: instructions counted under emulation (when ``emulate``) at
    one instruction for each clock, which is an assumption and no measurement; microcontrollers: not known.
    """
    folder = project_file.parent.resolve()
    store = folder / "build" / "study" / "store"
    found = []
    for target in all_targets():
        if target.fpga:
            found.append(_estimated(Request(project, folder, target, until="estimate", store=store, shared=True)))
            say(_line(found[-1]))
    cores = [target for target in all_targets() if target.fpga is None]
    request = Request(project, folder, cores[0], until="tflite", store=store, shared=True)
    try:
        outcome = run(request)
    except ToolchainError as error:
        return (*found, *(Share(target=item.name, title=item.title, how=f"not known: {error.problem}")
                          for item in cores))  # fmt: skip
    written = outcome.results["tflite"]
    assert isinstance(written, TfliteResult)
    if "int8" in written.skipped:
        why = f"not known: {written.skipped['int8']}"
        return (*found, *(Share(target=item.name, title=item.title, how=why) for item in cores))
    model = written.folder / "model.int8.tflite"
    for share in (_measured_here(model), *(_counted(item, model, emulate) for item in cores)):
        found.append(share)
        say(_line(share))
    return tuple(found)


def share_of(inference_us: Interval) -> Interval:
    """Inference over the whole: the largest beside the fastest rest, the smallest beside the slowest."""

    def of(inference: float, rest: float) -> float:
        return inference / (inference + rest)

    middle = sum(REST_US) / 2
    return Interval(
        value=of(inference_us.value, middle), low=of(inference_us.low, REST_US[1]),
        high=of(inference_us.high, REST_US[0]),
    )  # fmt: skip


def _line(share: Share) -> str:
    return f"{share.target}: " + (f"{share.inference_us.value:.4g} us, " if share.inference_us else "") + share.how


def _with_time(target: Target, how: str, inference: Interval, fits: bool | None = None) -> Share:
    return Share(
        target=target.name, title=target.title, how=how, inference_us=inference, share=share_of(inference), fits=fits
    )


def _estimated(request: Request) -> Share:
    target = request.target
    try:
        outcome: Outcome = run(request)
    except ToolchainError as error:
        return Share(target=target.name, title=target.title, how=f"not estimated: {error.problem}")
    estimate = outcome.results["estimate"]
    assert isinstance(estimate, EstimateResult)
    ns = estimate.latency_ns
    time_us = Interval(value=ns.value / 1000, low=ns.low / 1000, high=ns.high / 1000)
    how = f"estimated, grade {estimate.grade}; {estimate.latency_cycles.value:.0f} cycles"
    return _with_time(target, how, time_us, estimate.fits)


def _measured_here(model: Path) -> Share:
    interpreter = _interpreter(model)
    interpreter.allocate_tensors()
    port = interpreter.get_input_details()[0]
    interpreter.set_tensor(port["index"], np.zeros(port["shape"], port["dtype"]))
    spent = []
    for _ in range(_INVOCATIONS):
        start = time.perf_counter()
        interpreter.invoke()
        spent.append(1e6 * (time.perf_counter() - start))
    low, value, high = (float(item) for item in np.quantile(spent, (0.01, 0.5, 0.99)))
    time_us = Interval(value=value, low=low, high=high)
    return Share(
        target="this machine", title="TFLite, one thread, called from Python", inference_us=time_us,
        how="measured: median, 1st to 99th percentile", share=share_of(time_us),
    )  # fmt: skip


def _counted(target: Target, model: Path, emulate: bool) -> Share:
    from toolchain.arm.emulation import open_emulator
    from toolchain.arm.instructions import count_instructions
    from toolchain.arm.sysroot import open_sysroot

    arm = target.arm
    assert arm is not None
    if arm.architecture != "aarch64":
        why = "not known: emulation gives no time, and this core was never measured"
        return Share(target=target.name, title=target.title, how=why)
    if not emulate:
        return Share(target=target.name, title=target.title, how="not known: instructions were not counted (--arm)")
    try:
        emulator = open_emulator(open_sysroot("aarch64"), arm.qemu_cpu)
        instructions = count_instructions(emulator, model, _one_sample(model))
    except ExternalToolError as error:
        return Share(target=target.name, title=target.title, how=f"not known: {error.text()}")
    value = instructions / arm.clock_mhz
    how = (
        f"assumed, not measured: {instructions:,.0f} emulated instructions (the call from Python included), "
        "one for each clock"
    )
    return _with_time(target, how, Interval(value=value, low=value, high=value))


def _one_sample(model: Path) -> np.ndarray:
    port = _interpreter(model).get_input_details()[0]
    return np.zeros(port["shape"], port["dtype"])


def _interpreter(model: Path) -> Any:
    from toolchain.model.tensorflow import load_tensorflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow announces the interpreter's next home
        return load_tensorflow().lite.Interpreter(model_path=str(model), num_threads=1)
