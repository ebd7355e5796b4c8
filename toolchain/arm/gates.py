"""What must hold for a run on ARM code: words against this machine's, words and decisions against the network's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ExternalToolError
from toolchain.results import DataResult, FloatArray

Task = Literal["regression", "binary", "multiclass"]
#: How kernels round a sum. ``once``: ties away from zero. ``twice``: halved with ties upward, then ties away from zero.
#: ``to_even``: ties to even. All are predicted word by word; XNNPACK's sums are float32's, exact below 2**24 only.
Rounding = Literal["once", "twice", "to_even"]
#: Output words that a result may be from the FixedPointNetwork's. XNNPACK rounds as QKeras does; the others round ties
#: away from zero in every layer, and the output port was chosen no finer than what that moves it by.
ALLOWED_DIFFERENCE: dict[Rounding, int] = {"to_even": 1, "once": 1, "twice": 1}


@dataclass(frozen=True, eq=False)
class Vectors:
    """``test_vectors.npz`` of the stage ``tflite``: inputs and int8 words ``(samples, *shape)``, corners last.

    Of several ports ``inputs`` are ``(samples, words)``, one behind the other in the file's order.
    """

    inputs: NDArray[np.int8]
    once: NDArray[np.int8]
    twice: NDArray[np.int8]
    to_even: NDArray[np.int8]
    network: NDArray[np.int8]
    values: FloatArray
    scale: float
    zero_point: int
    input_scale: tuple[float, ...]  # of every input port
    input_zero_point: tuple[int, ...]
    real: int

    def first(self, samples: int) -> Vectors:
        """The first ``samples`` rows."""
        rows = {
            name: getattr(self, name)[:samples] for name in ("inputs", "once", "twice", "to_even", "network", "values")
        }
        return replace(self, **rows)


@dataclass(frozen=True, slots=True)
class Findings:
    """Figures of one run; ``failures`` are the gates that do not hold."""

    machine_differences: int
    equal_words_share: float
    largest_word_difference: int
    decisions: int | None
    different_decisions: int | None
    failures: tuple[str, ...]


def read_vectors(file: Path) -> Vectors:
    """Read ``file``. Raises ExternalToolError when it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            fields = {name: stored[name] for name in Vectors.__dataclass_fields__}
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        hint = "run the tflite stage again"
        raise ExternalToolError(f"cannot be read: {error}", where=file.name, hint=hint) from None
    ports = {
        "input_scale": tuple(np.atleast_1d(fields["input_scale"]).tolist()),
        "input_zero_point": tuple(np.atleast_1d(fields["input_zero_point"]).tolist()),
    }
    counts = {name: int(fields[name]) for name in ("zero_point", "real")}
    return Vectors(**{**fields, **ports, **counts, "scale": float(fields["scale"])})


def task_of(data: DataResult) -> Task:
    """The task of the one output; the pipeline runs no artefact of several."""
    assert len(data.targets) <= 1
    assert data.task != "classification"
    return data.task


def examine(vectors: Vectors, found: NDArray[Any], rounding: Rounding, task: Task, exact: bool = True) -> Findings:
    """Hold the words ``found (samples, *shape)`` of kernels that round so against every gate.

    ``exact``: every word must be the predicted one (all but XNNPACK).
    """
    here: NDArray[np.int8] = getattr(vectors, rounding)
    if found.shape != here.shape or found.dtype != np.int8:
        failure = f"the result is {found.dtype} {found.shape}, not int8 {here.shape}"
        return Findings(int(here.size), 0.0, 0, None, None, (failure,))
    machine = int(np.count_nonzero(found != here))
    difference = np.abs(found.astype(np.int64) - vectors.network)
    largest, allowed = int(difference.max(initial=0)), ALLOWED_DIFFERENCE[rounding]
    failures = []
    if exact and machine:
        failures.append(f"{machine} words are not what kernels that round {rounding} must give; {_first(found, here)}")
    if largest > allowed:
        worst = np.unravel_index(int(difference.argmax()), difference.shape)
        failures.append(
            f"words up to {largest} LSB from the network's, {allowed} allowed; sample {int(worst[0])}: "
            f"network {int(vectors.network[worst])}, found {int(found[worst])}"
        )
    decisions, different = _decisions(vectors, found, allowed, task)
    if different:
        failures.append(f"{different} of {decisions} decisions outside the tie band differ from the network's")
    return Findings(machine, float((difference == 0).mean()), largest, decisions, different, tuple(failures))


def tie_band(scale: float, allowed: int, task: Task) -> float:
    """Half-width of the band in which a decision may differ, in the model's output units.

    A word is at most ``allowed`` from the network's, which is at most half a word from the network's value: for a
    sign the band is ``(allowed + 1/2) * scale``, for two classes that are compared ``(2 * allowed + 1) * scale``.
    """
    return (allowed + 0.5) * scale if task == "binary" else (2 * allowed + 1) * scale


def _first(found: NDArray[Any], expected: NDArray[Any]) -> str:
    place = tuple(int(n) for n in np.argwhere(found != expected)[0])
    return f"first: sample {place[0]}, element {list(place[1:])}: expected {expected[place]}, found {found[place]}"


def _decisions(vectors: Vectors, found: NDArray[Any], allowed: int, task: Task) -> tuple[int | None, int | None]:
    """How many decisions lie outside the tie band, and how many of them differ. Values beyond the port's ends are
    equal to the port's end: the file cannot tell them apart."""
    if task == "regression":
        return None, None
    low, high = (np.array([-128, 127]) - vectors.zero_point) * vectors.scale
    values = np.clip(vectors.values, low, high).reshape(len(found), -1)
    results = ((found.astype(np.float64) - vectors.zero_point) * vectors.scale).reshape(len(found), -1)
    band = tie_band(vectors.scale, allowed, task)
    if task == "binary":
        clear, same = np.abs(values[:, 0]) > band, (values[:, 0] > 0) == (results[:, 0] > 0)
    else:
        ranked = np.sort(values, axis=-1)
        clear = ranked[:, -1] - ranked[:, -2] > band
        same = values.argmax(axis=-1) == results.argmax(axis=-1)
    return int(np.count_nonzero(clear)), int(np.count_nonzero(clear & ~same))
