"""The process that ``scaling`` measures: MODEL INPUTS.npy RESULT.json."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from toolchain.results import FloatArray

_RUNS = 5


def main(model: Path, inputs: Path, result: Path) -> None:
    """Load the model, run it once to warm up and five times for the clock; write seconds and peak memory."""
    predict = _integers(model) if model.suffix == ".fpn" else _keras(model)
    x = np.load(inputs)
    predict(x)
    seconds = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        predict(x)
        seconds.append(time.perf_counter() - start)
    document = {"seconds": float(np.median(seconds)), "peak_mb": peak_bytes() / 1e6}
    result.write_text(json.dumps(document), encoding="utf-8")


def peak_bytes() -> int:
    """The largest resident memory of this program so far.

    getrusage would not do: on Linux it keeps, through ``exec``, what the starting process had when it forked.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found.group(1)) * 1024


def _keras(file: Path) -> Callable[[FloatArray], object]:
    from toolchain.model.keras_graph import load_keras
    from toolchain.model.training import predict

    model = load_keras(file)
    return lambda x: predict(model, x)


def _integers(file: Path) -> Callable[[FloatArray], object]:
    from toolchain.network import interpreter, storage

    network = storage.load(file)
    (port,) = network.inputs
    return lambda x: interpreter.run(network, {port.name: port.result.words_of(x)})


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
