"""The pruned int8 file against the unpruned float32 model on 8 x 8 digits: accuracy, size, instructions, x86 time.

Run: python benchmarks/arm_cost.py [--bits 8] [--cut 0.6] [--network wide|study]
Needs scikit-learn, qemu-aarch64 and ``toolchain arm-setup``. Instructions are counted on an emulated Cortex-A72 (no
dot products) and Cortex-A76 (ARMv8.2) and are no time; times are ratios on this machine, in one run.
"""

from __future__ import annotations

import argparse
import gzip
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
TRAINING = 1258
#: Filters of two 3 x 3 convolutions, neurons of the hidden Dense layer. ``study`` is the network of pruning_study.py.
NETWORKS = {"study": (16, 16, 32), "wide": (32, 64, 64)}
CORES = ("cortex-a72", "cortex-a76")


def prepare(folder: Path, network: str) -> None:
    """``data.npz``, the images in a drawn order, and the untrained ``network`` in ``model.keras``."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.images[order][..., None] / 16.0, digits.target[order]
    np.savez(folder / "data.npz", x_train=x[:TRAINING], y_train=y[:TRAINING], x_test=x[TRAINING:], y_test=y[TRAINING:])
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(0)
    first, second, hidden = NETWORKS[network]
    layers = [
        keras.Input(x.shape[1:], name="x"),
        keras.layers.Conv2D(first, 3, name="conv1"), keras.layers.ReLU(name="act1"),
        keras.layers.Conv2D(second, 3, name="conv2"), keras.layers.ReLU(name="act2"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(hidden, name="hidden"), keras.layers.ReLU(name="act3"),
        keras.layers.Dense(10, name="logits"),
    ]  # fmt: skip
    keras.Sequential(layers).save(folder / "model.keras")


def build(folder: Path, bits: int, share: float) -> Outcome:
    """``share`` of the filters and neurons cut out, then trained with the dense model's outputs beside the labels."""
    table: dict[str, Any] = {
        "name": "digits", "data": {"source": "npz", "path": "data.npz", "task": "classification"},
        "model": {"file": "model.keras"}, "train": {"epochs": 60, "batch_size": 32, "learning_rate": 3e-3},
        "prune": {"final_sparsity": 0.0, "structured_sparsity": share, "skip": ["logits"], "epochs": 60,
                  "distillation": 0.5},
        "quantize": {"weight_bits": bits, "activation_bits": 8, "input_bits": 8, "epochs": 30},
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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, default=8, help="width of the weights")
    parser.add_argument("--cut", type=float, default=0.6, help="share of the filters and neurons cut out")
    parser.add_argument("--network", choices=NETWORKS, default="wide")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    sysroot = open_sysroot("aarch64")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, asked.network)
        outcome = build(folder, asked.bits, asked.cut)
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
        inputs = {"float32": np.zeros((1, 8, 8, 1), np.float32), "int8": np.zeros((1, 8, 8, 1), np.int8)}
        rows = {}
        for kind, file in (("float32", whole), ("int8", pruned)):
            accuracy = float((outputs[kind].argmax(-1) == classes).mean())
            size, packed = file.stat().st_size, len(gzip.compress(file.read_bytes(), 9))
            counted = [count_instructions(open_emulator(sysroot, core), file, inputs[kind]) for core in CORES]
            rows[kind] = (100 * accuracy, size, packed, *counted, *latencies(file, inputs[kind]))
            each = ", ".join(f"{count:,.0f} on {core}" for core, count in zip(CORES, counted, strict=True))
            print(f"{kind:8} accuracy {rows[kind][0]:.2f} %, {size:,} bytes ({packed:,} gzip), instructions: {each}")
        whole_row, row = rows["float32"], rows["int8"]
        ratios = [a / b for a, b in zip(whole_row[1:], row[1:], strict=True)]
        names = ("size", "gzip size", *(f"instructions {core}" for core in CORES), "x86 p50", "x86 p99")
        lost = f"{whole_row[0] - row[0]:+.2f} points lost"
        print(f"{asked.network}, {asked.bits}-bit weights, {asked.cut:.0%} cut: {lost}; times smaller: " + ", ".join(
            f"{label} {ratio:.1f}" for label, ratio in zip(names, ratios, strict=True)))  # fmt: skip


if __name__ == "__main__":
    main()
