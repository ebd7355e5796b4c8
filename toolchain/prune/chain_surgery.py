"""Structured pruning: neurons and filters are cut out, and everything that read them with them.

A *group* is one layer's output units together with the input rows of the next kernel that they feed (through ReLU and,
by index arithmetic, through Flatten). The last kernel's outputs are the model's and are never cut.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.chain import Chain, Link
from toolchain.model.graph import Graph
from toolchain.model.keras_chain import build_keras as build_chain
from toolchain.model.keras_chain import chain_of
from toolchain.model.keras_graph import build_keras, graph_of
from toolchain.project import PruneSection
from toolchain.prune.criteria import norm


def remove_least(chain: Chain, section: PruneSection) -> Chain:
    """Cut ``floor(structured_sparsity * units)`` least important units from every hidden layer not in ``skip``.

    Of equally important units the first goes first; one unit always stays.
    """
    for link in chain.kernels()[:-1]:
        assert link.kernel is not None
        units = link.kernel.shape[-1]
        cut = min(int(section.structured_sparsity * units + 1e-9), units - 1)
        if cut and link.name not in section.skip:
            order = np.argsort(norm.importance(link.kernel, section.criterion), kind="stable")
            chain = keep_units(chain, link.name, np.sort(order[cut:]))
    return chain


def remove_dead(chain: Chain, skip: tuple[str, ...] = ()) -> Chain:
    """Cut the units that no weight feeds or that feed no weight; exact: what a constant unit gave moves into a bias.

    Cutting one layer can leave units of another without a reader, so this goes on until nothing changes.
    """
    while True:
        smaller = chain
        for link in (found for found in chain.kernels()[:-1] if found.name not in skip):
            dead = dead_units(smaller, link.name)
            if dead.all():
                dead[0] = False  # a layer is never emptied
            if dead.any():
                smaller = keep_units(_fold_constants(smaller, link.name, dead), link.name, np.flatnonzero(~dead))
        if smaller is chain:
            return chain
        chain = smaller


def dead_units(chain: Chain, name: str) -> np.ndarray:
    """Which output units of layer ``name`` can be cut without changing the function, ``(units,)`` bool."""
    link, reader = _at(chain, name), _reader(chain, name)
    assert link.kernel is not None
    assert reader.kernel is not None
    unfed = (link.kernel.reshape(-1, link.kernel.shape[-1]) == 0).all(axis=0)
    rows = _rows_by_unit(chain, name)
    axis = reader.kernel.ndim - 2
    feeding = np.array([np.take(reader.kernel, taken, axis=axis).any() for taken in rows])
    foldable = reader.kind == "dense" or reader.padding == "valid"
    constants = np.zeros(len(unfed)) if link.bias is None else link.bias
    silent = np.maximum(constants, 0) == 0 if _has_relu(chain, name) else constants == 0
    return np.asarray((unfed & (foldable | silent)) | ~feeding)


def keep_units(chain: Chain, name: str, keep: np.ndarray) -> Chain:
    """The chain with only the output units ``keep`` of layer ``name``, and the matching inputs of the next kernel."""
    link, reader = _at(chain, name), _reader(chain, name)
    assert link.kernel is not None
    assert reader.kernel is not None
    rows = np.sort(np.concatenate([_rows_by_unit(chain, name)[unit] for unit in keep]))
    smaller = replace(link, kernel=link.kernel[..., keep], bias=None if link.bias is None else link.bias[keep])
    shorter = replace(reader, kernel=np.take(reader.kernel, rows, axis=reader.kernel.ndim - 2))
    return _with(_with(chain, smaller), shorter)


def _fold_constants(chain: Chain, name: str, dead: np.ndarray) -> Chain:
    link, reader = _at(chain, name), _reader(chain, name)
    if link.bias is None or link.kernel is None or reader.kernel is None:
        return chain
    unfed = (link.kernel.reshape(-1, link.kernel.shape[-1]) == 0).all(axis=0) & dead
    constants = np.where(unfed, np.maximum(link.bias, 0) if _has_relu(chain, name) else link.bias, 0.0)
    if not constants.any():
        return chain
    rows = _rows_by_unit(chain, name)
    by_input = np.zeros(reader.kernel.shape[-2])
    for unit, taken in enumerate(rows):
        by_input[taken] = constants[unit]
    added = by_input @ reader.kernel.reshape(-1, *reader.kernel.shape[-2:]).sum(axis=0)
    bias = added if reader.bias is None else reader.bias + added
    return _with(chain, replace(reader, bias=bias))


def _rows_by_unit(chain: Chain, name: str) -> list[np.ndarray]:
    """For each output unit of ``name``, which input channels of the next kernel it feeds."""
    place = _place(chain, name)
    units = chain.shapes()[place][-1]
    positions = 1
    for link, shape in zip(chain.links[place + 1 :], chain.shapes()[place:], strict=False):
        if link.has_kernel:
            break
        if link.kind == "flatten":
            positions *= int(np.prod(shape[:-1]))
    return [np.arange(positions) * units + unit for unit in range(units)]


def _has_relu(chain: Chain, name: str) -> bool:
    for link in chain.links[_place(chain, name) + 1 :]:
        if link.has_kernel:
            return False
        if link.kind == "relu":
            return True
    return False


def _place(chain: Chain, name: str) -> int:
    return next(i for i, link in enumerate(chain.links) if link.name == name)


def _at(chain: Chain, name: str) -> Link:
    return chain.links[_place(chain, name)]


def _reader(chain: Chain, name: str) -> Link:
    """The next layer with a kernel."""
    return next(link for link in chain.links[_place(chain, name) + 1 :] if link.has_kernel)


def _with(chain: Chain, link: Link) -> Chain:
    return replace(chain, links=tuple(link if old.name == link.name else old for old in chain.links))


def cut(graph: Graph, section: PruneSection) -> Graph:
    """A graph that is a plain chain, its least important and its dead units cut; another graph is left whole.

    Raises UnsupportedModelError when units are to be cut from a graph that is no chain.
    """
    if not _is_chain(graph):
        if section.structured_sparsity:
            raise UnsupportedModelError(
                "structured pruning works on plain chains of Dense, Conv1D, ReLU and Flatten",
                where="[prune] structured_sparsity", allowed="0 for this model",
            )  # fmt: skip
        return graph
    chain = chain_of(build_keras(graph))
    smaller = remove_dead(remove_least(chain, section), section.skip)
    return graph if smaller is chain else graph_of(build_chain(smaller))


def _is_chain(graph: Graph) -> bool:
    straight = len(graph.inputs) == len(graph.outputs) == 1 and all(
        call.inputs == (before,) for (_, _, before), (call, _, _) in pairwise(graph.walk())
    )
    return straight and all(layer.kind in _KINDS for layer in graph.layers.values())


_KINDS = ("InputLayer", "Dense", "Conv1D", "ReLU", "Flatten")
