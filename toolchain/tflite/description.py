"""The int8 artefact in words and in JSON: what holds exactly, and the bound where it does not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.network import storage
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.check import Agreement
from toolchain.tflite.costs import count_costs
from toolchain.tflite.operators import IntegerModel, ModelPort


@dataclass(frozen=True, slots=True)
class PortCost:
    """What rounding the ports to 8 bits costs on the test part, against the network on unrounded inputs: the largest
    difference in its output units, and for classes the share of equal decisions. ``saturated_inputs`` of the part's
    values lie beyond the input port's ends."""

    saturated_inputs: int
    largest_difference: float
    equal_decisions_share: float | None


def describe(network: FixedPointNetwork, model: IntegerModel, agreement: Agreement, cost: PortCost) -> str:
    """One line for people: what the outputs were compared with, and the result."""
    lines = [
        f"FixedPointNetwork on the same {agreement.samples} inputs (test part and corners): "
        f"{agreement.equal_words_share:.4%} of the output words equal, largest difference "
        f"{agreement.largest_word_difference} LSB (proven: at most {agreement.proven_words}); "
        f"default kernels {agreement.default_equal_words_share:.4%} equal, largest "
        f"{agreement.default_largest_word_difference} LSB; every tensor equals the reference kernels' arithmetic "
        "on the network's integers"
    ]
    for port in model.inputs:
        form, grid = network[port.name].result, port.tensor.grid
        lost = form.fractional_bits - grid.fractional_bits
        if lost:
            name = f"input port '{port.name}'" if len(model.inputs) > 1 else "input port"
            lines.append(
                f"{name} rounds {lost} bits of {form} away (error at most half its LSB from "
                f"{grid.low * grid.scale:g} to {grid.high * grid.scale:g}; {cost.saturated_inputs} test values lie "
                f"beyond{' any port' if len(model.inputs) > 1 else ''})"
            )
    lines.append(
        f"against the network on unrounded inputs and results: largest difference {cost.largest_difference:.6g} "
        f"(output LSB {', '.join(f'{port.tensor.grid.scale:.6g}' for port in model.outputs)})"
    )
    totals = _costs(model)
    lines.append(
        f"{totals['macs']:,} multiplications an inference ({totals['nonzero_macs']:,} by other than zero), "
        f"{totals['bytes_moved']:,} bytes moved at least"
    )
    if cost.equal_decisions_share is not None:
        lines.append(f"equal decisions {cost.equal_decisions_share:.4%}")
    return "; ".join(lines)


def write_description(
    path: Path, network: FixedPointNetwork, model: IntegerModel, agreement: Agreement, targets: tuple[str, ...] = ()
) -> None:
    """Write the ports' quantization and the bound per layer as JSON; ``targets`` are the names of the outputs."""
    outputs = [_port(port) for port in model.outputs]
    for port, target in zip(outputs, targets, strict=bool(targets)):
        port["output"] = target
    content: dict[str, Any] = {
        "network_sha256": storage.digest(network),
        **({"input": _port(model.inputs[0])} if len(model.inputs) == 1 else {}),
        "inputs": [_port(port) for port in model.inputs],
        **({"output": outputs[0]} if len(outputs) == 1 else {}),
        "outputs": outputs,
        "equal_words_share": agreement.equal_words_share,
        "largest_word_difference": agreement.largest_word_difference,
        "default_kernels": {
            "equal_words_share": agreement.default_equal_words_share,
            "largest_word_difference": agreement.default_largest_word_difference,
        },
        "bounds": [
            {"node": b.node, "layer": b.layer, "words": b.words, "own_words": b.own_words, "reason": b.reason}
            for b in agreement.bounds
        ],
        "cost": _costs(model),
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _costs(model: IntegerModel) -> dict[str, Any]:
    """Totals of one inference, and the same by operator."""
    costs = count_costs(model)
    names = ("macs", "nonzero_macs", "constant_bytes", "activation_bytes", "bytes_moved")
    totals = {name: sum(getattr(cost, name) for cost in costs) for name in names}
    layers = [{"layer": c.layer, "operator": c.kind, **{name: getattr(c, name) for name in names}} for c in costs]
    return {**totals, "operators": layers}


def _port(port: ModelPort) -> dict[str, Any]:
    tensor, rounding = port.tensor, str(port.rounding)
    grid = tensor.grid
    ends = [grid.low * grid.scale, grid.high * grid.scale]
    return {
        "name": port.name, "shape": list(tensor.shape), "scale": grid.scale, "zero_point": grid.zero_point,
        "range": ends, "rounding": rounding,
    }  # fmt: skip
