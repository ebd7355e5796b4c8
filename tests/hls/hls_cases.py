"""Small networks and the records around them, for the tests of hls, csim and verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.csim import simulate
from toolchain.hls.stage import write
from toolchain.network import interpreter, storage
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import CsimSection, HlsSection
from toolchain.results import CsimResult, HlsResult, Job, QuantizeResult, VerifyResult
from toolchain.target import Fpga
from toolchain.verify.stage import verify

FPGA = Fpga(
    part="xcu250-figd2104-2L-e", family="ultrascale_plus", lut=1, ff=1, dsp=1, bram_18k=1, uram=1,
    clock_period_ns=4.0, clock_uncertainty_percent=12.5,
)  # fmt: skip
FAST = CsimSection(optimization="O0")
SAT = (Rounding.RND_CONV, Overflow.SAT)
WEIGHT = FixedPoint(True, 0, 5)


def weights(rng: np.random.Generator, shape: tuple[int, ...], sparsity: float = 0.5) -> np.ndarray:
    return rng.integers(-32, 32, shape) * (rng.random(shape) >= sparsity)


def conv_network(seed: int = 0) -> FixedPointNetwork:
    """Conv1D with padding and stride, ReLU, Flatten, Dense, ReLU, Dense."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("small")
    x = b.input("x", (6, 2), FixedPoint(True, 2, 5, *SAT))
    c = b.convolution(
        "conv", x, weights(rng, (3, 2, 4)), WEIGHT, weights(rng, (4,)), WEIGHT, strides=(2,), padding=((0, 1),)
    )
    r = b.relu("conv_relu", c, FixedPoint(False, 1, 5, *SAT))
    f = b.reshape("flatten", r, (12,))
    d = b.dense("hidden", f, weights(rng, (12, 5)), WEIGHT, weights(rng, (5,)), WEIGHT)
    r = b.relu("hidden_relu", d, FixedPoint(False, 2, 4, *SAT))
    return b.build((b.dense("output", r, weights(rng, (5, 3), 0.2), WEIGHT, weights(rng, (3,)), WEIGHT),))


def quantized(network: FixedPointNetwork, folder: Path, samples: int = 200) -> QuantizeResult:
    """A QuantizeResult around ``network``: random words of the whole input range, and the corner vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    storage.save(network, folder / "network.fpn")
    words = {}
    for seed, port in enumerate(network.inputs, 1):
        low, high = port.result.min_word, port.result.max_word
        drawn = np.random.default_rng(seed).integers(low, high + 1, (samples, *port.shape))
        corners = np.stack([np.full(port.shape, word) for word in (low, low + 1, high - 1, high, 0)])
        words[port.name] = np.concatenate([drawn, np.clip(corners, low, high)])
    arrays: dict[str, Any] = dict(words)
    np.savez(folder / "inputs.npz", **arrays)
    outputs = interpreter.run(network, words)
    values = {node.name: node.result.values_of(outputs[node.name]) for node in network.nodes}
    np.savez(folder / "layers.npz", **values)
    result = QuantizeResult(
        layers=(), parameters=0, learning_rate=0.1, batch_size=1, epochs=0, loss="mse", validation_loss=0.0,
        input_format=str(network.inputs[0].result), float64_layers=(), network_sha256=storage.digest(network),
        saturated_inputs={}, test_samples=samples,
    )  # fmt: skip
    result.at(folder)
    return result


@dataclass
class Run:
    """One network through the three stages, in a folder of its own."""

    network: FixedPointNetwork
    folder: Path
    section: HlsSection
    samples: int = 200
    csim_section: CsimSection = FAST

    def job(self, name: str) -> Job:
        folder = self.folder / name
        number = 0
        while folder.exists():
            number += 1
            folder = self.folder / f"{name}{number}"
        folder.mkdir(parents=True)
        return Job(folder, self.folder)

    def write(self) -> HlsResult:
        self.quantized = quantized(self.network, self.folder / "quantize", self.samples)
        job = self.job("hls")
        self.hls = write(self.quantized, self.section, FPGA, job)
        self.hls.at(job.folder)
        return self.hls

    def simulate(self) -> CsimResult:
        job = self.job("csim")
        self.csim = simulate(self.hls.folder, self.hls, self.quantized, self.csim_section, job)
        self.csim.at(job.folder)
        return self.csim

    def verify(self) -> VerifyResult:
        return verify(self.quantized, self.csim, self.job("verify"))

    def all(self) -> VerifyResult:
        self.write()
        self.simulate()
        return self.verify()

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Change one file of the project; the change must change something."""
        file = self.hls.folder / name
        old = file.read_text()
        new = change(old)
        assert new != old
        file.write_text(new)


def _start(shape: tuple[int, ...], seed: int = 0) -> tuple[NetworkBuilder, str, np.random.Generator]:
    b = NetworkBuilder("small")
    return b, b.input("x", shape, FixedPoint(True, 2, 5, *SAT)), np.random.default_rng(seed)


def _dense(b: NetworkBuilder, name: str, x: str, units: int, rng: np.random.Generator, bias: bool = True) -> str:
    kernel = weights(rng, (b.shape_of(x)[-1], units), 0.3)
    return b.dense(name, x, kernel, WEIGHT, weights(rng, (units,)) if bias else None, WEIGHT if bias else None)


def scale_network() -> FixedPointNetwork:
    """BatchNormalization that was not folded, over a sequence and over features; a Dense on two axes without bias."""
    b, x, rng = _start((4, 3))
    s = b.scale("norm", x, weights(rng, (3,), 0.0), WEIGHT, weights(rng, (3,)), WEIGHT, FixedPoint(True, 2, 4, *SAT))
    d = _dense(b, "steps", s, 4, rng, bias=False)
    r = b.relu("relu", d, FixedPoint(False, 2, 3, *SAT))
    f = b.reshape("flatten", r, (16,))
    s = b.scale("norm2", _dense(b, "hidden", f, 6, rng), weights(rng, (6,), 0.0), WEIGHT, None, None)
    return b.build((_dense(b, "last", s, 2, rng),))


def pool_network() -> FixedPointNetwork:
    """Dilated convolution, ReLU, max pooling, a change of format behind it, Dense."""
    b, x, rng = _start((9, 2))
    c = b.convolution(
        "conv", x, weights(rng, (3, 2, 3)), WEIGHT, weights(rng, (3,)), WEIGHT,
        strides=(1,), padding=((1, 0),), dilation=(2,),
    )  # fmt: skip
    r = b.relu("relu", c, FixedPoint(False, 2, 5, *SAT))
    p = b.max_pool("pool", r, (2,), (2,), ((0, 0),))
    q = b.requantize("narrow", p, FixedPoint(False, 1, 3, Rounding.RND, Overflow.SAT))
    return b.build((_dense(b, "last", b.reshape("flatten", q, (b.shape_of(q)[0] * 3,)), 2, rng),))


def skip_network() -> FixedPointNetwork:
    """Two branches from one ReLU, added; both also change format."""
    b, x, rng = _start((6,))
    h = b.relu("stem", _dense(b, "first", x, 5, rng), FixedPoint(False, 2, 4, *SAT))
    left = b.relu("left_relu", _dense(b, "left", h, 5, rng), FixedPoint(False, 2, 4, *SAT))
    a = b.add("sum", (left, h), FixedPoint(False, 2, 3, Rounding.RND_CONV, Overflow.SAT))
    return b.build((_dense(b, "last", a, 3, rng),))


def modes_network(rounding: Rounding, overflow: Overflow) -> FixedPointNetwork:
    """Changes of format with the given modes: behind a sum, a ReLU, a reshape, another change, and at the end."""
    b, x, rng = _start((4, 3))
    d = _dense(b, "steps", x, 4, rng)
    q = b.requantize("narrow", d, FixedPoint(True, 1, 4, rounding, overflow))
    r = b.relu("relu", q, FixedPoint(False, 0, 4, rounding, overflow))
    q = b.requantize("narrower", r, FixedPoint(False, 0, 3, rounding, overflow))
    d = _dense(b, "hidden", b.reshape("flatten", q, (16,)), 6, rng)
    q = b.requantize("flat", b.reshape("shaped", d, (2, 3)), FixedPoint(True, 1, 3, rounding, overflow))
    r = b.relu("hidden_relu", q, FixedPoint(False, 1, 2, rounding, overflow))
    d = _dense(b, "last", b.reshape("flatten2", r, (6,)), 6, rng)
    q = b.requantize("end", d, FixedPoint(True, 0, 4, rounding, overflow))
    return b.build((b.reshape("port", q, (3, 2)),))


def dead_network() -> FixedPointNetwork:
    """A layer whose weights were all pruned, and one without any positive sum."""
    b, x, rng = _start((5,))
    zeros = np.zeros((5, 3), dtype=np.int64)
    d = b.dense("dead", x, zeros, WEIGHT, np.array([3, 0, -2]), WEIGHT)
    r = b.relu("relu", d, FixedPoint(False, 0, 4, *SAT))
    d = b.dense("zero", r, np.zeros((3, 4), dtype=np.int64), WEIGHT, None, None)
    return b.build((_dense(b, "last", d, 2, rng),))
