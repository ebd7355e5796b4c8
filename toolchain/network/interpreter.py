"""The exact interpreter: words in, words of every node out. The shadow of ``docs/fixed_point_network.md``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.arithmetic import exact
from toolchain.network.nodes import FixedPointNetwork, Input, Linear, Node
from toolchain.network.plan import Plan
from toolchain.network.scratch import Scratch

#: Words of the widest node in one batch: few enough for a core's cache, so many that the calls do not count.
_BATCH_WORDS = 1 << 17
#: A larger scratch is not kept for the next batch.
_KEPT_BYTES = 16 << 20
_THREADS = min(2, os.cpu_count() or 1)
#: Batches that are worth starting threads.
_WORTH_THREADS = 4


def quantize_inputs(network: FixedPointNetwork, values: Mapping[str, np.ndarray]) -> dict[str, Words]:
    """The input words of real ``values`` (``(samples, *shape)`` by input name)."""
    return {node.name: node.result.words_of(values[node.name]) for node in network.inputs}


def run(
    network: FixedPointNetwork, inputs: Mapping[str, Words], only: Collection[str] | None = None
) -> dict[str, Words]:  # fmt: skip
    """The words of every node, ``(samples, *shape)`` by node name, for input words of the same form.

    ``only``: of these nodes alone. Runs in batches that stay in the processor's cache, two at once when many.
    Raises ValueError when an input is missing, has the wrong shape or holds a word outside its format.
    """
    words = {node.name: _checked(node, inputs) for node in network.inputs}
    wanted = [node for node in network.nodes if only is None or node.name in only]
    samples = max((len(array) for array in words.values()), default=0)
    widest = max(node.size for node in network.nodes)
    size = _batch_size(samples, widest)
    names = None if only is None else [node.name for node in wanted]
    plan, found = _plan(network), {node.name: np.empty((samples, *node.shape), dtype=np.int64) for node in wanted}

    def run_batch(start: int) -> dict[str, Words]:
        """Object words of a batch; all others are put where they belong."""
        part = slice(start, start + size)
        try:
            scratch = plan.scratches.pop()
        except IndexError:
            scratch = Scratch()
        with scratch.lent():
            batch = plan.run({name: array[part] for name, array in words.items()}, names)
            for node in wanted:
                if batch[node.name].dtype != object:
                    found[node.name][part] = batch[node.name]
        if scratch.size <= _KEPT_BYTES:
            plan.scratches.append(scratch)
        return {node.name: batch[node.name] for node in wanted if batch[node.name].dtype == object}

    starts = range(0, samples, size)
    if len(starts) >= _WORTH_THREADS:
        with ThreadPoolExecutor(_THREADS) as pool:
            wide = list(pool.map(run_batch, starts))
    else:
        wide = [run_batch(start) for start in starts]
    return {name: _with_wide(array, name, wide, size) for name, array in found.items()}


def _batch_size(samples: int, widest: int) -> int:
    """Samples of a batch: the same for all batches, and as many batches for each thread, where there are threads."""
    batches = -(-samples * widest // _BATCH_WORDS)
    if batches >= _WORTH_THREADS:
        batches = -(-batches // _THREADS) * _THREADS
    return max(1, -(-samples // max(batches, 1)))


def _with_wide(words: Words, name: str, wide: list[dict[str, Words]], size: int) -> Words:
    """``words`` and those of the batches that do not fit into 64 bits."""
    if not any(name in batch for batch in wide):
        return words
    words = words.astype(object)
    for number, batch in enumerate(wide):
        if name in batch:
            words[number * size : (number + 1) * size] = batch[name]
    return words


@lru_cache(maxsize=8)
def _plan(network: FixedPointNetwork) -> Plan:
    return Plan(network)  # networks are immutable and compared by identity


def evaluate(node: Node, network: FixedPointNetwork, inputs: list[Words]) -> Words:
    """The words of one node, given those of its inputs."""
    before, fractional_bits = exact_value(node, network, inputs)
    if isinstance(node, Linear):
        before = node.accumulator.requantize(before, fractional_bits)
        fractional_bits = node.accumulator.fractional_bits
    return node.result.requantize(before, fractional_bits)


def exact_value(node: Node, network: FixedPointNetwork, inputs: list[Words]) -> tuple[Words, int]:
    """What the operator gives before any format is applied: integers, and the fractional bits of their grid."""
    return exact(node, inputs, [network[name].result.fractional_bits for name in node.inputs])


def _checked(node: Input, inputs: Mapping[str, Words]) -> Words:
    if node.name not in inputs:
        raise ValueError(f"no words for input {node.name!r}")
    words = np.asarray(inputs[node.name])
    if words.shape[1:] != node.shape:
        raise ValueError(f"input {node.name!r} has shape {words.shape[1:]}, expected {node.shape}")
    if words.size and not (node.result.min_word <= words.min() and words.max() <= node.result.max_word):
        raise ValueError(f"input {node.name!r} holds a word outside {node.result}")
    return words.astype(np.int64, copy=False) if words.dtype != object else words
