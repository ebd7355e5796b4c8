"""What a build's models say about samples."""

from __future__ import annotations

from toolchain.data.ports import by_port
from toolchain.network import storage
from toolchain.network.steps import final_values
from toolchain.results import FloatArray, Part, QuantizeResult


def integer_outputs(quantized: QuantizeResult, part: Part) -> FloatArray:
    """``(samples, outputs)`` of the integer network, bit for bit what the hardware computes."""
    network = storage.load(quantized.folder / "network.fpn")
    return final_values(network, by_port(part.x, network, quantized.input_ports))
