"""Words that were changed after they were computed: what the layers behind were made from tells."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.nodes import FixedPointNetwork, Node
from toolchain.network.words import output_files
from toolchain.verify.grids import differing
from toolchain.verify.region import region_of

_CHANGED = "its words were changed after the simulation"


def changed_afterwards(
    network: FixedPointNetwork,
    words: dict[str, Words],
    counts: dict[str, int],
    node: Node,
    found: tuple[Words, FixedPoint],
) -> str:
    """Why the words ``found`` of ``node`` (and their format) cannot be those that it put out, or ``""``.

    ``counts`` are the differing words of every recorded layer and port.
    """
    ports = [name for name, output in output_files(network).items() if output == node.name]
    if ports and not counts.get(ports[0], 1):
        return f"{_CHANGED}: the output port holds the expected ones"
    recorded = set(counts)
    for later in network.nodes:
        if counts.get(later.name, 1) == 0 and later.inputs:
            region = region_of(network, words, later, words[later.name], later.result, recorded)
            if any(node.name in item.inputs for item in region.nodes):
                made, kind = region.from_words(node.name, *found)
                if differing(made, kind, words[later.name], later.result).any():
                    return f"{_CHANGED}: {later.name} was computed from the expected ones"
    return _moved(words[node.name], node.result, *found)


def _moved(expected: Words, asked: FixedPoint, found: Words, form: FixedPoint) -> str:
    """Whether the samples stand in another order."""
    for lines in (1, -1):
        if not differing(np.roll(expected, lines, axis=0), asked, found, form).any():
            return f"{_CHANGED}: its lines are moved by {lines}"
    value = [kind.values_of(words).reshape(len(words), -1) for kind, words in ((asked, expected), (form, found))]
    one, other = (rows[np.lexsort(rows.T[::-1])] for rows in value)
    if (one == other).all():
        return f"{_CHANGED}: the samples stand in another order"
    return ""
