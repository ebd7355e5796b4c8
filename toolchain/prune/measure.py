"""What pruning saved: parameters, multiply-accumulates, multipliers, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.model.graph import Graph, Tensor
from toolchain.model.keras_graph import output_shapes
from toolchain.model.kernels import kernels_of
from toolchain.results import LayerSaving, PruneMeasures


def positions_of(graph: Graph) -> dict[str, int]:
    """How often each kernel is used for one sample, by key: positions of a convolution, steps of a recurrent layer.

    The products between two activations inside attention have no kernel and are not counted; an axis of unknown size
    counts once.
    """
    shapes = output_shapes(graph)
    used = dict.fromkeys(graph.layers, 0)
    for call, layer, out in graph.walk():
        shape = shapes[out]
        if ("Transpose" in layer.kind or layer.kind.removeprefix("Q") in _RECURRENT) and call.inputs:
            read = call.inputs[0]
            shape = shapes[Tensor(read.layer, read.call)]
        used[layer.name] += int(np.prod([size or 1 for size in shape[:-1]], dtype=np.int64))
    return {key: used[key.split("/")[0]] for key in kernels_of(graph)}


_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")


def savings(before: Graph, after: Graph, alone: Mapping[str, float]) -> tuple[LayerSaving, ...]:
    """Multiply-accumulates and multipliers of every kernel before and after; zeros need neither.

    ``alone``: what the zeros of each kernel cost by themselves, as retention.
    """
    first, last = _counts(before), _counts(after)
    return tuple(_saving(key, first[key], last.get(key, (0, 0)), alone[key]) for key in first)


def _saving(key: str, before: tuple[int, int], after: tuple[int, int], alone: float) -> LayerSaving:
    return LayerSaving(
        layer=key, multipliers_before=before[0], multipliers=after[0], macs_before=before[1], macs=after[1],
        sparsity=1 - after[0] / before[0] if before[0] else 0.0,
        compression_ratio=before[0] / after[0] if after[0] else None,
        mac_reduction=1 - after[1] / before[1] if before[1] else 0.0, retention_alone=alone,
    )  # fmt: skip


def compression_ratio(before: Graph, after: Graph) -> float:
    """Parameters before, for each one that is left and not a pruned zero: biases and statistics count."""
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels_of(after).values())
    return before.parameters / max(after.parameters - zeros, 1)


def _counts(graph: Graph) -> Mapping[str, tuple[int, int]]:
    positions = positions_of(graph)
    nonzero = {key: int(np.count_nonzero(kernel)) for key, kernel in kernels_of(graph).items()}
    return {key: (count, count * positions[key]) for key, count in nonzero.items()}


#: Relative loss of the metric from which the report says what would make it smaller.
LARGE_LOSS = 0.05
#: Weights left for a unit below which a kernel is named as one to leave whole.
_FEW = 4.0


def notes_on(measures: PruneMeasures, after: Graph) -> tuple[str, ...]:
    """Of a pruning that cost more than ``LARGE_LOSS``: how much, which kernels are left with little, and ways out."""
    if not measures.retention < 1 - LARGE_LOSS:
        return ()
    values = f"{measures.metric} {measures.metric_before:.4g} before, {measures.metric_after:.4g} after"
    few = []
    for key, kernel in kernels_of(after).items():
        left = int(np.count_nonzero(kernel))
        if left < kernel.size and left < _FEW * kernel.shape[-1]:
            few.append(f"{key} ({left} weights for {kernel.shape[-1]} units)")
    names = ", ".join(f"'{text.split()[0].split('/')[0]}'" for text in few[:3])
    small = f" Little is left in {', '.join(few[:3])}: [prune] skip = [{names}] leaves them whole." if few else ""
    return (
        f"pruning cost much on the validation part: {values}.{small} Other ways: more [prune] epochs, less "
        f"final_sparsity, or accuracy_loss = {LARGE_LOSS:g}, which prunes only that far.",
    )
