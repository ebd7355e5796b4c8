"""A step network over a window: its first input is a tick, the others the state, its outputs after the first the next.

Outputs ``1 …`` of a step stand in the order of inputs ``1 …`` and in the same formats.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network import interpreter
from toolchain.network.nodes import FixedPointNetwork


def states_are_fed_back(step: FixedPointNetwork) -> bool:
    """Whether every state leaves in the format and shape in which it enters."""
    after = [step[name] for name in step.outputs[1:]]
    before = step.inputs[1:]
    if not len(after) == len(before) > 0:
        return False
    pairs = list(zip(after, before, strict=True))
    return all(one.shape == other.shape and one.result.same_grid(other.result) for one, other in pairs)


def final_values(network: FixedPointNetwork, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The outputs for real ``values`` as ``final_words`` takes them, side by side: ``(samples, outputs)`` float64; of a
    step the first alone."""
    if len(values) != len(network.inputs):
        found = {network.outputs[0]: final_words(network, values)}
    else:
        found = interpreter.run(network, interpreter.quantize_inputs(network, values), only=network.outputs)
    real = [network[name].result.values_of(found[name]) for name in network.outputs if name in found]
    return np.concatenate([one.reshape(len(one), -1) for one in real], axis=1)


def final_words(network: FixedPointNetwork, values: Mapping[str, np.ndarray]) -> Words:
    """The first output's words for real ``values (samples, *shape)`` by input port: at once, or, where the other inputs
    are a step's state, tick by tick of ``values (samples, steps, channels)``."""
    if len(values) == len(network.inputs):
        return interpreter.run(network, interpreter.quantize_inputs(network, values))[network.outputs[0]]
    ((port, ticks),) = values.items()
    return run_over(network, network[port].result.words_of(ticks))[1]


def run_over(step: FixedPointNetwork, windows: Words) -> tuple[list[dict[str, Words]], Words]:
    """Ticks ``windows (samples, steps, channels)`` one after another from a state of zeros.

    Returns the input words of every step, and the words of the first output after the last one.
    """
    state: list[Words] = [np.zeros((len(windows), *port.shape), dtype=np.int64) for port in step.inputs[1:]]
    given: list[dict[str, Words]] = []
    for number in range(windows.shape[1]):
        words = [windows[:, number], *state]
        given.append({port.name: one for port, one in zip(step.inputs, words, strict=True)})
        found = interpreter.run(step, given[-1], only=step.outputs)
        state = [found[name] for name in step.outputs[1:]]
    return given, found[step.outputs[0]]
