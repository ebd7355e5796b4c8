"""One step of a recurrent layer as a network of its own: a tick and the state in, the outputs and the next state out.

The model is trained as an unrolled window whose steps are all the same. Its last step, with the layers behind it, is
the step cell: the very same layers, weights and quantizers, so the cell over a window gives the window's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Words
from toolchain.model.graph import Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.keras_graph import build_keras
from toolchain.model.names import free_name
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.steps import run_over, states_are_fed_back
from toolchain.quantize import witness
from toolchain.quantize.formats import MODES
from toolchain.quantize.from_qkeras import Reading, read_qkeras
from toolchain.quantize.qkeras_formats import format_of, to_quantized_bits
from toolchain.results import RecurrentWindow

_HINT = "[model] recurrent = 'unrolled'"
#: QKeras computes in float32: a wider state would not be exact.
WIDEST_STATE = 24


@dataclass(frozen=True, eq=False)
class StepCell:
    """The step, and the window that it must give the words of."""

    step: Reading
    window: FixedPointNetwork


def step_cell(twin: Graph, model: Any, window: RecurrentWindow) -> StepCell:
    """The step of ``model``, which was built from ``twin`` (``quantized_graph``) and trained.

    Raises UnsupportedModelError where anything but this layer reads the window, or a state is too wide.
    """
    whole = read_qkeras(model, "network")
    nodes = {place: name for name, place in whole.places.items()}
    forms, units = [], 0
    for number in range(len(window.states[0])):
        if window.quantizers:
            forms.append(_read_format(model, window.quantizers[number]))
        places = [nodes[_place(twin, *states[number])] for states in window.states]
        units = whole.network[places[-1]].size
        if not window.quantizers:
            forms.append(_common_format([whole.network[name].result for name in places], window.layer))
    graph = _step_graph(twin, window, forms, units)
    made = build_keras(graph)
    for layer in made.layers:
        if layer.get_weights():
            layer.set_weights(model.get_layer(layer.name).get_weights())
    step = _tick_first(read_qkeras(made, "network"), graph.inputs)
    kept = bool(window.quantizers) or _nothing_is_lost(step.network)
    if not states_are_fed_back(step.network) or not kept:
        raise UnsupportedModelError(
            "its state does not leave as it would enter", where=f"layer '{window.layer}'", hint=_HINT
        )
    return StepCell(step, whole.network)


def _tick_first(step: Reading, inputs: tuple[str, ...]) -> Reading:
    """The ports in the order of the graph's ``inputs``: Keras' order of the layers is another."""
    network = step.network
    ports = tuple(network[step.ports[name]] for name in inputs)
    rest = tuple(node for node in network.nodes if node.inputs)
    return replace(step, network=replace(network, nodes=(*ports, *rest)))


def _read_format(model: Any, layer: str) -> FixedPoint:
    """The format of QKeras' own quantizer of a state. What leaves through it is quantized again where it is read, which
    changes nothing."""
    return format_of(model.get_layer(layer).quantizer, f"layer '{layer}'")


def _nothing_is_lost(step: FixedPointNetwork) -> bool:
    """Whether every word of a state fits its port: by the ranges of the formats, for any input."""
    for name in step.outputs[1:]:
        own, port = step[step[name].inputs[0]].result, step[name].result
        if own.signed > port.signed or own.integer_bits > port.integer_bits:
            return False
        if own.fractional_bits > port.fractional_bits:
            return False
    return True


def step_vectors(cell: StepCell, windows: Words, tests: int) -> dict[str, Words]:
    """What the step is verified on: the last ticks of the first ``tests`` windows, all other ticks, and corners."""
    given, _ = run_over(cell.step.network, windows)
    rows = [{name: words[:tests] for name, words in given[-1].items()}]
    rows += [{name: words[tests:] for name, words in given[-1].items()}, *given[:-1]]
    corners = {port.name: witness.corner_words(port.result, port.shape) for port in cell.step.network.inputs}
    most = max(map(len, corners.values()))
    rows.append({name: np.resize(words, (most, *words.shape[1:])) for name, words in corners.items()})
    return {name: np.concatenate([row[name] for row in rows]) for name in corners}


def _common_format(forms: list[FixedPoint], layer: str) -> FixedPoint:
    signed = any(form.signed for form in forms)
    integer = max(0, *(form.integer_bits for form in forms))
    found = FixedPoint(signed, integer, max(form.fractional_bits for form in forms), *MODES)
    if found.width > WIDEST_STATE:
        raise UnsupportedModelError(
            f"its state would have {found.width} bits", where=f"layer '{layer}'", allowed=f"at most {WIDEST_STATE}",
            hint=f"fewer activation_bits; {_HINT}",
        )  # fmt: skip
    return found


def _place(twin: Graph, layer: str, call: int) -> Tensor:
    """Where the twin has the value of a tensor of the float graph: behind a function's quantizer."""
    behind = f"{layer}_quantized"
    return Tensor(behind if behind in twin.layers else layer, call)


def _step_graph(twin: Graph, window: RecurrentWindow, forms: list[FixedPoint], units: int) -> Graph:
    """Input, state inputs, the last step's calls and those behind it; a quantizer at every state port."""
    owner, taken = window.layer, {name.lower(): name for name in twin.layers}
    source = twin.inputs[0]
    port = next(out for call, _, out in twin.walk() if Tensor(source) in call.inputs)
    features = np.shape(np.empty(twin.layers[source].config["shape"]))[-1]
    layers: dict[str, Layer] = {
        source: Layer(source, "InputLayer", {**twin.layers[source].config, "shape": (features,)}),
        port.layer: twin.layers[port.layer],
    }
    calls, begin, after = [Call(source)], [Call(port.layer, (Tensor(source),))], []
    place, inputs = {_place(twin, *window.ticks[-1]): Tensor(port.layer)}, [source]
    for number, form in enumerate(forms):
        quantizer = {"activation": to_quantized_bits(form)}
        name, enter, leave = (free_name(f"{owner}_{role}{number}", taken) for role in ("state", "enter", "leave"))
        layers[name] = Layer(name, "InputLayer", {"shape": (units,), "dtype": "float32"})
        layers |= {one: Layer(one, "QActivation", quantizer) for one in (enter, leave)}
        calls.append(Call(name))
        begin.append(Call(enter, (Tensor(name),)))
        after.append((leave, _place(twin, *window.states[-1][number])))
        place[_place(twin, *window.states[-2][number])] = Tensor(enter)
        inputs.append(name)
    wanted = [*twin.outputs, *(tensor for _, tensor in after)]
    body = _behind(twin, wanted, place, owner)
    layers |= {call.layer: twin.layers[call.layer] for call in body}
    calls += [*begin, *body, *(Call(leave, (place[tensor],)) for leave, tensor in after)]
    outputs = (*(place[out] for out in twin.outputs), *(Tensor(leave) for leave, _ in after))
    return Graph(twin.name, layers, tuple(calls), tuple(inputs), outputs)


def _behind(twin: Graph, wanted: list[Tensor], place: dict[Tensor, Tensor], owner: str) -> list[Call]:
    """The calls that ``wanted`` need beyond what ``place`` holds, which learns where each of them stands now."""
    reads: Mapping[Tensor, Call] = {out: call for call, _, out in twin.walk()}
    needed, pending = set(), list(wanted)
    while pending:
        tensor = pending.pop()
        if tensor in place or tensor in needed:
            continue
        if not reads[tensor].inputs:
            raise UnsupportedModelError(
                "the step's outputs need more of the window than its last tick and state", where=f"layer '{owner}'",
                allowed="layers that read the recurrent layer's last output alone", hint=_HINT,
            )  # fmt: skip
        needed.add(tensor)
        pending += reads[tensor].inputs
    count: dict[str, int] = {}
    calls = []
    for call, layer, out in twin.walk():
        if out in needed:
            moved = place.__getitem__
            calls.append(Call(layer.name, map_tensors(call.arguments, moved), map_tensors(call.keywords, moved)))
            place[out] = Tensor(layer.name, count.get(layer.name, 0))
            count[layer.name] = count.get(layer.name, 0) + 1
    return calls
