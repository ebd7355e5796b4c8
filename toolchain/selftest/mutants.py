"""``toolchain selftest --mutants``: changed projects and words; each that changes a word must be caught and named."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from toolchain.errors import ToolchainError
from toolchain.hls.compilation import find_compiler
from toolchain.hls.stage import TOP
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.words import read_formats
from toolchain.results import Comparison, CsimResult, Progress, Record, no_progress
from toolchain.selftest.candidate import Candidate, describe_error, draw_candidate
from toolchain.selftest.causes import CAUSES
from toolchain.selftest.mutations import SOURCE_MUTATIONS
from toolchain.selftest.program import Program, compile_each
from toolchain.selftest.sources import Sources, changed_copy
from toolchain.selftest.word_mutations import WORD_MUTATIONS, change_words

#: Mutants of one written model.
EACH = 16
STALE = "stale program"
#: Layers that lowering adds for a node.
_ADDED = re.compile(r"_(?:in|port|part|more)\d+$")


class Mutant(Record):
    """What became of one change."""

    model: int
    kind: str
    layer: str  # whose words it changes first
    effective: bool  # a word differs from those of the unchanged project
    caught: bool
    stopped: bool  # it did not compile, or its run ended early: nothing to compare
    named: str  # the layer of the verdict
    cause: str
    cause_right: bool = False  # the kind of cause that the change is


class MutantsResult(Record):
    """The mutants of a run, counted."""

    seed: int
    mutants: int
    effective: int
    caught: int  # of the effective ones
    layer_named_right: int  # of the caught ones that ran
    cause_named_right: int  # of the caught ones that ran, too
    unexplained: int  # of the caught ones that ran: nothing that was tried gave the words
    stopped: int  # of the caught ones: refused by the compiler or at run time, before any comparison
    caught_without_effect: int  # seen in the sources although no word of the samples shows it
    kinds: dict[str, int]  # effective mutants of each kind
    missed: tuple[Mutant, ...]
    misnamed: tuple[Mutant, ...]
    other_causes: tuple[Mutant, ...]  # whose cause was said to be another


def run_mutants(
    mutants: int, seed: int, samples: int = 300, jobs: int = 2, progress: Progress = no_progress
) -> MutantsResult:
    """``mutants`` changes to models 0, 1, 2 … of ``seed``, in turn of every kind."""
    found: list[Mutant] = []
    for some in _models(seed, samples, jobs):
        found += some
        progress("mutants", min(len(found), mutants), mutants)
        if len(found) >= mutants:
            break
    return _count(found[:mutants], seed)


def _models(seed: int, samples: int, jobs: int) -> Iterator[list[Mutant]]:
    number = 0
    if jobs == 1:
        while True:
            yield mutate_model(seed, number, samples)
            number += 1
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = [pool.submit(mutate_model, seed, n, samples) for n in range(jobs + 1)]
        try:
            while True:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(mutate_model, seed, number + jobs + 1, samples))
                number += 1
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Trial:
    """One change under way."""

    kind: str
    layer: str
    folder: Path
    change: str = ""  # what the sources were changed by, if that is not ``kind``


def mutate_model(seed: int, number: int, samples: int) -> list[Mutant]:
    """The mutants of one model; none when it is refused."""
    with TemporaryDirectory(prefix="toolchain-selftest-") as name:
        folder = Path(name).resolve()
        candidate = draw_candidate(seed, number, samples, folder / "model")
        rng = np.random.default_rng((seed, number, 2))
        try:
            candidate.write()
        except ToolchainError:
            return []
        kinds = [*SOURCE_MUTATIONS, *WORD_MUTATIONS, STALE]
        chosen = [kinds[k] for k in rng.permutation(len(kinds))]
        trials = _change_sources(candidate, chosen, folder, rng)
        projects = [candidate.project, *(trial.folder / "hls" for trial in trials)]
        programs, errors = compile_each(projects, TOP, folder / "program", find_compiler())
        if candidate.project in errors:
            return []  # run_models tells
        pristine = candidate.simulate(programs[candidate.project], candidate.project, candidate.project)
        if candidate.compare(pristine).verdict != "bit_exact":
            return []
        found = [_judge_sources(candidate, trial, programs, errors, pristine) for trial in trials]
        for kind in [kind for kind in chosen[:EACH] if kind in WORD_MUTATIONS]:
            found.append(_judge_words(candidate, kind, pristine, folder / f"words{len(found)}", rng))
        if STALE in chosen[:EACH] and trials:
            found += _judge_stale(candidate, trials, programs, pristine)
        return found


def _change_sources(candidate: Candidate, chosen: list[str], folder: Path, rng: np.random.Generator) -> list[_Trial]:
    sources = Sources(candidate.project)
    trials: list[_Trial] = []
    wanted = EACH - sum(kind not in SOURCE_MUTATIONS for kind in chosen[:EACH])
    for kind in chosen:
        if kind in SOURCE_MUTATIONS and len(trials) < wanted:
            edit = SOURCE_MUTATIONS[kind](sources, candidate.network, rng)
            if edit is not None:
                place = folder / f"mutant{len(trials)}"
                changed_copy(candidate.project, edit, place / "hls")
                trials.append(_Trial(kind, edit.layer, place))
    return trials


def _judge_sources(
    candidate: Candidate, trial: _Trial, programs: dict[Path, Program], errors: dict[Path, ToolchainError],
    pristine: CsimResult,
) -> Mutant:  # fmt: skip
    project = trial.folder / "hls"
    if project in errors:
        return _stopped(candidate, trial, describe_error(errors[project]))
    try:
        csim = candidate.simulate(programs[project], project, project)
        verdict = candidate.compare(csim)
    except ToolchainError as error:
        return _stopped(candidate, trial, describe_error(error))
    return _mutant(candidate, trial, differ(pristine.folder, csim.folder), verdict)


def _judge_words(
    candidate: Candidate, kind: str, pristine: CsimResult, folder: Path, rng: np.random.Generator
) -> Mutant:
    shutil.copytree(pristine.folder, folder)
    csim = pristine.model_copy()
    csim.at(folder)
    name = str(rng.choice(sorted(pristine.formats)))
    change_words(folder / f"{name}.txt", WORD_MUTATIONS[kind], rng)
    layer = candidate.network.outputs[int(name.rpartition("_")[2])] if re.fullmatch(r"result_\d+", name) else name
    layer = candidate.network.outputs[0] if name == "result" else layer
    trial = _Trial(kind, layer, folder)
    return _mutant(candidate, trial, differ(pristine.folder, folder), candidate.compare(csim))


def _judge_stale(
    candidate: Candidate, trials: list[_Trial], programs: dict[Path, Program], pristine: CsimResult
) -> list[Mutant]:
    """The program of a changed project run for the unchanged one: only the words can tell."""
    for trial in trials:
        project = trial.folder / "hls"
        if project not in programs or trial.kind == "input scale":
            continue
        try:
            csim = candidate.simulate(programs[project], project, candidate.project)
        except ToolchainError:
            continue
        stale = _Trial(STALE, trial.layer, trial.folder, trial.kind)
        return [_mutant(candidate, stale, differ(pristine.folder, csim.folder), candidate.compare(csim))]
    return []


def _stopped(candidate: Candidate, trial: _Trial, why: str) -> Mutant:
    return Mutant(
        model=candidate.number, kind=trial.kind, layer=trial.layer, effective=True, caught=True, stopped=True,
        named="", cause=why[:300],
    )  # fmt: skip


def _mutant(candidate: Candidate, trial: _Trial, effective: bool, verdict: Comparison) -> Mutant:
    first = verdict.first_mismatch
    assert candidate.hls is not None
    return Mutant(
        model=candidate.number, kind=trial.kind, layer=seen_at(candidate.network, candidate.hls.formats, trial.layer),
        effective=effective, caught=verdict.verdict == "mismatch", stopped=False, named=first.layer if first else "",
        cause=first.cause if first else "",
        cause_right=first is not None and first.cause_kind == CAUSES[trial.change or trial.kind],
    )  # fmt: skip


def seen_at(network: FixedPointNetwork, formats: dict[str, str], layer: str) -> str:
    """The node whose recorded words first show a change of ``layer``: a format is fused into its producer."""
    name = _ADDED.sub("", layer)
    known = {node.name for node in network.nodes}
    while name in known and name not in formats and network.consumers(name):
        name = network.consumers(name)[0].name
    return name


def differ(one: Path, other: Path) -> bool:
    """Whether any recorded word stands for another number, or is not there: read without the verdict's own code."""
    try:
        left, right = read_formats(one), read_formats(other)
        if set(left) != set(right):
            return True
        for name in left:
            rows = [np.loadtxt(folder / f"{name}.txt", dtype=np.int64, ndmin=2) for folder in (one, other)]
            values = [np.ldexp(words.astype(np.float64), -form.fractional_bits)
                      for words, form in zip(rows, (left[name], right[name]), strict=True)]  # fmt: skip
            if values[0].shape != values[1].shape or (values[0] != values[1]).any():
                return True
    except (OSError, ValueError):
        return True
    return False


def _count(mutants: list[Mutant], seed: int) -> MutantsResult:
    effective = [mutant for mutant in mutants if mutant.effective]
    caught = [mutant for mutant in effective if mutant.caught]
    ran = [mutant for mutant in caught if not mutant.stopped]
    return MutantsResult(
        seed=seed, mutants=len(mutants), effective=len(effective), caught=len(caught),
        layer_named_right=sum(mutant.named == mutant.layer for mutant in ran),
        cause_named_right=sum(mutant.cause_right for mutant in ran),
        unexplained=sum("unexplained: " in mutant.cause for mutant in ran), stopped=len(caught) - len(ran),
        caught_without_effect=sum(mutant.caught and not mutant.effective for mutant in mutants),
        kinds=dict(Counter(mutant.kind for mutant in effective).most_common()),
        missed=tuple(mutant for mutant in effective if not mutant.caught),
        misnamed=tuple(mutant for mutant in ran if mutant.named != mutant.layer),
        other_causes=tuple(mutant for mutant in ran if not mutant.cause_right),
    )  # fmt: skip
