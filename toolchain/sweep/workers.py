"""Designs built side by side by Ray: on this machine's cores, or on a cluster that is there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.errors import ExternalToolError
from toolchain.sweep.design import Design, Task

#: Designs side by side on this machine when nobody says how many.
_AT_HOME = 2
_ANSWER_SECONDS = 10
#: One core for each design: what TensorFlow and numpy's libraries read.
_ONE_CORE = {
    "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0",
}  # fmt: skip


@contextmanager
def cluster(workers: int | None, address: str) -> Iterator[int]:
    """Ray on this machine's cores, or the cluster at ``address``; yields how many designs run at once.

    That is ``workers``; where it is None, 2 on this machine and every core of a cluster.

    Raises ExternalToolError when the cluster does not answer.
    """
    _check_reachable(address)
    if address and _has_token():  # before Ray is imported: it reads the mode once
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    here = {} if address else {"include_dashboard": False, "num_cpus": workers or _AT_HOME}
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level="ERROR",
            runtime_env={"env_vars": _environment()}, **here,
        )  # fmt: skip
    except Exception as error:
        raise ExternalToolError(
            f"the Ray cluster cannot be used: {str(error)[:200]}", where="--ray-address" if address else "ray",
            hint="ray status; a cluster with tokens needs RAY_AUTH_MODE=token and its token; without --ray-address "
            "this machine is used",
        ) from None  # fmt: skip
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises ExternalToolError when nothing listens at ``host:port``: Ray would go on trying for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:  # "auto" and "local" are Ray's own words
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ExternalToolError(
            f"nothing answers at {address}: {error}", where="--ray-address",
            hint="ray start --head tells its address; without --ray-address this machine is used",
        ) from None  # fmt: skip


def _has_token() -> bool:
    """Whether there is a token for a cluster: ``ray start`` asks for it then, and a client has to be told to send it.

    A cluster of this machine leaves one in the home folder.
    """
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return given or (Path.home() / ".ray" / "auth_token").is_file()


def build_all(
    tasks: Iterator[Task], at_once: int, finished: Callable[[Design], None], build: Callable[[Task], Design]
) -> None:
    """Build tasks as they come, ``at_once`` side by side; ``finished`` is called in this process for each design.

    A worker that dies is replaced and its design built again; a bug in a design is raised.
    """
    import ray

    remote = ray.remote(num_cpus=1, max_retries=3)(_build_json)
    running: dict[Any, Task] = {}

    def fill() -> None:
        while len(running) < at_once:
            task = next(tasks, None)
            if task is None:
                return
            running[remote.remote(task.model_dump_json(), build)] = task

    fill()
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        running.pop(done)
        finished(Design.model_validate_json(ray.get(done)))
        fill()


def _build_json(task: str, build: Callable[[Task], Design]) -> str:
    """The same as text: no class of this package needs to be pickled."""
    return build(Task.model_validate_json(task)).model_dump_json()


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PYTHONPATH", "XDG_CACHE_HOME", "HOME") if name in os.environ}
    return {**inherited, **_ONE_CORE}
