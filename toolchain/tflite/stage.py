"""Stage ``tflite``: the float32 artefact from the pruned model, the int8 artefact from the network's own integers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np

from toolchain.data.samples import load as load_samples
from toolchain.errors import BitMismatchError, UnsupportedModelError
from toolchain.network import storage
from toolchain.network.interpreter import quantize_inputs, run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import TfliteSection
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
from toolchain.tflite.companions import C_ARRAY, add_metadata, write_c_array
from toolchain.tflite.description import PortCost, describe, write_description
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.float32 import convert_keras_file
from toolchain.tflite.grids import Grid, QuantizedArray
from toolchain.tflite.lowering import lower
from toolchain.tflite.operators import NotExpressibleError
from toolchain.tflite.plain_c import write_plain_c
from toolchain.tflite.ports import choose_ports
from toolchain.tflite.runtime import run_file
from toolchain.tflite.vectors import write_vectors

_FLOAT_TOLERANCE = 1e-4  # of the largest output: float32 sums in another order


def export(
    data: DataResult, pruned: PruneResult, quantized: QuantizeResult, section: TfliteSection, job: Job
) -> TfliteResult:
    """Write ``model.float32.tflite``, ``model.int8.tflite``, ``model.int8.json`` (scales, bounds per layer, metadata),
    ``test_vectors.npz``, ``plain_c/`` and ``predictions.npz`` (per kind ``(samples, outputs)``, the test part, in the
    model's output units) into the folder.

    Both files are run and compared. A network without an exact int8 form is named in ``skipped``, with the reason.
    Raises BitMismatchError when a file's words are not the network's within what its formats allow.
    """
    samples = load_samples(data)
    files: list[TfliteFile] = []
    predictions: dict[str, FloatArray] = {}
    skipped: dict[str, str] = {}
    agreement: Agreement | None = None
    for place, kind in enumerate(section.kinds):
        job.progress(f"tflite {kind}", place, len(section.kinds))
        if kind == "float32":
            predictions[kind], checked = _export_float32(pruned, samples, job.folder)
            files.append(_record(job.folder / "model.float32.tflite", kind, checked))
            continue
        try:
            network = _load_network(quantized)
            agreement, predictions[kind], checked = _export_int8(network, data, samples, job.folder)
        except NotExpressibleError as reason:
            skipped[kind] = str(reason)
            continue
        files.append(_record(job.folder / "model.int8.tflite", kind, checked))
    np.savez(job.folder / "predictions.npz", allow_pickle=False, **predictions)
    job.progress("tflite", len(section.kinds), len(section.kinds))
    return TfliteResult(
        files=tuple(files), skipped=skipped,
        equal_words_share=agreement.equal_words_share if agreement else None,
        largest_word_difference=agreement.largest_word_difference if agreement else None,
    )  # fmt: skip


def _export_float32(pruned: PruneResult, samples: Samples, folder: Path) -> tuple[FloatArray, str]:
    path = folder / "model.float32.tflite"
    path.write_bytes(convert_keras_file(pruned.folder / "model.keras"))
    found = run_file(path, samples.test.x.astype(np.float32)).astype(np.float64)
    expected = np.load(pruned.folder / "predictions.npy", allow_pickle=False)
    largest = float(np.abs(found - expected).max(initial=0.0))
    allowed = _FLOAT_TOLERANCE * max(float(np.abs(expected).max(initial=0.0)), 1.0)
    if not largest <= allowed:
        raise BitMismatchError(
            f"its outputs are {largest:.3g} from the pruned Keras model's", where=path.name,
            allowed=f"at most {allowed:.3g}: float32 sums in another order",
        )  # fmt: skip
    return found, f"pruned Keras model on {len(found)} test samples: largest difference {largest:.3g}"


def _load_network(quantized: QuantizeResult) -> FixedPointNetwork:
    path = quantized.folder / "network.fpn"
    try:
        return storage.load(path)
    except (ValueError, OSError) as error:
        raise UnsupportedModelError(
            f"cannot be read: {error}", where=str(path), hint="run the quantize stage"
        ) from None


def _export_int8(
    network: FixedPointNetwork, data: DataResult, samples: Samples, folder: Path
) -> tuple[Agreement, FloatArray, str]:
    port = network.inputs[0]
    train = quantize_inputs(network, {port.name: samples.train.x})[port.name]
    model = lower(network, choose_ports(network, train, extrapolates=data.task == "regression"))
    path = folder / "model.int8.tflite"
    path.write_bytes(to_bytes(model, {"network_sha256": storage.digest(network).encode()}))
    test = model.input.grid.quantize_values(samples.test.x, port.result.rounding)
    corners = corner_inputs(model.input.grid, port.shape)
    inputs = np.concatenate([test, corners])
    agreement = check_file(path, model, network, inputs)
    write_vectors(folder, network, model, agreement, len(corners))
    write_plain_c(folder / "plain_c", model)
    write_c_array(path, folder / "plain_c" / C_ARRAY)
    outputs = model.output.grid.values_of(agreement.outputs[: len(test)])
    saturated = _saturated(model.input.grid, samples.test.x)
    cost = PortCost(saturated, *_difference(network, data, samples.test.x, outputs))
    statement = describe(network, model, agreement, cost)
    write_description(folder / "model.int8.json", network, model, agreement)
    add_metadata(folder / "model.int8.json", path, data)
    return agreement, outputs, statement


def _saturated(grid: Grid, x: FloatArray) -> int:
    """How many values round to a word beyond the port's ends."""
    words = np.rint(x / grid.scale)
    return int(np.count_nonzero((words < grid.low) | (words > grid.high)))


def _difference(
    network: FixedPointNetwork, data: DataResult, x: FloatArray, outputs: FloatArray
) -> tuple[float, float | None]:
    """How far int8 results are from the network's on unrounded ``x``, in its output units, and for classes the
    share of equal decisions."""
    port, result = network.inputs[0].name, network.outputs[0]
    words = run(network, quantize_inputs(network, {port: x}))[result]
    expected = network[result].result.values_of(words)
    largest = float(np.abs(outputs - expected).max(initial=0.0))
    if data.task == "regression":
        return largest, None
    if data.task == "binary":
        return largest, float(((outputs > 0) == (expected > 0)).mean())
    return largest, float((outputs.argmax(axis=-1) == expected.argmax(axis=-1)).mean())


def corner_inputs(grid: Grid, shape: tuple[int, ...]) -> QuantizedArray:
    """Quantized words ``(samples, *shape)``: all lowest, all highest, their neighbours, zero, ±1, alternating ends."""
    low, high, zero, kind = grid.lowest, grid.highest, grid.zero_point, grid.dtype
    levels = [low, high, low + 1, high - 1, zero, max(zero - 1, low), min(zero + 1, high)]
    constant = [np.full(shape, level, dtype=kind) for level in levels]
    even = (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype(bool)
    alternating = [np.where(even, *ends).astype(kind) for ends in ((low, high), (high, low))]
    return np.stack([*constant, *alternating])


def _record(path: Path, kind: Literal["float32", "int8"], checked: str) -> TfliteFile:
    content = path.read_bytes()
    return TfliteFile(
        path=path.name, kind=kind, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), checked=checked
    )
