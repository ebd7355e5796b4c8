"""A Python program with its files, run once on another machine through the system's ssh."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from pathlib import Path

from toolchain.errors import ExternalToolError
from toolchain.target import Device

_SECONDS = 900
_CONNECT_SECONDS = 10
_NOT_REACHED, _NOT_FOUND = 255, 127  # exit codes of ssh itself and of a shell that does not know the program
#: Unpacks standard input into a folder of its own, runs the program there, and leaves nothing behind.
_REMOTE = (
    "d=$(mktemp -d) || exit 1; trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM; "
    'cd "$d" && tar xf - && {python} -B program.py'
)


def run_remotely(device: Device, files: dict[str, bytes]) -> str:
    """Standard output of ``program.py``, one of ``files``, run in a folder that holds them all.

    One connection carries the files there and the output back; nobody is asked for a password or a host's key.

    Raises ExternalToolError when ssh cannot be started, the board is not reached or lets nobody in, it has no such
    Python, or the program fails.
    """
    script = _REMOTE.format(python=device.python)
    configuration = ["-F", str(Path(device.ssh_config).expanduser())] if device.ssh_config else []
    command = [
        "ssh", *configuration, "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}",
        "-o", "ServerAliveInterval=15", "--", device.ssh, f"sh -c {shlex.quote(script)}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, input=_packed(files), capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ExternalToolError(f"did not end within {_SECONDS} s", where=device.ssh) from None
    except OSError as error:
        raise ExternalToolError(f"cannot be started: {error.strerror}", where="ssh") from None
    if done.returncode:
        raise _failure(device, done.returncode, done.stderr.decode("utf-8", "replace"))
    return done.stdout.decode("utf-8", "replace")


def _packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _failure(device: Device, code: int, said: str) -> ExternalToolError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1][:400] if lines else f"exit code {code}"
    if code == _NOT_REACHED:
        hint = f"'ssh {device.ssh} true' must work without a question: a key, and the host's own key accepted once"
        return ExternalToolError(f"cannot be reached: {last}", where=device.ssh, hint=hint)
    if code == _NOT_FOUND:
        hint = "set python in [device] of the target file"
        return ExternalToolError(f"does not have it: {last}", where=f"{device.ssh}: {device.python}", hint=hint)
    return ExternalToolError(f"the program failed: {last}", where=device.ssh)
