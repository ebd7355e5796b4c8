"""The int8 artefact on a "board": this machine, reached through a real ssh server on the loopback."""

from __future__ import annotations

import getpass
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from arm_cases import data_result, exported, recorded
from conftest import ROOT, run_toolchain, write_small_project

from toolchain.arm.device import read_answer, run_on_device
from toolchain.arm.device_program import ANSWER
from toolchain.arm.remote import run_remotely
from toolchain.arm.stage import problems
from toolchain.errors import BitMismatchError, ExternalToolError, ProjectError
from toolchain.preflight import check_device
from toolchain.target import Arm, Device, Target

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    exported(folder)
    return folder


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """An ssh server with keys of its own, and the configuration that leads to it."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("sshd is not installed (apt-get install openssh-server)")
    folder = tmp_path_factory.mktemp("board")
    folder.chmod(0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile {folder}/sshd.pid\n"
    )
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    config = folder / "config"
    config.write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\nHost stranger\n  HostName 127.0.0.1\n"
        f"  Port {port}\n"
        f"  IdentityFile {folder}/host\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
        "Host nobody\n  HostName 127.0.0.1\n  Port 1\n"
    )
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation
    command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        if "listening" not in line:
            server.terminate()
            pytest.skip(f"sshd cannot be started here: {line.strip()}")
        yield Device(ssh="board", python=sys.executable, ssh_config=str(config))
        server.terminate()


def target(device: Device | None) -> Target:
    arm = Arm(core="Cortex-A72", architecture="aarch64", cores=4, clock_mhz=1500.0)
    return Target(name="board", title="A board", arm=arm, device=device, sources={})


def changed(device: Device, **values: str) -> Target:
    return target(Device(**{**device.model_dump(), **values}))


def test_the_words_of_a_board_pass_every_gate_and_its_times_are_measured(board: Device, artefact: Path) -> None:
    found = run_on_device(data_result(), recorded(artefact), target(board))
    assert problems(found) == []
    assert {run.kernels for run in found.runs} == {"reference", "default"}
    for run in found.runs:
        assert (run.samples, run.machine_differences) == (209, 0)
        assert run.different_decisions == 0
    assert found.invocations == 209
    assert 0 < found.p50_us <= found.p99_us
    assert found.runtime.startswith(("tensorflow ", "ai-edge-litert ", "tflite-runtime "))
    assert any("the target's core Cortex-A72" in remark for remark in found.remarks)  # this machine is no Cortex-A72
    assert found.model_sha256 == recorded(artefact).files[0].sha256


def test_a_changed_weight_is_caught_on_the_board(board: Device, artefact: Path, tmp_path: Path) -> None:
    from test_arm_stage import _rewrite, _weight

    folder = tmp_path / "changed"
    shutil.copytree(artefact, folder)
    _rewrite(folder / "model.int8.tflite", _weight)
    (first, *_) = problems(run_on_device(data_result(), recorded(folder), target(board)))
    assert first.exit_code == 5
    assert "words" in first.problem


def test_a_truncated_file_is_refused_by_the_board(board: Device, artefact: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(artefact, folder)
    path = folder / "model.int8.tflite"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(BitMismatchError, match="refuses it"):
        run_on_device(data_result(), recorded(folder), target(board))


def test_nothing_stays_on_the_board(board: Device) -> None:
    program = b"import os\nprint(os.getcwd(), *sorted(os.listdir('.')))\n"
    place, *files = run_remotely(board, {"program.py": program, "model.tflite": b"1"}).split()
    assert files == ["model.tflite", "program.py"]
    assert not Path(place).exists()
    with pytest.raises(ExternalToolError, match="the program failed: not this time"):
        run_remotely(board, {"program.py": b"import sys\nsys.exit('not this time')\n"})


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"ssh": "nobody"}, "cannot be reached: .*refused", "must work without a question"),
        ({"ssh": "stranger"}, "cannot be reached: .*Permission denied", "must work without a question"),
        ({"ssh": "no-such-host.invalid"}, "cannot be reached", "must work without a question"),
        ({"python": "no-python-of-this-name"}, "does not have it: .*not found", "set python in"),
    ],
)
def test_a_board_that_cannot_be_used_is_exit_code_6(
    board: Device, artefact: Path, values: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(ExternalToolError, match=message) as caught:
        run_on_device(data_result(), recorded(artefact), changed(board, **values))
    assert caught.value.exit_code == 6
    assert hint in caught.value.hint


def test_an_unknown_host_key_is_never_accepted(board: Device, artefact: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = Path(board.ssh_config).read_text()
    config.write_text(text.replace("known_hosts", "no_hosts"))
    with pytest.raises(ExternalToolError, match="Host key verification failed"):
        run_on_device(data_result(), recorded(artefact), changed(board, ssh_config=str(config)))


def test_a_python_without_a_runtime_is_named(board: Device, artefact: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(ExternalToolError, match="has no numpy for") as caught:
        run_on_device(data_result(), recorded(artefact), changed(board, python=str(bare)))
    assert "pip install ai-edge-litert" in caught.value.hint


def test_answers_among_other_lines_and_damaged_ones() -> None:
    device = Device(ssh="board")
    for output, message in (
        ("welcome\n", "without an answer"),
        (f"{ANSWER}{{}}\n{ANSWER}{{}}\n", "without an answer"),
        (f"hello\n{ANSWER}not json\n", "cannot be read"),
        (f"{ANSWER}[]\n", "cannot be read"),
        (f'{ANSWER}{{"machine": 3}}\n', "cannot be read"),
        (f'{ANSWER}{{"missing": "TFLite runtime"}}\n', "has no TFLite runtime"),
    ):
        with pytest.raises(ExternalToolError, match=message):
            read_answer(output, device)
    with pytest.raises(BitMismatchError, match="refuses it: no schema"):
        read_answer(f'{ANSWER}{{"refused": "no schema"}}\n', device)


def test_a_target_without_a_board_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProjectError, match="how to reach a board"):
        check_device(target(None))
    check_device(target(Device(ssh="pi@board"))) if shutil.which("ssh") else None
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExternalToolError, match="ssh: is missing"):
        check_device(target(Device(ssh="pi@board")))


@pytest.mark.parametrize("name", ["-oProxyCommand=touch", "a b", "board;touch", "", "$(id)"])
def test_names_that_are_options_or_commands_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="ssh"):
        Device(ssh=name)
    with pytest.raises(ValueError, match="python"):
        Device(ssh="board", python=name)


@pytest.mark.slow
def test_the_command_measures_anew_and_the_report_shows_the_last_run(board: Device, tmp_path: Path) -> None:
    write_small_project(tmp_path / "small")
    text = (ROOT / "targets" / "raspberry_pi_4.toml").read_text()
    table = "".join(f'{name} = "{value}"\n' for name, value in board.model_dump().items())
    (tmp_path / "pi.toml").write_text(text.replace("[sources]", f"[device]\n{table}\n[sources]"))
    arguments = ("tflite", "small", "--target", "pi.toml", "--device", "--json")
    found = []
    for _ in range(2):
        done = run_toolchain(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "board: p50" in done.stderr
        found.append(json.loads(done.stdout)["device"])
    assert found[0]["model_sha256"] == found[1]["model_sha256"]
    assert found[0] != found[1]  # measured twice
    done = run_toolchain("report", "small", "--target", "pi.toml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"]["measured"] == found[1]["measured"]
    (tmp_path / "pi.toml").write_text((tmp_path / "pi.toml").read_text().replace('ssh = "board"', 'ssh = "nobody"'))
    done = run_toolchain(*arguments, cwd=tmp_path)
    assert done.returncode == 6
    assert "cannot be reached" in done.stderr
    assert run_toolchain(*arguments[:2], "--device", cwd=tmp_path).returncode == 2  # the shipped target has no board
