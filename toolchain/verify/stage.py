"""Stage ``verify``: two statements, never mixed.

``hardware``: the C-simulation's words are the network's, word by word. ``model``: the network's values are those of the
QKeras model. The first node in topological order that differs is the one at fault: all it reads is equal.
"""

from __future__ import annotations

import numpy as np

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import FixedPoint, Words
from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork, Node
from toolchain.network.words import read_formats, read_words
from toolchain.results import Comparison, CsimResult, Job, Mismatch, QuantizeResult, VerifyResult
from toolchain.verify.cause import find_cause


def verify(quantized: QuantizeResult, csim: CsimResult, job: Job) -> VerifyResult:
    """Compare the files of ``csim.folder`` and ``quantized.folder`` with the interpreter. A mismatch does not raise."""
    network = storage.load(quantized.folder / "network.fpn")
    with np.load(quantized.folder / "inputs.npz", allow_pickle=False) as stored:
        inputs = {name: stored[name] for name in stored.files}
    job.progress("interpret", 0, 2)
    words = interpreter.run(network, inputs)
    job.progress("compare", 1, 2)
    hardware = compare_hardware(network, words, csim)
    with np.load(quantized.folder / "layers.npz", allow_pickle=False) as stored:
        values = {name: stored[name] for name in stored.files}
    model = compare_model(network, words, values)
    job.progress("compare", 2, 2)
    return VerifyResult(hardware=hardware, model=model)


def compare_hardware(network: FixedPointNetwork, words: dict[str, Words], csim: CsimResult) -> Comparison:
    """The C-simulation's words against ``words``, every node that has a place in hardware, and the output port."""
    try:
        formats = read_formats(csim.folder)
    except (OSError, ValueError) as error:
        return _unreadable(network, network.outputs[0], csim.samples, {}, 0, f"formats.txt: {error}")
    counts: dict[str, int] = {}
    compared, first = 0, None
    places = [(node, node.name) for node in network.nodes if node.name in formats]
    places.append((network[network.outputs[0]], "result"))
    for node, file in places:
        samples = len(words[node.name])
        try:
            form = formats[file]
            found = read_words(csim.folder, file, samples, node.shape)
        except (BitMismatchError, KeyError) as error:
            return _unreadable(network, node.name, samples, counts, compared, str(error))
        wrong = _differ(words[node.name], node.result, found, form)
        counts[file] = int(wrong.sum())
        compared += wrong.size
        if counts[file] and first is None:
            first = _describe(node, network, words, found, form, wrong, csim)
    return _comparison(network, words, counts, compared, first)


def compare_model(network: FixedPointNetwork, words: dict[str, Words], values: dict[str, np.ndarray]) -> Comparison:
    """The network's values against QKeras' own, every node."""
    counts: dict[str, int] = {}
    compared, first = 0, None
    for node in network.nodes:
        mine = node.result.values_of(words[node.name])
        wrong = mine != values[node.name]
        counts[node.name] = int(wrong.sum())
        compared += wrong.size
        if counts[node.name] and first is None:
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            theirs = float(values[node.name][place]) * 2.0**node.result.fractional_bits
            first = Mismatch(
                layer=node.name, keras_layer=node.layer, sample=place[0], element=place[1:],
                expected_word=int(words[node.name][place]), found_word=round(theirs),
                fractional_bits=node.result.fractional_bits, cause="QKeras computes another value",
            )  # fmt: skip
    return _comparison(network, words, counts, compared, first)


def _comparison(
    network: FixedPointNetwork, words: dict[str, Words], counts: dict[str, int], compared: int, first: Mismatch | None
) -> Comparison:
    return Comparison(
        verdict="mismatch" if first else "bit_exact", samples=len(words[network.outputs[0]]), words=compared,
        mismatched_words=sum(counts.values()), first_mismatch=first, layers=counts,
    )  # fmt: skip


def _differ(expected: Words, expected_format: FixedPoint, found: Words, form: FixedPoint) -> np.ndarray:
    """Where two words stand for different values (hls4ml may use a tighter format for the same values)."""
    grid = max(expected_format.fractional_bits, form.fractional_bits)
    left = (
        expected.astype(object) << (grid - expected_format.fractional_bits)
        if grid > 100
        else expected << (grid - expected_format.fractional_bits)
    )
    return np.asarray(left != found << (grid - form.fractional_bits))


def _describe(
    node: Node, network: FixedPointNetwork, words: dict[str, Words], found: Words, form: FixedPoint,
    wrong: np.ndarray, csim: CsimResult,
) -> Mismatch:  # fmt: skip
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    grid = max(node.result.fractional_bits, form.fractional_bits)
    cause = find_cause(node, network, [words[name] for name in node.inputs], found, form)
    if csim.changed_files:
        cause += f"; changed since the project was written: {', '.join(csim.changed_files[:5])}"
    return Mismatch(
        layer=node.name, keras_layer=node.layer, sample=place[0], element=place[1:],
        expected_word=int(words[node.name][place]) << (grid - node.result.fractional_bits),
        found_word=int(found[place]) << (grid - form.fractional_bits), fractional_bits=grid, cause=cause,
    )  # fmt: skip


def _unreadable(
    network: FixedPointNetwork, name: str, samples: int, counts: dict[str, int], compared: int, why: str
) -> Comparison:
    node = network[name]
    first = Mismatch(
        layer=name, keras_layer=node.layer, sample=0, element=(), expected_word=None, found_word=None,
        fractional_bits=node.result.fractional_bits, cause=f"the words of this layer are not whole: {why}",
    )  # fmt: skip
    missing = samples * node.size
    return Comparison(
        verdict="mismatch", samples=samples, words=compared + missing, mismatched_words=sum(counts.values()) + missing,
        first_mismatch=first, layers={**counts, name: missing},
    )  # fmt: skip
