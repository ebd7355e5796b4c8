"""Stage ``verify``: two statements, never mixed.

``hardware``: the C-simulation's words are the network's, word by word. ``model``: the network's values are those of the
QKeras model, but for layers that are declared to be approximate: of those the deviation is measured and must keep its
bound. The first node in topological order that differs is the one at fault: all it reads is equal.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import FixedPoint, Words, parse_ap_fixed
from toolchain.network import interpreter, storage
from toolchain.network.nodes import FixedPointNetwork, Node
from toolchain.network.words import output_files, read_formats, read_words
from toolchain.results import Comparison, CsimResult, Job, Mismatch, QuantizeResult, VerifyResult
from toolchain.verify.against_model import Tally, compare_model
from toolchain.verify.against_window import compare_window
from toolchain.verify.cause import Evidence, find_cause, source_kind
from toolchain.verify.grids import differing, on_grid
from toolchain.verify.saturation import count_saturations


def verify(quantized: QuantizeResult, csim: CsimResult, job: Job) -> VerifyResult:
    """Compare the files of ``csim.folder`` and of ``quantized.folder`` with the interpreter.

    A difference, or a file that is not whole, is a verdict and never an exception.
    """
    network = storage.load(quantized.folder / "network.fpn")
    with np.load(quantized.folder / "inputs.npz", allow_pickle=False) as stored:
        inputs = {node.name: stored[node.name] for node in network.inputs}
    job.progress("interpret", 0, 3)
    words = interpreter.run(network, inputs)
    job.progress("compare hardware", 1, 3)
    with ThreadPoolExecutor(1) as other:  # the statements do not know of one another
        layers = quantized.folder / "layers.npz"
        model = other.submit(compare_model, network, words, layers, quantized.approximate_layers)
        saturations = other.submit(count_saturations, network, words)
        hardware = _with_port_name(compare_hardware(network, words, csim), network, quantized)
        job.progress("compare model", 2, 3)
        window = compare_window(network, quantized.folder) if quantized.window else None
        return VerifyResult(hardware=hardware, model=model.result(), window=window, saturations=saturations.result())


def _with_port_name(found: Comparison, network: FixedPointNetwork, quantized: QuantizeResult) -> Comparison:
    """The first difference says which of several output ports it is at; of one port there is nothing to say."""
    if found.first_mismatch is None or not found.first_mismatch.port:
        return found
    outputs = {node: name for name, node in quantized.output_ports.items()}
    port = found.first_mismatch.port
    name = outputs.get(output_files(network).get(port, ""), "")
    shown = "" if len(network.outputs) == 1 else f"'{name}' ({port})" if name else port
    return found.model_copy(update={"first_mismatch": found.first_mismatch.model_copy(update={"port": shown})})


def compare_hardware(network: FixedPointNetwork, words: dict[str, Words], csim: CsimResult) -> Comparison:
    """The C-simulation's words against ``words``: the input port, every traced node, and every output port."""
    ports = {name: network[node] for name, node in output_files(network).items()}
    tally = Tally(network, len(words[network.outputs[0]]))
    formats = {name: parse_ap_fixed(kind) for name, kind in csim.formats.items()}
    problem = _check_formats(csim, formats, set(ports))
    if problem:
        tally.add_unreadable(next(iter(ports)), network[network.outputs[0]], problem)
        return tally.comparison()
    places = [(node.name, node) for node in network.nodes if node.name in formats]
    found: dict[str, Words] = {}
    for name, node in [*places, *ports.items()]:
        try:
            found[name] = read_words(csim.folder, name, tally.samples, node.shape)
        except BitMismatchError as error:
            tally.add_unreadable(name, node, str(error))
            continue
        wrong = differing(words[node.name], node.result, found[name], formats[name])
        if tally.add(name, wrong):
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            tally.first = _describe(node, words[node.name][place], found[name][place], formats[name], place)
            tally.first = tally.first.model_copy(update={"port": name if name in ports else ""})
            fault = (node, name)
    if tally.first is not None and tally.first.expected_word is not None:
        node, name = fault
        evidence = Evidence(network, words, found, formats, csim.differences, tally.counts)
        tally.first = tally.first.model_copy(update=_cause(evidence, node, name, csim))
    if tally.first is None and csim.differences:
        tally.first = _latent(network, csim)
    return tally.comparison()


def _latent(network: FixedPointNetwork, csim: CsimResult) -> Mismatch:
    """The project is another network than the one verified, although these samples do not show it."""
    name, _, problem = csim.differences[0].partition(": ")
    node = network[name]
    return Mismatch(
        layer=name, keras_layer=node.layer, sample=0, element=(), expected_word=None, found_word=None,
        fractional_bits=node.result.fractional_bits, cause=f"{problem} (no word of these samples shows it)",
        cause_kind=source_kind(problem),
    )  # fmt: skip


def _check_formats(csim: CsimResult, formats: dict[str, FixedPoint], ports: set[str]) -> str:
    missing = sorted(ports - set(formats))
    if missing:
        return f"the C-simulation has no {', '.join(missing)}"
    try:
        written = read_formats(csim.folder)
    except (OSError, ValueError) as error:
        return f"formats.txt: {error}"
    changed = sorted(name for name in {*written, *formats} if written.get(name) != formats.get(name))
    return f"formats.txt was changed after the simulation: {', '.join(changed)}" if changed else ""


def _cause(evidence: Evidence, node: Node, name: str, csim: CsimResult) -> dict[str, object]:
    """The fields of a mismatch that say why."""
    cause = find_cause(evidence, node, name)
    text = cause.text
    if csim.changed_files:
        text += f"; changed since the project was written: {', '.join(csim.changed_files[:5])}"
    return {"cause": text, "cause_kind": cause.kind, "alternatives": cause.alternatives, "tried": cause.tried}


def _describe(node: Node, expected: int, found: int, form: FixedPoint, place: tuple[int, ...]) -> Mismatch:
    grid = max(node.result.fractional_bits, form.fractional_bits)
    return Mismatch(
        layer=node.name, keras_layer=node.layer, sample=place[0], element=place[1:],
        expected_word=int(on_grid(np.array(expected), node.result, grid)),
        found_word=int(on_grid(np.array(found), form, grid)), fractional_bits=grid, cause="",
    )  # fmt: skip
