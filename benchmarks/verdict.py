"""How fast the verdict is against hls4ml's own route, side by side in one run; prints the ratios.

Interpreter against hls4ml's ``predict`` (samples per second), and from the QKeras model to the verdict against convert,
compile and predict (seconds), both on 10,000 samples. *new model*: as users mostly meet it, the C++ headers were
compiled before and the model was not; *empty cache*: the very first build; *unchanged*: the same model once more.
The very first build leaves the compiled headers to a thread behind it: they are waited for, outside the measured time.

Run: python benchmarks/verdict.py
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from keras_route import build, hls4ml_project, vectors

SAMPLES = 10_000
REPEATS = 3


def dense_model() -> Any:
    """16-64-32-32-5, 6 bits, 75 % of the weights zero."""
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    keras = _keras()
    x = y = keras.Input((16,), name="x")
    y = QActivation(quantized_bits(8, 2, alpha=1), name="port")(y)
    widths = (16, 64, 32, 32, 5)
    for number, (_, units) in enumerate(pairwise(widths)):
        y = QDense(units, name=f"dense{number}", kernel_quantizer=_weights(), bias_quantizer=_weights())(y)
        if number < len(widths) - 2:
            y = QActivation(quantized_relu(6, 2), name=f"relu{number}")(y)
    return _sparse(keras.Model(x, y))


def convolution_model() -> Any:
    """Three Conv1D of 8 filters over 16 steps of 4 channels, ReLUs, and a Dense."""
    from qkeras import QActivation, QConv1D, QDense, quantized_bits, quantized_relu

    keras = _keras()
    x = y = keras.Input((16, 4), name="x")
    y = QActivation(quantized_bits(8, 2, alpha=1), name="port")(y)
    for number in range(3):
        y = QConv1D(8, 3, name=f"conv{number}", kernel_quantizer=_weights(), bias_quantizer=_weights())(y)
        y = QActivation(quantized_relu(6, 2), name=f"relu{number}")(y)
    y = keras.layers.Flatten(name="flat")(y)
    return _sparse(keras.Model(x, QDense(3, name="last", kernel_quantizer=_weights(), bias_quantizer=_weights())(y)))


def small_model() -> Any:
    """One Dense: what both routes load, register and compile once is paid with it."""
    from qkeras import QActivation, QDense, quantized_bits

    x = _keras().Input((4,), name="x")
    y = QActivation(quantized_bits(8, 2, alpha=1), name="port")(x)
    return _sparse(_keras().Model(x, QDense(3, name="d", kernel_quantizer=_weights(), bias_quantizer=_weights())(y)))


def _keras() -> Any:
    from toolchain.model.tensorflow import load_tensorflow

    return load_tensorflow().keras


def _weights() -> Any:
    from qkeras import quantized_bits

    return quantized_bits(6, 0, alpha=1)


def _sparse(model: Any) -> Any:
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([rng.normal(0, 0.4, w.shape) * (rng.random(w.shape) < 0.25) for w in layer.get_weights()])
    return model


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """The shortest of ``repeats`` runs."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def compare(name: str, model: Any, folder: Path) -> None:
    """Both routes on ``model``, one after the other."""
    from toolchain.hls.compilation import wait_for_headers
    from toolchain.network import interpreter
    from toolchain.quantize.from_qkeras import network_from_qkeras

    x = np.ascontiguousarray(vectors(model.input_shape[1:], SAMPLES))
    verified: dict[str, Any] = {}
    project: dict[str, Any] = {}

    def our_route(folder: Path) -> None:
        verified["result"] = build(model, x, folder)

    def their_route() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            project["model"] = hls4ml_project(model, folder / "hls4ml")
            project["model"].compile()
        project["words"] = project["model"].predict(x)

    wait_for_headers()
    ours = {"new model": seconds(lambda: our_route(folder / "new"))}
    theirs = seconds(their_route)
    ours["unchanged"] = seconds(lambda: our_route(folder / "again"))
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    ours["empty cache"] = seconds(lambda: our_route(folder / "first"))
    wait_for_headers()  # it is made behind the verdict, for later models
    result = verified["result"]
    assert result.hardware.verdict == result.model.verdict == "bit_exact"
    network = network_from_qkeras(model, "network")
    words = {network.inputs[0].name: network.inputs[0].result.words_of(x)}
    interpreted = SAMPLES / seconds(lambda: interpreter.run(network, words, only=network.outputs), REPEATS)
    predicted = SAMPLES / seconds(lambda: project["model"].predict(x), REPEATS)
    truth = np.asarray(model.predict(x, verbose=0), np.float64).reshape(SAMPLES, -1)
    outputs = interpreter.run(network, words, only=network.outputs)[network.outputs[0]]
    assert np.array_equal(network[network.outputs[0]].result.values_of(outputs).reshape(SAMPLES, -1), truth)
    wrong = int((np.asarray(project["words"], np.float64).reshape(truth.shape) != truth).sum())
    print(f"{name}, {SAMPLES:,} samples")
    print(f"  interpreter   {interpreted:12,.0f} samples/s   hls4ml predict {predicted:10,.0f} samples/s", end="")
    print(f"  {interpreted / predicted:6.1f} x")
    for case, time_taken in ours.items():
        print(f"  {case:13} {time_taken:12.1f} s           hls4ml route   {theirs:10.1f} s          ", end="")
        print(f"  {time_taken / theirs:6.2f} x")
    equal = f"all {result.hardware.words:,} words of every layer equal"
    print(f"  ours: {equal}; hls4ml: {wrong:,} of {truth.size:,} outputs wrong")


def main() -> None:
    _keras()  # before QKeras imports a Keras of its own choice
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        for name, make in (
            ("", small_model),
            ("16-64-32-32-5", dense_model),
            ("", small_model),
            ("Conv1D", convolution_model),
        ):
            with contextlib.nullcontext() if name else contextlib.redirect_stdout(io.StringIO()):
                compare(name, make(), Path(tempfile.mkdtemp(dir=folder)))


if __name__ == "__main__":
    main()
