"""Stage results are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolchain import workspace
from toolchain.errors import ProjectError
from toolchain.publication import publish_unless_edited
from toolchain.results import StageResult
from toolchain.workspace import Workspace


class Made(StageResult):
    number: int


def run(build: Path, calls: list[int], number: int = 1) -> Made:
    def produce(folder: Path) -> Made:
        calls.append(number)
        (folder / "file.txt").write_text(f"content {number}")
        return Made(number=number)

    return Workspace(build).stage("made", Made, {"number": number}, (), produce)[0]


def test_a_stored_result_is_found_again(tmp_path: Path) -> None:
    calls: list[int] = []
    first, second = run(tmp_path, calls), run(tmp_path, calls)
    assert calls == [1]
    assert first == second
    assert (second.folder / "file.txt").read_text() == "content 1"


def test_another_input_makes_another_result(tmp_path: Path) -> None:
    calls: list[int] = []
    run(tmp_path, calls, 1)
    run(tmp_path, calls, 2)
    assert calls == [1, 2]


@pytest.mark.parametrize("damage", ["changed", "shorter", "gone", "more", "manifest", "result"])
def test_a_damaged_result_is_not_trusted(tmp_path: Path, damage: str) -> None:
    calls: list[int] = []
    folder = run(tmp_path, calls).folder
    file = folder / "file.txt"
    if damage == "changed":
        file.write_text("content 9")
    elif damage == "shorter":
        file.write_text("")
    elif damage == "gone":
        file.unlink()
    elif damage == "more":
        (folder / "other.txt").write_text("")
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        (folder / "result.json").write_text(json.dumps({"number": 2}))
    assert run(tmp_path, calls).number == 1
    assert calls == [1, 1]


def test_a_stage_that_fails_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def fail(folder: Path) -> Made:
        (folder / "file.txt").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        Workspace(tmp_path).stage("made", Made, {"number": 1}, (), fail)
    calls: list[int] = []
    run(tmp_path, calls)
    assert calls == [1]


def test_the_key_depends_on_the_package_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run(tmp_path, calls)
    monkeypatch.setattr(workspace, "source_digest", lambda: "another version")
    run(tmp_path, calls)
    assert calls == [1, 1]


def test_an_unwritable_build_folder(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"), workspace.exclusive(tmp_path / "build", lambda: None):
        pass


def test_publish_replaces_a_folder_whole(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
    workspace.publish(tmp_path / "one", tmp_path / "out")
    workspace.publish(tmp_path / "two", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["two.txt"]
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_what_a_person_changed_is_kept(tmp_path: Path) -> None:
    source, folder, notes = tmp_path / "source", tmp_path / "out" / "hls", []
    source.mkdir()
    (source / "file.txt").write_text("written")

    def publish(key: str, restore: bool = False) -> str:
        publish_unless_edited(source, folder, key, restore, notes.append)
        return (folder / "file.txt").read_text()

    assert publish("one") == "written"
    assert publish("one") == "written"
    assert not notes
    (folder / "file.txt").write_text("edited")
    assert publish("one") == "edited"
    assert "used as it stands" in notes.pop()
    (source / "file.txt").write_text("new")
    assert publish("two") == "new"
    assert "hls.edited1" in notes.pop()
    assert (tmp_path / "out" / "hls.edited1" / "file.txt").read_text() == "edited"
    (folder / "file.txt").write_text("edited again")
    assert publish("two", restore=True) == "new"
    assert not (tmp_path / "out" / "hls.edited2").exists()


def test_a_folder_that_is_not_ours_is_moved_aside(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "hls"
    for place in (source, folder):
        place.mkdir()
        (place / "file.txt").write_text(place.name)
    publish_unless_edited(source, folder, "key", False, lambda text: None)
    assert (folder / "file.txt").read_text() == "source"
    assert (tmp_path / "hls.edited1" / "file.txt").read_text() == "hls"


def test_old_results_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "KEPT", 3)
    calls: list[int] = []
    for number in range(5):
        run(tmp_path, calls, number)
    assert len(list((tmp_path / ".stages" / "made").iterdir())) == 3
    run(tmp_path, calls, 4)
    assert calls == [0, 1, 2, 3, 4]
