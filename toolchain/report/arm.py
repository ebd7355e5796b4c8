"""The runs on ARM code in words."""

from __future__ import annotations

from toolchain.report.numerals import percent
from toolchain.report.schema import DeviceMeasurement, EthosU
from toolchain.results import ArmResult, ArmRun, DeviceResult, EthosUResult

KERNELS = {
    "default": "XNNPACK",
    "reference": "reference kernels",
    "builtin": "built-in kernels",
    "generated": "bare-metal",
}


def arm_lines(found: ArmResult) -> tuple[str, ...]:
    """One line for each run, then what was not verified."""
    lines = [f"{run_title(run)}: {run_statement(run)}" for run in found.runs]
    if found.arena_bytes is not None:
        lines.append(f"TFLite Micro uses {found.arena_bytes:,} bytes of its arena")
    if found.plain_c_bytes is not None:
        ram = f"{found.plain_c_ram_bytes:,} bytes of RAM"
        lines.append(f"generated C on Cortex-M3: {found.plain_c_bytes:,} bytes of code and constants, {ram}")
    return (*lines, *(f"not verified: {part}: {why}" for part, why in found.not_verified.items()))


def device_lines(found: DeviceResult) -> tuple[str, ...]:
    """The runs on a real board, its times, what to know of them."""
    runs = (f"board {run_title(run)}: {run_statement(run)}" for run in found.runs)
    return (*runs, f"board: {device_times(found)}", *(f"board: {remark}" for remark in found.remarks))


def device_times(found: DeviceResult | DeviceMeasurement) -> str:
    """The measured times of one invocation."""
    return (
        f"p50 {found.p50_us:,.1f} µs, p99 {found.p99_us:,.1f} µs of {found.invocations:,} invocations of one sample "
        f"(default kernels, one thread, called from Python {found.python}; {found.measured})"
    )


def ethos_u_statement(found: EthosUResult | EthosU) -> str:
    """Vela's account in one sentence."""
    rest = f" ({', '.join(found.on_cpu)})" if found.on_cpu else ""
    memory = [f"{found.sram_bytes:,} bytes of SRAM", f"{found.flash_bytes:,} of flash"]
    memory += [f"{found.dram_bytes:,} of DRAM"] if found.dram_bytes else []
    return (
        f"{found.accelerator}, by Vela {found.vela_version}: {found.npu_operators} operators on the NPU, "
        f"{found.cpu_operators} left to the core{rest}; {', '.join(memory)}; {found.cycles:,} cycles an inference as "
        f"Vela estimates them with its configuration {found.system_config}, {found.memory_mode}"
    )


def run_title(run: ArmRun) -> str:
    """Core, runtime and kernels."""
    return f"{run.architecture} ({run.cpu}), {run.runtime}, {KERNELS.get(run.kernels, run.kernels)}"


def run_statement(run: ArmRun) -> str:
    """What one run showed."""
    machine = (
        f"all {run.words:,} words as predicted"
        if not run.machine_differences
        else f"{run.machine_differences:,} of {run.words:,} words not as predicted"
    )
    network = (
        f"{percent(run.equal_words_share)} equal to the network's, largest difference "
        f"{run.largest_word_difference} LSB ({run.allowed_word_difference} allowed)"
    )
    parts = [machine, network]
    if run.decisions is not None:
        parts.append(f"{run.different_decisions} of {run.decisions:,} decisions outside the tie band differ")
    return "; ".join([*parts, *(f"FAILED: {failure}" for failure in run.failures)])
