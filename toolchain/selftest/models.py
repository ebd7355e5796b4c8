"""``toolchain selftest --models``: random models, each exact, approximate or refused; anything else is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from toolchain.errors import ToolchainError, UnsupportedModelError
from toolchain.hls.compilation import find_compiler
from toolchain.hls.stage import TOP
from toolchain.results import Progress, Record, no_progress
from toolchain.selftest.candidate import Candidate, Front, describe_error, draw_candidate
from toolchain.selftest.program import Program, compile_each
from toolchain.workspace import remove

#: Models of one g++ run: more share more, but one that does not compile costs all of them.
BATCH = 12
Verdict = Literal["exact", "approximate", "refused", "wrong"]


class Trial(Record):
    """What became of one model."""

    number: int
    verdict: Verdict
    reason: str = ""  # of a refusal or of what is wrong
    operators: tuple[str, ...] = ()  # of the network, each kind once
    options: str = ""  # backend, io_type and strategies
    words: int = 0  # that were compared


class ModelsResult(Record):
    """The models of a run, counted."""

    seed: int
    samples: int
    front: Front
    models: int
    exact: int
    approximate: int
    refused: int
    wrong: int
    words: int
    refusals: dict[str, int]  # by reason, names and numbers left out
    operators: dict[str, int]  # exact models that hold the operator
    options: dict[str, int]  # exact models by option
    failures: tuple[Trial, ...]


@dataclass(frozen=True)
class Draws:
    """Which models a run draws, and where it keeps the wrong ones."""

    seed: int
    samples: int
    front: Front = "network"
    keep: Path | None = None


def run_models(
    numbers: Sequence[int], seed: int, samples: int = 1000, jobs: int = 2, keep: Path | None = None,
    progress: Progress = no_progress, front: Front = "network",
) -> ModelsResult:  # fmt: skip
    """Try the models ``numbers`` of ``seed`` on ``samples`` vectors each. Wrong ones are stored in ``keep``."""
    trials: list[Trial] = []
    draws = Draws(seed, samples, front, keep)
    for found in _batches(list(numbers), draws, jobs):
        trials += found
        wrong = sum(trial.verdict == "wrong" for trial in trials)
        progress(f"models ({wrong} wrong)", len(trials), len(numbers))
    return _count(sorted(trials, key=lambda trial: trial.number), draws)


def _batches(numbers: list[int], draws: Draws, jobs: int) -> Iterator[list[Trial]]:
    # Backends cannot share a program, so a batch of mixed models becomes two: 2 x BATCH models at a time.
    size = max(1, min(2 * BATCH, -(-len(numbers) // jobs)))
    parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    if jobs == 1:
        for part in parts:
            yield try_models(part, draws)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = [pool.submit(try_models, part, draws) for part in parts]
        for done in as_completed(waiting):
            yield done.result()


def try_models(numbers: list[int], draws: Draws) -> list[Trial]:
    """The given models through lowering, hls4ml, g++ and the verdict."""
    with TemporaryDirectory(prefix="toolchain-selftest-") as name:
        folder = Path(name).resolve()
        trials: list[Trial] = []
        written: dict[str, list[Candidate]] = {}
        for number in numbers:
            made = _draw(number, draws, folder / f"model{number}")
            if isinstance(made, Trial):
                trials.append(made)
                continue
            stopped = _write(made)
            if stopped is None:
                written.setdefault(made.section.backend, []).append(made)
            else:
                trials.append(stopped)
                _keep(made, stopped, draws.keep)
        for backend, candidates in written.items():
            for candidate, trial in zip(candidates, judge_together(candidates, folder / backend), strict=True):
                trials.append(trial)
                _keep(candidate, trial, draws.keep)
    return trials


def _draw(number: int, draws: Draws, folder: Path) -> Candidate | Trial:
    try:
        return draw_candidate(draws.seed, number, draws.samples, folder, draws.front)
    except UnsupportedModelError as error:
        return Trial(number=number, verdict="refused", reason=error.problem)
    except Exception as error:
        reason = f"crash when drawn or read: {type(error).__name__}: {str(error)[:300]}"
        return Trial(number=number, verdict="wrong", reason=reason)


def _write(candidate: Candidate) -> Trial | None:
    try:
        different = candidate.different_node()
        if different:
            return _trial(candidate, "wrong", f"layer '{different}': not QKeras' words")
        candidate.write()
    except UnsupportedModelError as error:
        return _trial(candidate, "refused", error.problem)
    except ToolchainError as error:
        return _trial(candidate, "wrong", f"{type(error).__name__} when written: {describe_error(error)}")
    except Exception as error:
        return _trial(candidate, "wrong", f"crash when written: {type(error).__name__}: {str(error)[:300]}")
    return None


def judge_together(candidates: list[Candidate], folder: Path) -> list[Trial]:
    """The verdicts on candidates of one backend."""
    projects = [candidate.project for candidate in candidates]
    programs, errors = compile_each(projects, TOP, folder, find_compiler())
    trials = []
    for candidate in candidates:
        if candidate.project in errors:
            reason = f"does not compile: {describe_error(errors[candidate.project])[:500]}"
            trials.append(_trial(candidate, "wrong", reason))
        else:
            trials.append(_judge(candidate, programs[candidate.project]))
    return trials


def _judge(candidate: Candidate, program: Program) -> Trial:
    try:
        found = candidate.judge(program)
    except ToolchainError as error:
        return _trial(candidate, "wrong", describe_error(error))
    if found.verdict == "bit_exact":
        return _trial(candidate, "exact", "", found.words)
    first = found.first_mismatch
    reason = f"layer '{first.layer}': {first.cause}" if first else "words differ"
    return _trial(candidate, "wrong", reason, found.words)


def _trial(candidate: Candidate, verdict: Verdict, reason: str, words: int = 0) -> Trial:
    section = candidate.section
    strategies = {layer.strategy for layer in section.layers.values() if layer.strategy}
    return Trial(
        number=candidate.number, verdict=verdict, reason=reason, words=words,
        operators=tuple(sorted({type(node).__name__ for node in candidate.network.nodes})),
        options=" ".join([section.backend, section.io_type, *sorted(strategies)]),
    )  # fmt: skip


def _keep(candidate: Candidate, trial: Trial, keep: Path | None) -> None:
    if keep is None or trial.verdict != "wrong":
        return
    place = keep / f"model{candidate.number}"
    remove(place)
    place.mkdir(parents=True)
    candidate.folder.rename(place / "files") if candidate.folder.exists() else None
    (place / "section.json").write_text(candidate.section.model_dump_json(indent=1))
    (place / "trial.json").write_text(trial.model_dump_json(indent=1))


def _count(trials: list[Trial], draws: Draws) -> ModelsResult:
    verdicts = Counter(trial.verdict for trial in trials)
    exact = [trial for trial in trials if trial.verdict in ("exact", "approximate")]
    operators = Counter(name for trial in exact for name in trial.operators)
    options = Counter(name for trial in exact for name in trial.options.split())
    refusals = Counter(general(trial.reason) for trial in trials if trial.verdict == "refused")
    return ModelsResult(
        seed=draws.seed, samples=draws.samples, front=draws.front, models=len(trials),
        exact=verdicts["exact"], approximate=verdicts["approximate"],
        refused=verdicts["refused"], wrong=verdicts["wrong"], words=sum(trial.words for trial in trials),
        refusals=dict(refusals.most_common()), operators=dict(operators.most_common()),
        options=dict(options.most_common()), failures=tuple(trial for trial in trials if trial.verdict == "wrong"),
    )  # fmt: skip


def general(reason: str) -> str:
    """A reason without the names and numbers of one model."""
    return re.sub(r"-?\b\d+\b", "N", re.sub(r"'[^']*'", "'…'", reason))
