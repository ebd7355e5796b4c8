"""What one inference costs, counted from the model: multiplications, bytes of weights, bytes read and written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.network.nodes import Convolution, Dense
from toolchain.tflite.operators import IntegerModel, LinearOperator, LookupOperator, Operator, ProductOperator


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """``macs``: multiplications that kernels do (a dense kernel does those by zero too), ``nonzero_macs``: those by a
    weight other than zero. Bytes: constants, and activations read and written, each once."""

    layer: str
    kind: str
    macs: int
    nonzero_macs: int
    constant_bytes: int
    activation_bytes: int

    @property
    def bytes_moved(self) -> int:
        """Every byte that has to be read or written at least once."""
        return self.constant_bytes + self.activation_bytes


def count_costs(model: IntegerModel) -> tuple[OperatorCost, ...]:
    """The cost of each operator, in the order of execution; of one sample."""
    return tuple(_cost(operator) for operator in model.operators)


def _cost(operator: Operator) -> OperatorCost:
    tensors = (*operator.inputs, operator.output)
    moved = sum(int(np.prod(tensor.shape, dtype=np.int64)) * tensor.grid.bits // 8 for tensor in tensors)
    macs = nonzero = constants = 0
    if isinstance(operator, LinearOperator):
        per_channel = operator.kernel.reshape(-1, operator.kernel.shape[-1])
        places = int(np.prod(operator.output.shape[:-1], dtype=np.int64))
        macs, nonzero = places * per_channel.size, places * int(np.count_nonzero(per_channel))
        constants = per_channel.size + len(operator.bias) * (4 if operator.input.grid.bits == 8 else 8)
    elif isinstance(operator, LookupOperator):
        constants = operator.table.nbytes
    elif isinstance(operator, ProductOperator):
        macs = nonzero = int(np.prod(operator.output.shape, dtype=np.int64))
    return OperatorCost(operator.layer, _kind(operator), macs, nonzero, constants, moved)


def _kind(operator: Operator) -> str:
    """TFLite's name of a linear operator, else the class's first word."""
    if isinstance(operator, LinearOperator):
        if isinstance(operator.node, Dense):
            return "FULLY_CONNECTED"
        return "CONV_2D" if isinstance(operator.node, Convolution) else "DEPTHWISE_CONV_2D"
    return type(operator).__name__.removesuffix("Operator").lower()
