"""One model of a selftest: drawn, written as an HLS project by the product's own stage, and judged by its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from toolchain.errors import BitMismatchError, ToolchainError
from toolchain.fixed_point import FixedPoint, Words
from toolchain.hls.csim import changed_files
from toolchain.hls.readback import find_differences
from toolchain.hls.stage import write
from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.words import read_formats
from toolchain.project import HlsSection
from toolchain.results import Comparison, CsimResult, HlsResult, Job, QuantizeResult
from toolchain.selftest import generator, random_options, vectors
from toolchain.selftest.program import Program
from toolchain.target import load_target
from toolchain.verify.stage import compare_hardware

if TYPE_CHECKING:
    from toolchain.quantize.from_qkeras import Reading

TARGET = "alveo_u250"
#: What a model is drawn as: the integer network itself, or a QKeras model that the network is read from.
Front = Literal["network", "qkeras"]


@dataclass
class Candidate:
    """A network, its options and its input words, in a folder of its own."""

    number: int
    network: FixedPointNetwork
    section: HlsSection
    inputs: dict[str, Words]
    folder: Path
    hls: HlsResult | None = None
    reading: Reading | None = None  # where the network was read from

    @property
    def project(self) -> Path:
        return self.folder / "hls"

    def write(self) -> None:
        """Write the HLS project. Raises ToolchainError: refused, or not written as asked."""
        fpga = load_target(TARGET).fpga
        assert fpga is not None
        quantized = self._quantized(self.folder / "quantize")
        self.project.mkdir(parents=True)
        self.hls = write(quantized, self.section, fpga, Job(self.project, self.folder))
        self.hls.at(self.project)

    def different_node(self) -> str:
        """The first node whose words are not those of the QKeras model, or ``""``. Raises UnsupportedModelError."""
        if self.reading is None:
            return ""
        from toolchain.selftest import qkeras_models

        return qkeras_models.different_node(self.reading, self.inputs)

    def judge(self, program: Program) -> Comparison:
        """Run the project and compare every word with the network's.

        Raises BitMismatchError when the C-simulation ends early or a compiled type cannot be read.
        """
        return self.compare(self.simulate(program, self.project, self.project))

    def compare(self, csim: CsimResult) -> Comparison:
        return compare_hardware(self.network, interpreter.run(self.network, self.inputs), csim)

    def simulate(self, program: Program, compiled: Path, sources: Path) -> CsimResult:
        """The words of ``compiled`` in ``csim`` beside it; ``sources`` is the project that the verdict reads."""
        assert self.hls is not None
        folder = compiled.parent / "csim"
        program.run(compiled, self.network, self.inputs, folder)
        formats = _formats(folder)
        result = CsimResult(
            samples=len(next(iter(self.inputs.values()))), compile_seconds=0.0, run_seconds=0.0, compiler="g++",
            formats={name: str(form) for name, form in formats.items()},
            changed_files=tuple(sorted(changed_files(sources, self.hls))),
            differences=tuple(find_differences(sources, self.network, self.hls.layers, formats)),
        )  # fmt: skip
        result.at(folder)
        return result

    def _quantized(self, folder: Path) -> QuantizeResult:
        folder.mkdir(parents=True)
        storage.save(self.network, folder / "network.fpn")
        np.savez(folder / "inputs.npz", **self.inputs)  # type: ignore[arg-type]
        result = QuantizeResult(
            layers=(), parameters=0, learning_rate=0.0, batch_size=1, epochs=0, loss="mse", validation_loss=0.0,
            input_format=str(self.network.inputs[0].result), float64_layers=(), saturated_inputs={},
            network_sha256=storage.digest(self.network), test_samples=len(next(iter(self.inputs.values()))) // 2,
        )  # fmt: skip
        result.at(folder)
        return result


def _formats(folder: Path) -> dict[str, FixedPoint]:
    try:
        return read_formats(folder)
    except (OSError, ValueError) as error:
        raise BitMismatchError(f"a compiled type cannot be read: {error}", where="formats.txt") from None


def draw_candidate(seed: int, number: int, samples: int, folder: Path, front: Front = "network") -> Candidate:
    """Model ``number`` of ``seed``: the same whatever else is drawn.

    Raises UnsupportedModelError when it is drawn as a QKeras model that the reader refuses.
    """
    rng = np.random.default_rng((seed, number, 1))
    ports = random_options.draw_ports(rng)
    stream, reading = ports.io_type == "io_stream", None
    if front == "qkeras":
        from toolchain.selftest import qkeras_models  # TensorFlow, which networks need not wait for

        reading = qkeras_models.draw((seed, number, 2), stream)
    network = reading.network if reading else generator.draw((seed, number, 0), stream)
    section = random_options.draw_layers(rng, network, ports)
    return Candidate(number, network, section, vectors.draw_words(network, samples, rng), folder, reading=reading)


def describe_error(error: ToolchainError) -> str:
    """The error on one line."""
    return " ".join(error.text().split())
