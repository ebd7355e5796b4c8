"""Sweeps: axes, the front, the journal that outlives a killed run, and whole sweeps on real Ray workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, run_toolchain, write_small_project
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import PreflightError, ProjectError
from toolchain.project import load_project
from toolchain.sweep.axes import Axis, overrides, parse_axes
from toolchain.sweep.design import Design, Task
from toolchain.sweep.exploration import Exploration, Plan, check_axes, settings_of
from toolchain.sweep.page import render
from toolchain.sweep.search import Search, check_objectives, front, grid_size
from toolchain.sweep.widths import WidthPlan, Widths, search

AXES = ("quantize.bits=4,6", "prune.final_sparsity=0.5:0.9")


def test_axes_are_choices_or_ranges() -> None:
    bits, sparsity, reuse = parse_axes([*AXES, "hls.reuse_factor=1:4"])
    assert bits.choices == (4, 6)
    assert (sparsity.low, sparsity.high, sparsity.step, sparsity.size) == (0.5, 0.9, None, None)
    assert (reuse.whole, reuse.size) == (True, 4)
    assert parse_axes(["prune.final_sparsity=0.5:0.9:0.1"])[0].size == 5
    assert parse_axes(["hls.io_type=io_stream,io_parallel"])[0].choices == ("io_stream", "io_parallel")
    assert grid_size((bits, reuse)) == 8
    assert grid_size((bits, sparsity)) is None
    assert overrides({"quantize.bits": 4, "model.final_relu": True}) == [
        "quantize.weight_bits=4", "quantize.activation_bits=4", "model.final_relu=true",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "texts", [[], ["bits=4"], ["quantize.bits"], ["quantize.bits="], ["a.b=1,1"], ["a.b=2:1"], ["a.b=1:x"],
              ["a.b=1:2:0"], ["a.b=1:2:3:4"], ["a.b=1", "a.b=2"]],
)  # fmt: skip
def test_axes_that_cannot_be_read_are_refused(texts: list[str]) -> None:
    with pytest.raises(ProjectError):
        parse_axes(texts)


def test_an_axis_must_be_a_key_and_its_values_allowed(tmp_path: Path) -> None:
    file = write_small_project(tmp_path) / "project.toml"
    for text, word in (
        ("quantize.bitz=4", "bitz"),
        ("quantize.bits=4,99", "99"),
        ("prune.final_sparsity=0.5:1.5", "1.5"),
    ):
        with pytest.raises((ProjectError, PreflightError), match=word):
            check_axes(Plan(file, "alveo_u250", parse_axes([text]), ("accuracy",), 4))


def test_objectives_are_known_ones() -> None:
    assert check_objectives(["accuracy", "dsp"], True) == ("accuracy", "dsp")
    for names, fpga in ((["acuracy"], True), (["dsp"], False), ([], True), (["dsp", "dsp"], True)):
        with pytest.raises(ProjectError):
            check_objectives(names, fpga)


def design(number: int, accuracy: float, cost: float) -> Design:
    metrics = {"accuracy": accuracy, "dsp": cost}
    return Design(number=number, settings={"quantize.bits": 4}, state="complete", metrics=metrics, metric="accuracy")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(values: list[tuple[int, int]]) -> None:
    designs = [design(number, *map(float, value)) for number, value in enumerate(values)]
    found = {item.number for item in front(designs, ("accuracy", "dsp"), lower_is_better=False)}
    for number, (accuracy, cost) in enumerate(values):
        better = any((a >= accuracy and c <= cost) and (a, c) != (accuracy, cost) for a, c in values)
        assert (number in found) is not better
    assert found


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc", "random", "grid"])
def test_a_killed_search_goes_on_with_the_same_settings(tmp_path: Path, sampler: str) -> None:
    axes = (Axis("quantize.bits", (4, 6, 8)), Axis("hls.reuse_factor", (), 1, 4, 1.0, True))

    def search() -> Search:
        return Search(tmp_path, axes, ("accuracy", "dsp"), sampler, 0)  # type: ignore[arg-type]

    first = search()
    asked = [first.ask() for _ in range(3)]
    first.tell(design(asked[0][0], 0.5, 3.0), lower_is_better=False)
    failed = Design(number=asked[2][0], settings=asked[2][1], state="failed", problem="no")
    first.tell(failed, lower_is_better=False)
    del first
    again = search()  # as after a kill: nothing was closed
    assert again.unfinished() == [asked[1]]
    assert again.begun() == 3
    assert [item.number for item in again.designs()] == [asked[0][0], asked[2][0]]
    again.tell(design(asked[1][0], 0.6, 2.0), lower_is_better=False)
    assert search().unfinished() == []
    assert again.ask()[0] == 3


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid", "tpe"])
def test_a_resumed_search_draws_what_the_whole_one_would(tmp_path: Path, sampler: str) -> None:
    """With the earlier ``random`` every resumed sweep drew its first settings again."""
    axes = (Axis("quantize.bits", (4, 6, 8)), Axis("prune.final_sparsity", (), 0.5, 0.9, 0.1))

    def ask(folder: Path, stops: set[int]) -> list[dict[str, object]]:
        folder.mkdir()
        search, asked = Search(folder, axes, ("accuracy",), sampler, 5), []  # type: ignore[arg-type]
        for number in range(9):
            if number in stops:
                search = Search(folder, axes, ("accuracy",), sampler, 5)  # type: ignore[arg-type]
            asked.append(search.ask()[1])
            search.tell(design(number, 0.5, 1.0), lower_is_better=False)
        return asked

    whole = ask(tmp_path / "whole", set())
    assert ask(tmp_path / "killed", {1, 4, 5}) == whole
    assert len({str(settings) for settings in whole}) > 5


def test_a_trial_killed_between_two_settings_is_completed(tmp_path: Path) -> None:
    axes = (Axis("quantize.bits", (4, 6, 8)), Axis("hls.reuse_factor", (), 1, 4, 1.0, True))
    first = Search(tmp_path, axes, ("accuracy",), "tpe", 0)
    number = first.study.ask({"quantize.bits": first._distributions["quantize.bits"]}).number
    ((again, settings),) = Search(tmp_path, axes, ("accuracy",), "tpe", 0).unfinished()
    assert again == number
    assert set(settings) == {"quantize.bits", "hls.reuse_factor"}


def test_a_trial_killed_between_two_settings_is_the_same_one(tmp_path: Path) -> None:
    axes = tuple(Axis(f"quantize.{name}", (), 1, 1000, 1.0, True) for name in ("a", "b", "c"))
    (tmp_path / "whole").mkdir()
    whole = Search(tmp_path / "whole", axes, ("accuracy",), "random", 3)
    asked = [whole.ask()[1] for _ in range(3)]
    for place in range(4):
        folder = tmp_path / str(place)
        folder.mkdir()
        first = Search(folder, axes, ("accuracy",), "random", 3)
        first.ask()
        first._draw_for(1)
        first.study.ask(dict(list(first._distributions.items())[:place]))  # the kill falls after `place` settings
        again = Search(folder, axes, ("accuracy",), "random", 3)
        assert [settings for _, settings in again.unfinished()] == asked[:2]
        assert again.ask()[1] == asked[2]


def test_the_page_holds_every_design_and_no_markup_of_theirs() -> None:
    designs = (
        design(0, 0.5, 3.0),
        Design(number=1, settings={"quantize.bits": "<b>"}, state="failed", problem="<i>no"),
    )
    found = Exploration(
        project="p", target="t", axes={"quantize.bits": [4]}, objectives=("accuracy", "dsp"), metric="accuracy",
        lower_is_better=False, designs=designs, front=(0,), verdicts={0: "bit_exact"}, folder=Path("sweeps/abc"),
    )  # fmt: skip
    page = render(found)
    assert "1 of 1 bit exact" in page
    assert 'class="wide"' not in page  # the style sheet hides that class on narrow screens: the table was not there
    assert "<b>" not in page
    assert "<i>no" not in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_trial_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no trial"):
        settings_of(tmp_path / "project.toml", "3")


def sweep_command(project: Path, *more: str) -> list[str]:
    axes = [part for axis in AXES for part in ("--axis", axis)]
    return [sys.executable, "-m", "toolchain.cli", "sweep", str(project), *axes, "--objective", "accuracy,dsp", *more]


def test_a_sweep_and_a_build_from_its_trial(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    project = write_small_project(tmp_path)
    done = subprocess.run(
        [*sweep_command(project, "--trials", "2", "--json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = Exploration.model_validate_json(done.stdout)
    assert [item.number for item in found.designs] == [0, 1]
    assert set(found.verdicts.values()) == {"bit_exact"}
    assert (found.folder / "sweep.html").is_file()
    number = found.front[0]
    built = run_toolchain("quantize", str(project), "--from", str(number), "--json")
    assert built.returncode == 0, built.stderr
    assert all(stage["cached"] for stage in json.loads(built.stdout)["stages"])
    # another cluster of this machine's, here one that does not answer, is nothing that a sweep would use unasked
    elsewhere = os.environ | {"RAY_ADDRESS": "127.0.0.1:9"}
    more = subprocess.run(
        sweep_command(project, "--trials", "3"), cwd=ROOT, env=elsewhere, capture_output=True, text=True, check=False
    )
    assert more.returncode == 0, more.stderr
    again = subprocess.run(
        sweep_command(project, "--trials", "3"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0
    assert "trial 0  " not in again.stderr  # nothing was built again


@pytest.mark.slow
def test_widths_are_the_fewest_within_the_loss(tmp_path: Path) -> None:
    project = write_small_project(tmp_path)
    done = run_toolchain("widths", str(project), "--loss", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    found = Widths.model_validate_json(done.stdout)
    assert found.loss <= 0.2
    assert found.chosen
    assert found.after["lut_equivalent"] < found.before["lut_equivalent"]
    (tmp_path / "more.toml").write_text((project / "project.toml").read_text() + "\n" + found.toml)
    assert load_project(tmp_path / "more.toml").quantize.layers


@pytest.mark.slow
def test_widths_get_bits_back_until_fine_tuning_loses_little_enough(tmp_path: Path) -> None:
    """Nothing lost before fine-tuning, 1 % after it for every bit below 8."""

    def built(task: Task) -> Design:
        tuned = "quantize.epochs=0" not in task.given
        lost = sum(8 - bits for bits in task.settings.values()) if tuned else 0
        metrics = {"accuracy": 0.9 * (1 - 0.01 * lost), "lut_equivalent": 1000.0 - lost}
        return Design(number=task.number, settings=task.settings, state="complete", metric="accuracy", metrics=metrics)

    project = write_small_project(tmp_path)
    told: list[str] = []
    plan = WidthPlan(project / "project.toml", "alveo_u250", loss=0.1, workers=1, given=("quantize.weight_bits=8",))
    found = search(plan, told.append, built)
    assert found.chosen
    assert set(found.chosen.values()) == {2 + found.given_back}
    assert found.given_back > 0
    assert found.loss <= 0.1 < found.loss + 0.01 * len(found.chosen)
    assert sum("bits given back" in line for line in told) == found.given_back
    none = search(replace(plan, loss=0.001), told.append, built)
    assert (none.chosen, none.loss, none.after) == ({}, 0.0, none.before)


@pytest.mark.slow
def test_a_sweep_that_is_killed_and_resumed_loses_nothing(tmp_path: Path) -> None:
    project = write_small_project(tmp_path)
    command = sweep_command(project, "--trials", "8", "--no-verify-front")
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().startswith("3/8"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)
    (folder,) = [path.parent for path in (project / "build" / "sweeps").glob("*/journal.log")]
    axes, names = parse_axes(list(AXES)), ("accuracy", "dsp")
    before = {trial.number: trial.params for trial in Search(folder, axes, names, "auto", 0).study.trials}
    assert 3 <= len(before) < 8
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = Exploration.model_validate_json(done.stdout)
    assert [item.number for item in found.designs] == list(range(8))
    assert all(item.settings.items() >= before.get(item.number, {}).items() for item in found.designs)
    assert all(len(item.settings) == 2 for item in found.designs)
