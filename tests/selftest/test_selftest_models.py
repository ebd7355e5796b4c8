"""Random models through the whole hardware path: exact or refused, never wrong; and the same for the same seed."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT, run_toolchain

from toolchain.errors import UnsupportedModelError
from toolchain.hls.options import resolve
from toolchain.network import interpreter, nodes, storage
from toolchain.project import HlsSection
from toolchain.selftest import (
    composition_steps,
    generator,
    linear_steps,
    other_steps,
    random_options,
    recurrent_steps,
)
from toolchain.selftest.candidate import draw_candidate
from toolchain.selftest.models import general, judge_together, run_models
from toolchain.target import load_target


# about two minutes of one core: the longest test of `make test`
def test_forty_random_models_are_exact_or_refused() -> None:
    found = run_models(range(40), seed=20, samples=1000, jobs=2)
    assert found.models == 40 == found.exact + found.approximate + found.refused + found.wrong
    assert found.failures == ()
    assert found.refused <= 4, found.refusals
    assert {"vitis", "vivado", "io_parallel", "io_stream", "latency", "resource"} <= set(found.options)
    assert len(found.operators) >= 12
    assert found.words > 500_000


def test_a_seed_draws_the_same_model_whatever_else_is_drawn(tmp_path: Path) -> None:
    one, again, other = (draw_candidate(*which, 60, tmp_path) for which in ((4, 7), (4, 7), (5, 7)))
    assert storage.digest(one.network) == storage.digest(again.network) != storage.digest(other.network)
    assert one.section == again.section
    assert all((one.inputs[name] == again.inputs[name]).all() for name in one.inputs)


@pytest.mark.parametrize("stream", [False, True])
def test_models_differ_in_every_respect(stream: bool) -> None:
    networks = [generator.draw((1, number), stream) for number in range(60)]
    found = [node for network in networks for node in network.nodes]
    assert {node.result.width for node in found} >= set(range(2, 17))
    assert {node.result.rounding.name for node in found} == {"TRN", "RND", "RND_CONV"}
    assert {node.result.overflow.name for node in found} == {"WRAP", "SAT", "SAT_SYM"}
    assert min(node.result.integer_bits for node in found) < 0
    assert any(node.result.integer_bits > node.result.width for node in found)
    assert any(len(network.inputs) > 1 for network in networks)
    assert any(len(network.outputs) > 1 for network in networks)


OPERATOR = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| .* \|$", re.MULTILINE)


def test_every_operator_and_every_composition_is_drawn() -> None:
    """400 drafts hold each operator of the specification, each written step, and several inputs and outputs."""
    text = (ROOT / "docs" / "fixed_point_network.md").read_text()
    table = text.partition("## Operators")[2].partition("**Ports.**")[0]
    specified = {name for row in OPERATOR.findall(table) for name in re.findall(r"\w+", row)}
    assert specified == {kind.__name__ for kind in kinds(nodes.Node)}
    counts: Counter[str] = Counter()
    ports: Counter[tuple[int, int]] = Counter()
    for number in range(400):
        network, drawn = generator.drafted((1, number), stream=number % 2 == 1)
        counts.update(drawn | {type(node).__name__ for node in network.nodes})
        ports[min(3, len(network.inputs)), min(3, len(network.outputs))] += 1
    rooms = (linear_steps, other_steps, composition_steps, recurrent_steps)
    steps = {name for room in rooms for name, made in vars(room).items() if is_step(room, name, made)}
    assert steps > {"step", "window", "softmax", "layer_normalization", "up_sampling", "leaky_relu", "indexed"}
    assert {name: counts[name] for name in specified | steps if counts[name] < 4} == {}
    assert {ways for ways, found in ports.items() if found > 1} >= {(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)}


def is_step(room: ModuleType, name: str, made: object) -> bool:
    own = inspect.isfunction(made) and made.__module__ == room.__name__
    return own and not name.startswith("_") and name not in ("finish", "branch", "narrow")


def kinds(kind: type[nodes.Node]) -> set[type[nodes.Node]]:
    """The classes below ``kind`` that have none below them."""
    below = kind.__subclasses__()
    return {kind} if not below else {found for one in below for found in kinds(one)}


def test_a_layer_of_several_sums_gets_options_that_are_legal_for_each() -> None:
    """A recurrent layer's gates read more than its candidate does; constant kernels have no options."""
    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    for number in range(150):
        network = generator.draw((2, number), stream=False)
        section = random_options.draw_layers(np.random.default_rng(number), network, HlsSection())
        with suppress(UnsupportedModelError):
            resolve(network, section, fpga)


def test_a_wrong_project_is_not_called_exact(tmp_path: Path) -> None:
    """The proof is proven: a network that is not the one that was written."""
    number = next(n for n in range(99) if draw_candidate(6, n, 60, tmp_path / str(n)).section.layers)
    candidate = draw_candidate(6, number, 200, tmp_path / "model")
    candidate.write()
    assert judge_together([candidate], tmp_path / "right")[0].verdict == "exact"
    port = candidate.network.inputs[0]
    shifted = np.clip(candidate.inputs[port.name] + 1, port.result.min_word, port.result.max_word)
    wrong = interpreter.run(candidate.network, {**candidate.inputs, port.name: shifted})
    kept = interpreter.run
    try:
        interpreter.run = lambda *_: wrong  # type: ignore[assignment]
        trial = judge_together([candidate], tmp_path / "wrong")[0]
    finally:
        interpreter.run = kept
    assert trial.verdict == "wrong"
    assert port.name in trial.reason


def test_reasons_are_counted_without_names_and_numbers() -> None:
    assert general("a window of (3, 2) over 'conv_1'") == general("a window of (1, 5) over 'x'")


def test_the_command_prints_the_counts() -> None:
    done = run_toolchain("selftest", "--models", "2", "--seed", "3", "--samples", "100", "--jobs", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["models"] == 2 == found["exact"] + found["refused"]
    assert (found["approximate"], found["wrong"], found["seed"]) == (0, 0, 3)


def test_one_model_of_a_seed_can_be_tried_alone() -> None:
    done = run_toolchain("selftest", "--only", "5", "--seed", "3", "--samples", "60", "--jobs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"] == 1
