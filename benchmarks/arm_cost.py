"""The pruned int8 file against the unpruned float32 model on 8 x 8 digits: accuracy, size, instructions, x86 time.

Run: python benchmarks/arm_cost.py [weight bits]     (needs scikit-learn, qemu-aarch64 and ``toolchain arm-setup``)
Instructions are counted on an emulated Cortex-A72 and are no time; times are ratios on this machine, in one run.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.arm.emulation import open_emulator
from toolchain.arm.instructions import count_instructions
from toolchain.arm.sysroot import open_sysroot
from toolchain.model.tensorflow import load_tensorflow
from toolchain.pipeline import Outcome, Request, run
from toolchain.project import parse_project
from toolchain.target import load_target
from toolchain.tflite.converted import convert_keras_file

INVOCATIONS = 2000


def prepare(folder: Path) -> None:
    """``data.npz`` and an untrained ``model.keras``: Conv1D over the image's rows, whose filters can be cut out."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images / 16.0, digits.target
    np.savez(folder / "data.npz", x_train=x[:1400], y_train=y[:1400], x_test=x[1400:], y_test=y[1400:])
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8), name="x"),
        keras.layers.Conv1D(32, 3, name="conv1"), keras.layers.ReLU(name="act1"),
        keras.layers.Conv1D(64, 3, name="conv2"), keras.layers.ReLU(name="act2"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(64, name="hidden"), keras.layers.ReLU(name="act3"),
        keras.layers.Dense(10, name="logits"),
    ]  # fmt: skip
    keras.Sequential(layers).save(folder / "model.keras")


def build(folder: Path, bits: int) -> Outcome:
    table: dict[str, Any] = {
        "name": "digits", "data": {"source": "npz", "path": "data.npz", "task": "classification"},
        "model": {"file": "model.keras"}, "train": {"epochs": 30, "batch_size": 64},
        "prune": {"final_sparsity": 0.6, "structured_sparsity": 0.4, "skip": ["logits"], "epochs": 60},
        "quantize": {"weight_bits": bits, "activation_bits": 8, "input_bits": 8, "epochs": 15},
    }  # fmt: skip
    request = Request(parse_project(table, "digits"), folder, load_target("raspberry_pi_4"), "tflite")
    return run(request)


def latencies(model: Path, x: Any) -> tuple[float, float]:
    """p50 and p99 seconds of one invocation on this machine, default kernels, one thread."""
    tf = load_tensorflow()
    interpreter = tf.lite.Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    seconds = []
    for _ in range(INVOCATIONS):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return float(p50), float(p99)


def main() -> None:
    bits = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    emulator = open_emulator(open_sysroot("aarch64"), "cortex-a72")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        outcome = build(folder, bits)
        stages = {stage: result.folder for stage, result in outcome.results.items()}
        whole = folder / "float32.tflite"
        whole.write_bytes(convert_keras_file(stages["train"] / "model.keras"))
        pruned = stages["tflite"] / "model.int8.tflite"
        if not pruned.exists():
            raise SystemExit(f"no int8 file: {outcome.results['tflite']}")
        classes = np.load(folder / "data.npz")["y_test"]
        outputs = {
            "float32": np.load(stages["train"] / "predictions.npy"),
            "int8": np.load(stages["tflite"] / "predictions.npz")["int8"],
        }
        inputs = {"float32": np.zeros((1, 8, 8), np.float32), "int8": np.zeros((1, 8, 8), np.int8)}
        rows = {}
        for kind, file in (("float32", whole), ("int8", pruned)):
            accuracy = float((outputs[kind].argmax(-1) == classes).mean())
            size, packed = file.stat().st_size, len(gzip.compress(file.read_bytes(), 9))
            counted = count_instructions(emulator, file, inputs[kind])
            rows[kind] = (100 * accuracy, size, packed, counted, *latencies(file, inputs[kind]))
            sizes = f"{size:,} bytes ({packed:,} gzip)"
            print(f"{kind:8} accuracy {rows[kind][0]:.2f} %, {sizes}, {counted:,.0f} instructions", flush=True)
        whole_row, row = rows["float32"], rows["int8"]
        ratios = [a / b for a, b in zip(whole_row[1:], row[1:], strict=True)]
        names = ("size", "gzip size", "instructions", "x86 p50", "x86 p99")
        print(f"{bits}-bit weights: {whole_row[0] - row[0]:+.2f} points lost; times smaller: " + ", ".join(
            f"{label} {ratio:.1f}" for label, ratio in zip(names, ratios, strict=True)))  # fmt: skip


if __name__ == "__main__":
    main()
