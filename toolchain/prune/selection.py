"""From scores to masks: the least important weights or blocks go, in every kernel or over the whole network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from toolchain.errors import ProjectError
from toolchain.model.graph import Array
from toolchain.model.kernels import Mask

Block = tuple[int, int]


def layer_masks(
    scores: Mapping[str, Array], alive: Mapping[str, Mask], targets: Mapping[str, float], block: Block = (1, 1)
) -> dict[str, Mask]:
    """Per kernel, at least ``ceil(target * n)`` weights or blocks gone; what was gone before goes first and stays gone.

    ``scores``, ``alive``: by kernel, of its shape. Of equal scores the first goes first; one weight or block stays.
    Raises ProjectError for a block larger than a kernel's matrix.
    """
    found = {}
    for key, target in targets.items():
        pooled = pool(np.where(alive[key], scores[key], -np.inf), block, key)
        keep = np.ones(pooled.size, dtype=np.bool_)
        gone = min(math.ceil(target * pooled.size - 1e-9), pooled.size - 1)
        keep[np.argsort(pooled.reshape(-1), kind="stable")[:gone]] = False
        found[key] = alive[key] & spread(keep.reshape(pooled.shape), alive[key].shape, block)
    return found


def network_masks(
    scores: Mapping[str, Array], alive: Mapping[str, Mask], sparsity: float, block: Block = (1, 1)
) -> dict[str, Mask]:
    """One threshold over all kernels: at least ``ceil(sparsity * n)`` of all weights (blocks) gone.

    The most important weight (block) of every kernel stays, so that no layer is emptied. Raises ProjectError.
    """
    pooled = {key: pool(np.where(alive[key], scores[key], -np.inf), block, key) for key in scores}
    order: list[Array] = []
    for values in pooled.values():
        flat = values.reshape(-1).copy()
        flat[int(flat.argmax())] = np.inf
        order.append(flat)
    together = np.concatenate(order)
    keep = np.ones(together.size, dtype=np.bool_)
    gone = min(math.ceil(sparsity * together.size - 1e-9), together.size - len(pooled))
    keep[np.argsort(together, kind="stable")[:gone]] = False
    found, start = {}, 0
    for key, values in pooled.items():
        part = keep[start : start + values.size].reshape(values.shape)
        found[key] = alive[key] & spread(part, alive[key].shape, block)
        start += values.size
    return found


def pool(scores: Array, block: Block, where: str) -> Array:
    """Mean score of every ``rows x columns`` block of the kernel's matrix ``(inputs, units)``, windows stacked.

    Blocks at the edge are smaller. A block whose every weight is gone scores minus infinity; others leave those out.
    """
    if block == (1, 1):
        return scores
    matrix = scores.reshape(-1, scores.shape[-1])
    if block[0] > matrix.shape[0] or block[1] > matrix.shape[1]:
        raise ProjectError(
            f"a block of {block[0]} x {block[1]} is larger than the kernel of '{where}', "
            f"{matrix.shape[0]} x {matrix.shape[1]}",
            where="[prune] block", hint="a smaller block, or the layer in skip",
        )  # fmt: skip
    rows, columns = np.arange(0, matrix.shape[0], block[0]), np.arange(0, matrix.shape[1], block[1])

    def sums(values: Array) -> Array:
        return np.asarray(np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1))

    there = np.isfinite(matrix)
    count = sums(there.astype(np.float64))
    return np.where(count > 0, sums(np.where(there, matrix, 0.0)) / np.maximum(count, 1), -np.inf)


def spread(keep: Mask, shape: tuple[int, ...], block: Block) -> Mask:
    """A mask over blocks as a mask over the weights of ``shape``."""
    if block == (1, 1):
        return keep
    rows = int(np.prod(shape[:-1]))
    wide = np.repeat(np.repeat(keep, block[0], axis=0), block[1], axis=1)[:rows, : shape[-1]]
    return np.asarray(wide.reshape(shape))
