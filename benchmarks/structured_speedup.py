"""Is a structurally pruned network faster on a CPU? 90 % of the weights of a 1-million-parameter MLP, taken out in two
ways: whole neurons by surgery, and single weights by zeros. Both go into TFLite float32 files and run side by side.

    python benchmarks/structured_speedup.py

Times are medians over many single-sample calls on one thread, taken in turns. Only the ratios mean anything.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np

from toolchain.model.graph import Call, Graph, Layer, Tensor
from toolchain.model.keras_graph import build_keras, call_model, random_inputs
from toolchain.model.tensorflow import load_tensorflow
from toolchain.prune import surgery
from toolchain.tflite.converted import convert_keras

#: 256 -> 640 -> 640 -> 640 -> 10: 991,370 parameters.
INPUTS, HIDDEN, OUTPUTS = 256, (640, 640, 640), 10
REDUCTION = 0.9
ROUNDS, CALLS = 40, 200


def mlp() -> Graph:
    """The dense network, random weights."""
    random = np.random.default_rng(0)
    layers = {"x": Layer("x", "InputLayer", {"shape": (INPUTS,), "dtype": "float32"})}
    calls, wide = [Call("x")], INPUTS
    for place, units in enumerate((*HIDDEN, OUTPUTS)):
        name, last = f"dense_{place}", place == len(HIDDEN)
        weights = {"kernel": random.normal(size=(wide, units)) / sqrt(wide), "bias": random.normal(size=units) * 0.1}
        layers[name] = Layer(name, "Dense", {"units": units, "activation": "linear" if last else "relu"}, weights)
        calls.append(Call(name, (Tensor(calls[-1].layer),)))
        wide = units
    return Graph("mlp", layers, tuple(calls), ("x",), (Tensor(calls[-1].layer),))


def structured(graph: Graph) -> Graph:
    """The smallest neuron sparsity that takes out at least ``REDUCTION`` of the parameters."""
    for sparsity in np.arange(0.5, 1.0, 0.005):
        plan = surgery.plan_sparsity(graph, float(sparsity))
        if plan.parameters[1] <= (1 - REDUCTION) * plan.parameters[0]:
            print(f"neuron sparsity {sparsity:.3f}: {plan.text().splitlines()[-2].strip()}")
            cut = surgery.apply(graph, plan)
            x = random_inputs(graph)
            one, other = (call_model(build_keras(item), x)[0] for item in (cut, surgery.masked(graph, plan)))
            difference = np.abs(one - other).max() / np.abs(other).max()
            print(f"cut against masked network: {difference:.1e} of the largest output")
            return cut
    raise AssertionError("no neuron sparsity takes out that much")


def unstructured(graph: Graph) -> Graph:
    """The same share of weights set to zero, the smallest of each kernel."""
    changed = []
    for layer in graph.layers.values():
        if "kernel" in layer.weights:
            kernel = layer.weights["kernel"]
            changed.append(
                layer.with_weights(kernel=kernel * (np.abs(kernel) > np.quantile(np.abs(kernel), REDUCTION)))
            )
    return graph.with_layers(*changed)


def tflite(graph: Graph, path: Path) -> Callable[[], None]:
    """A call of the graph's float32 TFLite file on one thread; it prints the file's size."""
    tf = load_tensorflow()
    path.write_bytes(convert_keras(build_keras(graph)))
    print(f"{path.stem}: {graph.parameters:,} parameters, {path.stat().st_size / 1024:,.0f} KiB")
    interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    x = np.random.default_rng(1).normal(size=(1, INPUTS)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    return interpreter.invoke


def main() -> None:
    """Print sizes, then the time of each file as a ratio to the dense one's."""
    dense = mlp()
    graphs = {"dense": dense, "structured": structured(dense), "unstructured": unstructured(dense)}
    with tempfile.TemporaryDirectory() as folder:
        calls = {name: tflite(graph, Path(folder) / f"{name}.tflite") for name, graph in graphs.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():  # in turns, so that a busy machine slows all alike
                begin = time.perf_counter()
                for _ in range(CALLS):
                    call()
                times[name].append((time.perf_counter() - begin) / CALLS)
    for name, found in times.items():
        ratio = statistics.median(base / own for base, own in zip(times["dense"], found, strict=True))
        print(f"{name}: median {1e6 * statistics.median(found):.1f} us a sample, {ratio:.1f}x the dense one's speed")


if __name__ == "__main__":
    main()
