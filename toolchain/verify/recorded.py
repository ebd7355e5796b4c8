"""Words that were changed after they were computed: what the layers behind were made from tells."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.words import output_files
from toolchain.verify.grids import differing
from toolchain.verify.region import Region, region_of

_CHANGED = "its words were changed after the simulation"


def changed_afterwards(region: Region, counts: dict[str, int], formats: dict[str, FixedPoint]) -> str:
    """Why the words found of the last layer of ``region`` cannot be those that it put out, or ``""``.

    ``counts`` are the differing words of every recorded layer and port, ``formats`` their compiled types.
    """
    network, words, node = region.network, region.words, region.last
    ports = [name for name, output in output_files(network).items() if output == node.name]
    if ports and not counts.get(ports[0], 1):
        return f"{_CHANGED}: the output port holds the expected ones"
    recorded = set(counts)
    for later in network.nodes:
        if counts.get(later.name, 1) == 0 and later.inputs:
            behind = region_of(network, words, later, words[later.name], later.result, recorded)
            if any(node.name in item.inputs for item in behind.nodes):
                made, kind = behind.from_words(node.name, region.found, region.form)
                form = formats[later.name]  # it may be tighter than the network's: these words may not fit
                clipped = form.requantize(made, kind.fractional_bits)
                if all(
                    differing(one, its, words[later.name], later.result).any()
                    for one, its in ((made, kind), (clipped, form))
                ):
                    return f"{_CHANGED}: {later.name} was computed from the expected ones"
    return _moved(words[node.name], node.result, region.found, region.form)


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
