"""Accuracy against sparsity, five seeds, three tasks: what each way of pruning costs.

    python benchmarks/pruning_study.py [--candles FILE] [--seeds 5] [--tasks digits spx btc]

scikit-learn's digits (Conv2D; the data ship with the package), spx_forecast (its data ship with arch), btc_direction
(needs a candle file; skipped without). Every finished seed is added to ``benchmarks/pruning_study.json``; a seed that
stands there is not run again. ``pruning_study_page.py`` makes docs/pruning_study.md of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data.evaluation import evaluate
from toolchain.data.samples import load as load_samples
from toolchain.data.samples import save as save_samples
from toolchain.data.stage import prepare
from toolchain.model.architectures import build
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import graph_of
from toolchain.model.kernels import kernels_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.model.training import loss_of
from toolchain.network.constant_products import lut_equivalents
from toolchain.project import PruneSection, load_project
from toolchain.prune.criteria.hardware import words
from toolchain.prune.masked_training import MaskedTraining, Run, Weights
from toolchain.prune.scoring import operands
from toolchain.prune.strategies import STRATEGIES, Setting, Stop, initial_weights
from toolchain.prune.surgery import apply, plan_sparsity, remove_dead
from toolchain.results import DataResult, Job, Loss, Part, Samples

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_suffix(".json")
SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
UNITS_GONE = (0.25, 0.5, 0.625, 0.75, 0.875)
#: The hardware count chooses its points on the validation part: a larger one, at the price of training samples.
HARDWARE_TRAINING = 838
HARDWARE_BITS = 6


@dataclass(frozen=True, eq=False)
class Task:
    """Data, an untrained graph, and how it is trained; the kernels in ``skip`` stay whole: first and last."""

    name: str
    data: DataResult
    samples: Samples
    graph: Graph
    epochs: int
    batch_size: int
    learning_rate: float
    skip: tuple[str, ...]

    @property
    def loss(self) -> Loss:
        return loss_of(self.data)

    def section(self, **options: Any) -> PruneSection:
        return PruneSection(**{"epochs": self.epochs, "skip": self.skip, **options})


def digits(training: int = 1078) -> Task:
    """1,797 images of 8 x 8, shuffled once: ``training`` of the first 70 %, the rest of them to judge by, 30 % test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = found.images[..., None] / 16.0, np.eye(10)[found.target]
    order = np.random.default_rng(0).permutation(len(x))

    def part(places: np.ndarray) -> Part:
        return Part(x[places], y[places], np.zeros(0), np.arange(len(places)))

    samples = Samples(part(order[:training]), part(order[training:1258]), part(order[1258:]))
    with tempfile.TemporaryDirectory() as folder:
        digest = save_samples(samples, Path(folder))
    data = DataResult(
        source="digits", task="multiclass", metric="accuracy", unit="", input_shape=(8, 8, 1), outputs=10,
        feature_names=(), y_scale=1.0, y_offset=0.0, counts={}, first_test_time="", last_test_time="", sha256=digest,
    )  # fmt: skip
    keras = load_tensorflow().keras
    layers = keras.layers
    net = [
        layers.Conv2D(16, 3, name="conv1"),
        layers.ReLU(),
        layers.Conv2D(16, 3, name="conv2"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(32, name="dense1"),
        layers.ReLU(),
        layers.Dense(10, name="dense2"),
    ]
    graph = graph_of(keras.Sequential([keras.Input((8, 8, 1)), *net]))
    return Task("digits", data, samples, graph, 60, 32, 3e-3, ("conv1", "dense2"))


def project_task(name: str, candles: str, epochs: int, batch_size: int, skip: tuple[str, ...]) -> Task:
    """A project of hls_projects/ with its own data, architecture and learning rate."""
    settings = [f"data.path={candles}"] if candles else []
    project = load_project(ROOT / "hls_projects" / name, settings)
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(project.data, Job(Path(folder), Path.cwd()))
        data.at(Path(folder))
        samples = load_samples(data)
    graph = graph_of(build(project.model, data))
    short = name.split("_")[0]
    return Task(short, data, samples, graph, epochs, batch_size, project.train.learning_rate, skip)


class Bench:
    """One task and one seed: the dense model, and how networks that come of it are measured."""

    def __init__(self, task: Task, network: MaskedTraining, seed: int) -> None:
        self.task, self.network, self.seed = task, network, seed
        run = Run(task.epochs, task.learning_rate, seed)
        network.dense = network.train(initial_weights(network.graph, seed), {}, run)
        self.rows: list[dict[str, Any]] = []
        self.add("dense", 0.0, network, network.dense)

    def metric(self, network: MaskedTraining, weights: Weights, part: str = "test") -> float:
        found: Part = getattr(self.task.samples, part)
        return evaluate(self.task.data, found, network.outputs(weights, found.x)).value

    def add(self, method: str, sparsity: float, network: MaskedTraining, weights: Weights, **more: float) -> None:
        kernels = network.kernels(weights)
        nonzero = sum(int(np.count_nonzero(kernel)) for kernel in kernels.values())
        biases = sum(value.size for value in weights) - sum(kernel.size for kernel in kernels.values())
        row = {"task": self.task.name, "seed": self.seed, "method": method, "sparsity": sparsity,
               "parameters": nonzero + biases, "test": self.metric(network, weights),
               "train": self.metric(network, weights, "train"), **more}  # fmt: skip
        self.rows.append(row)

    def stops(self, strategy: str, learning_rate: float | None = None, **options: Any) -> Iterator[Stop]:
        section = self.task.section(strategy=strategy, **options)
        setting = Setting(self.network, section, learning_rate or self.task.learning_rate, self.seed)
        yield from STRATEGIES[strategy](setting)


def unstructured(bench: Bench) -> None:
    """One-shot, one-shot with as many epochs as training had, gradual, iterative, tickets."""
    for sparsity in SPARSITIES:
        for method, strategy, options in (
            ("one-shot", "one_shot", {}),
            ("one-shot, as long as training", "one_shot", {"fine_tune_share": 1.0}),
            ("gradual", "gradual", {"schedule": "cubic", "learning_rate_factor": 0.5}),
        ):  # fmt: skip
            for stop in bench.stops(strategy, final_sparsity=sparsity, **options):
                bench.add(method, stop.sparsity, bench.network, stop.weights)
    for stop in bench.stops("iterative", final_sparsity=0.98, pruned_share=0.2):
        bench.add("iterative", stop.sparsity, bench.network, stop.weights)
    for method, epoch in (("ticket (init)", 0), ("ticket (late)", max(1, bench.task.epochs // 10))):
        for stop in bench.stops("lottery_ticket", final_sparsity=0.98, pruned_share=0.4, rewind_epoch=epoch):
            bench.add(method, stop.sparsity, bench.network, stop.weights)


def structured(bench: Bench) -> None:
    """Units cut, fine-tuned; beside it the same size from scratch, and weights pruned to the same count."""
    task, dense = bench.task, bench.network.graph_with(bench.network.dense)
    whole = dense.parameters
    total = sum(kernel.size for key, kernel in kernels_of(dense).items() if key not in task.skip)
    run = Setting(bench.network, task.section(), task.learning_rate, bench.seed).fine_tuning
    for share in UNITS_GONE:
        plan = plan_sparsity(dense, share)
        small = MaskedTraining(apply(dense, plan), task.samples, task.loss, task.batch_size)
        sparsity = 1 - small.graph.parameters / whole
        bench.add("structured", sparsity, small, small.train(small.dense, {}, run), units_gone=share)
        scratch = Run(task.epochs, task.learning_rate, bench.seed)
        start = initial_weights(small.graph, bench.seed)
        bench.add("small, from scratch", sparsity, small, small.train(start, {}, scratch), units_gone=share)
        gone = whole - small.graph.parameters
        if gone < total:
            for stop in bench.stops("one_shot", final_sparsity=gone / total):
                bench.add("unstructured, same count", sparsity, bench.network, stop.weights, units_gone=share)


def hardware(bench: Bench) -> None:
    """Look-up-table equivalents and accuracy of the rounded weights, round by round.

    All ways train alike: rounds of p = 0.2, 20 epochs at half the learning rate in each. "every layer alike" is what
    magnitude pruning does unless it is told more.
    """
    whole, everywhere = {"scope": "network"}, {"scope": "network", "skip": ()}
    by_hardware = {"weight_criterion": "hardware", "hardware_bits": HARDWARE_BITS}
    ways: dict[str, dict[str, Any]] = {
        "magnitude, every layer alike": {"skip": ()},
        "magnitude, one threshold": everywhere,
        "hardware, one threshold": {**everywhere, **by_hardware},
        "magnitude, first and last whole": {},
        "magnitude, one threshold, first and last whole": whole,
        "hardware, one threshold, first and last whole": {**whole, **by_hardware},
    }
    effort = {"fine_tune_share": 1 / 3, "fine_tune_learning_rate_factor": 0.5, "pruned_share": 0.2}
    rounded, cost = rounded_to_words(bench.network, bench.network.dense)
    bench.add("hardware count: dense", 0.0, bench.network, rounded, lut_equivalents=cost,
              validation=bench.metric(bench.network, rounded, "validation"))  # fmt: skip
    for name, options in ways.items():
        for stop in bench.stops("iterative", final_sparsity=0.985, **effort, **options):
            rounded, cost = rounded_to_words(bench.network, stop.weights)
            bench.add(f"hardware count: {name}", stop.sparsity, bench.network, rounded, lut_equivalents=cost,
                      validation=bench.metric(bench.network, rounded, "validation"))  # fmt: skip


def rounded_to_words(network: MaskedTraining, weights: Weights) -> tuple[Weights, float]:
    """The network with every kernel on a grid of ``HARDWARE_BITS``-bit words, and what its kernels cost.

    Dead units are taken out before counting, as the prune stage does it.
    """
    masked = {}
    for key, kernel in network.kernels(weights).items():
        integers = words(kernel, HARDWARE_BITS)
        used = np.abs(integers) > 0
        scale = 2.0 ** np.round(np.log2(np.median(np.abs(kernel[used] / integers[used]))))
        masked[key] = integers * scale
    network.model.set_weights(weights)
    for key, kernel in masked.items():
        network.variables[key].assign(kernel.astype(np.float32))
    rounded = network.model.get_weights()
    left = kernels_of(remove_dead(network.graph_with(rounded)))
    cost = sum(
        lut_equivalents(words(kernel, HARDWARE_BITS), operands(kernel, HARDWARE_BITS)) for kernel in left.values()
    )
    return rounded, cost


def main() -> None:
    """Run what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", default="", help="candle file of btc_direction")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=["digits", "spx", "btc"])
    given = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in given.tasks:
        todo = [
            (seed, part)
            for seed in range(given.seeds)
            for part in (unstructured, structured, *([hardware] if name == "digits" else []))
            if f"{name} {seed} {part.__name__}" not in results
        ]
        if not todo:
            continue
        if name == "btc" and not given.candles:
            sys.stderr.write("btc: skipped, no --candles FILE\n")
            continue
        task = {
            "digits": digits,
            "spx": lambda: project_task("spx_forecast", "", 40, 64, ("conv", "forecast")),
            "btc": lambda: project_task("btc_direction", str(Path(given.candles).resolve()), 10, 256, ("logit",)),
        }[name]()
        usual = task, MaskedTraining(task.graph, task.samples, task.loss, task.batch_size)
        for seed, part in todo:
            start = time.monotonic()
            if part is hardware:
                task = digits(HARDWARE_TRAINING)
                bench = Bench(task, MaskedTraining(task.graph, task.samples, task.loss, task.batch_size), seed)
            else:
                bench = Bench(*usual, seed)
            part(bench)
            seconds = round(time.monotonic() - start, 1)
            results[f"{name} {seed} {part.__name__}"] = {"seconds": seconds, "rows": bench.rows}
            lines = [f"{json.dumps(part_name)}: {json.dumps(found)}" for part_name, found in results.items()]
            RESULTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
            sys.stderr.write(f"{name} {seed} {part.__name__}: {seconds} s\n")


if __name__ == "__main__":
    main()
