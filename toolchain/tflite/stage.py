"""Stage ``tflite``: the float32 artefact from the pruned model, the int8 artefact from the network's own integers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from toolchain.data.evaluation import decisions
from toolchain.data.ports import by_port
from toolchain.data.samples import load as load_samples
from toolchain.errors import UnsupportedModelError
from toolchain.network import storage
from toolchain.network.interpreter import quantize_inputs, run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import TfliteKind, TfliteSection
from toolchain.results import (
    DataResult,
    FloatArray,
    Job,
    PruneResult,
    QuantizeResult,
    Samples,
    TfliteFile,
    TfliteResult,
)
from toolchain.tflite.check import Agreement, check_file
from toolchain.tflite.companions import C_ARRAY, add_metadata, file_metadata, write_c_array
from toolchain.tflite.converted import write_converted
from toolchain.tflite.description import PortCost, describe, write_description
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.grids import INT8, INT8_WIDE_RESULT, INT16X8, Grid, QuantizedArray, Widths
from toolchain.tflite.operators import IntegerModel, NotExpressibleError
from toolchain.tflite.plain_c import write_plain_c
from toolchain.tflite.runners import write_runners
from toolchain.tflite.settling import settle
from toolchain.tflite.vectors import write_vectors

_WIDTHS = {"int8": INT8, "int16x8": INT16X8, "int8_wide_result": INT8_WIDE_RESULT}
_MEASURED = ("float32", "int8")  # whose accuracy stands in the report


def export(
    data: DataResult, pruned: PruneResult, quantized: QuantizeResult, section: TfliteSection, job: Job
) -> TfliteResult:
    """Write ``model.KIND.tflite`` for every kind into the folder; beside int8 and int16x8 ``model.KIND.json`` (scales,
    bounds per layer, metadata); with int8 ``plain_c/`` and, of one output, ``test_vectors.npz`` and ``runners/``; and
    ``predictions.npz`` (float32 and int8: ``(samples, outputs)``, the test part, in the model's output units).

    Every file is run and compared. A network without an exact form is named in ``skipped``, with the reason.
    Raises BitMismatchError when a file's words are not the network's within what its formats allow.
    """
    samples = load_samples(data)
    files: list[TfliteFile] = []
    predictions: dict[str, FloatArray] = {}
    skipped: dict[str, str] = {}
    agreement: Agreement | None = None
    for place, kind in enumerate(section.kinds):
        job.progress(f"tflite {kind}", place, len(section.kinds))
        path = job.folder / f"model.{kind}.tflite"
        if kind == "int8" or kind == "int16x8" or kind == "int8_wide_result":
            try:
                if quantized.window:
                    raise NotExpressibleError("the network is a recurrent step: its state goes in and out at ports")
                network = _load_network(quantized)
                values = {
                    part.name: by_port(getattr(samples, part.name).x, network, quantized.input_ports)
                    for part in fields(Samples)
                }
                made = _export_integers(network, data, values, path, _WIDTHS[kind])
            except NotExpressibleError as reason:
                skipped[kind] = str(reason)
                continue
            agreement = made.agreement if kind == "int8" else agreement
            outputs, checked = made.outputs, made.statement
        else:
            outputs, checked = write_converted(kind, pruned.folder, samples, path)
        if kind in _MEASURED:
            predictions[kind] = outputs
        files.append(_record(path, kind, checked))
    if len(data.targets) > 1 and "int8" in section.kinds and "int8" not in skipped:
        skipped["test vectors and runners"] = "they feed and read files of one output"
    np.savez(job.folder / "predictions.npz", allow_pickle=False, **predictions)
    job.progress("tflite", len(section.kinds), len(section.kinds))
    return TfliteResult(
        files=tuple(files), skipped=skipped,
        equal_words_share=agreement.equal_words_share if agreement else None,
        largest_word_difference=agreement.largest_word_difference if agreement else None,
    )  # fmt: skip


def _load_network(quantized: QuantizeResult) -> FixedPointNetwork:
    path = quantized.folder / "network.fpn"
    try:
        return storage.load(path)
    except (ValueError, OSError) as error:
        raise UnsupportedModelError(
            f"cannot be read: {error}", where=str(path), hint="run the quantize stage"
        ) from None


@dataclass(frozen=True, eq=False)
class _Exported:
    """An integer file's agreement with the network, its outputs on the test part and the line that says so."""

    agreement: Agreement
    outputs: FloatArray
    statement: str


def _export_integers(
    network: FixedPointNetwork, data: DataResult, values: Mapping[str, Mapping[str, FloatArray]], path: Path,
    widths: Widths,
) -> _Exported:  # fmt: skip
    """``values``: by part of the samples, of each input port of the network."""
    train, x = quantize_inputs(network, values["train"]), values["test"]
    model = settle(network, train, data.task == "regression", widths)
    path.write_bytes(to_bytes(model, file_metadata(network, data)))
    test = {port.name: port.tensor.grid.quantize_values(x[port.name], port.rounding) for port in model.inputs}
    corners = corners_of(model)
    tested, added = (len(next(iter(part.values()))) for part in (test, corners))
    given = {name: np.concatenate([test[name], corners[name]]) for name in test}
    agreement = check_file(path, model, network, given)
    if widths == INT8:
        write_plain_c(path.parent / "plain_c", model)
        write_c_array(path, path.parent / "plain_c" / C_ARRAY)
        if len(model.outputs) == 1:
            write_vectors(path.parent, network, model, agreement, added)
            write_runners(path, model)
    outputs = side_by_side([
        port.tensor.grid.values_of(found.words[:tested])
        for port, found in zip(model.outputs, agreement.ports, strict=True)
    ])  # fmt: skip
    beyond = sum(_saturated(port.tensor.grid, x[port.name]) for port in model.inputs)
    cost = PortCost(beyond, *_difference(network, data, x, outputs))
    statement = describe(network, model, agreement, cost)
    description = path.with_suffix(".json")
    write_description(description, network, model, agreement, tuple(port.name for port in data.targets))
    add_metadata(description, path, data)
    return _Exported(agreement, outputs, statement)


def _saturated(grid: Grid, x: FloatArray) -> int:
    """How many values round to a word beyond the port's ends."""
    words = np.rint(x / grid.scale)
    return int(np.count_nonzero((words < grid.low) | (words > grid.high)))


def _difference(
    network: FixedPointNetwork, data: DataResult, x: Mapping[str, FloatArray], outputs: FloatArray
) -> tuple[float, float | None]:
    """How far int8 results are from the network's on unrounded ``x``, in its output units, and for classes the
    share of equal decisions."""
    words = run(network, quantize_inputs(network, x), network.outputs)
    expected = side_by_side([network[name].result.values_of(words[name]) for name in network.outputs])
    largest = float(np.abs(outputs - expected).max(initial=0.0))
    if data.task == "regression":
        return largest, None
    return largest, float((decisions(data, outputs) == decisions(data, expected)).mean())


def side_by_side(values: Sequence[FloatArray]) -> FloatArray:
    """The values of every output port, in order: ``(samples, outputs)``."""
    return np.concatenate([one.reshape(len(one), -1) for one in values], axis=1)


def corners_of(model: IntegerModel) -> dict[str, QuantizedArray]:
    """The corners of all input ports together, then of each alone while the others hold zero: by port name."""
    own = {port.name: corner_inputs(port.tensor.grid, port.tensor.shape) for port in model.inputs}
    if len(own) == 1:
        return own
    found = {}
    for port in model.inputs:
        resting = np.full_like(own[port.name], port.tensor.grid.zero_point)
        alone = [own[name] if name == port.name else resting for name in own]
        found[port.name] = np.concatenate([own[port.name], *alone])
    return found


def corner_inputs(grid: Grid, shape: tuple[int, ...]) -> QuantizedArray:
    """Quantized words ``(samples, *shape)``: all lowest, all highest, their neighbours, zero, ±1, alternating ends."""
    low, high, zero, kind = grid.lowest, grid.highest, grid.zero_point, grid.dtype
    levels = [low, high, low + 1, high - 1, zero, max(zero - 1, low), min(zero + 1, high)]
    constant = [np.full(shape, level, dtype=kind) for level in levels]
    even = (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype(bool)
    alternating = [np.where(even, *ends).astype(kind) for ends in ((low, high), (high, low))]
    return np.stack([*constant, *alternating])


def _record(path: Path, kind: TfliteKind, checked: str) -> TfliteFile:
    content = path.read_bytes()
    return TfliteFile(
        path=path.name, kind=kind, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), checked=checked
    )
