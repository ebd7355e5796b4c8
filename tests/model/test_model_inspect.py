"""Hostile, broken and foreign model files: refused by reading, never run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from model_cases import config_of, layer, write_zip

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model import inspect
from toolchain.model.inspect import read_keras_file
from toolchain.model.preflight import check
from toolchain.project import ModelSection


def test_a_missing_file_is_a_problem_of_the_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such file"):
        read_keras_file(tmp_path / "model.keras")


def _h5(path: Path, **attributes: Any) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("not a model"),
        lambda path: path.write_bytes(b""),
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(write_zip(path.with_suffix(".x"), config_of()).read_bytes()[:60]),
        lambda path: zipfile.ZipFile(path, "w").close(),
        lambda path: write_zip(path, "{"),
        lambda path: write_zip(path, "[1]"),
        lambda path: write_zip(path, "[" * 100_000),
        lambda path: write_zip(path, config_of(), version="new"),
        lambda path: write_zip(path, {"class_name": "Sequential", "config": {"layers": []}}),
        lambda path: write_zip(path, {"class_name": "Sequential", "config": {"layers": [3]}}),
        lambda path: write_zip(path, {"class_name": "Sequential", "config": 7}),
        lambda path: write_zip(path, {"class_name": "Functional", "config": [layer("Dense")]}),
        lambda path: write_zip(path, {"class_name": "MyModel", "config": {}}),
        lambda path: _h5(path),
        lambda path: _h5(path, model_config="{"),
        lambda path: _h5(path, model_config=3),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "model.keras"
    make(path)
    with pytest.raises(UnsupportedModelError) as caught:
        read_keras_file(path)
    assert str(path) in caught.value.text()


_WORDS = (
    "class_name", "config", "layers", "name", "inbound_nodes", "input_layers", "output_layers", "module", "args",
    "Sequential", "Functional", "Dense", "InputLayer", "keras.layers", "keras_version", "batch_shape",
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(_WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)


def _read_or_refused(path: Path) -> None:
    """Any other error fails the test."""
    with contextlib.suppress(UnsupportedModelError):
        read_keras_file(path)


@given(_JSON, st.booleans())
@example([1], False)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any, model: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({"class_name": "Functional", "config": content} if model else content))
    _read_or_refused(path)


@given(
    st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
)
@example(zipfile.ZIP_DEFLATED, [(43 + place, 255) for place in range(6)])
def test_a_damaged_archive_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, packing: int, damage: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.keras"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.4.1", "more": "words " * 20}))
        archive.writestr("config.json", json.dumps(config_of()))
    content = bytearray(path.read_bytes())
    for place, byte in damage:
        content[place % len(content)] = byte
    path.write_bytes(content)
    _read_or_refused(path)


def test_a_huge_configuration_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "LARGEST_CONFIG_BYTES", 100)
    with pytest.raises(UnsupportedModelError, match="larger than 100 bytes"):
        read_keras_file(write_zip(tmp_path / "m.keras", config_of(layer("Dense"))))


_FUNCTION = {"class_name": "function", "module": "builtins", "config": "exec"}


@pytest.mark.parametrize(
    "item",
    [
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEA"}}),
        {"class_name": "Mine", "module": "mine.layers", "config": {"name": "x"}, "registered_name": "Custom>Mine"},
        {"class_name": "Dense", "module": "keras.layers", "registered_name": "mine>Dense", "config": {"name": "x"}},
        {"class_name": "Custom>Mine", "config": {"name": "x"}},
        layer("Dense", activation=_FUNCTION),
        layer("Dense", activation={"class_name": "function", "module": "os", "config": "system"}),
        layer("Dense", kernel_initializer={"class_name": "Popen", "module": "subprocess", "config": {}}),
        layer("Dense", kernel_initializer={"class_name": "get_file", "module": "keras.utils", "config": {}}),
        layer("Dense", kernel_initializer={"class_name": "X", "module": "keras_evil", "config": {}}),
        layer("Dense", anything=[[{"deep": {"class_name": "f", "module": "keras.config", "config": {}}}]]),
        {**layer("Dense"), "compile_config": {"loss": _FUNCTION}},
    ],
)
def test_custom_code_is_refused_naming_the_layer_and_the_key(tmp_path: Path, item: dict[str, Any]) -> None:
    path = write_zip(tmp_path / "m.keras", config_of(item))
    with pytest.raises(UnsupportedModelError) as caught:
        read_keras_file(path)
    assert caught.value.exit_code == 3
    assert f"layer '{item['config']['name']}'" in caught.value.where
    assert "was not run" in caught.value.problem
    assert "model.allow_custom_code" in caught.value.hint


def test_custom_code_that_keras_never_reads_does_no_harm(tmp_path: Path) -> None:
    config = {**config_of(layer("Dense")), "compile_config": {"loss": _FUNCTION}}
    assert [kind for kind, _ in read_keras_file(write_zip(tmp_path / "m.keras", config)).layers][1] == "Dense"


def test_a_lambda_is_refused_even_when_code_is_allowed(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "m.keras", config_of(layer("Lambda", function={"class_name": "__lambda__", "config": {}}))
    )
    section = ModelSection(file=path.name, allow_custom_code=True)
    (problem,) = check(section, tmp_path)
    assert problem.exit_code == 3
    assert "Lambda is not supported" in problem.problem


def _item(name: str, *sources: str, kind: str = "Dense") -> dict[str, Any]:
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [source, 0, 0]}} for source in sources]
    nodes = [{"args": tensors, "kwargs": {}}] if sources else []
    return {**layer(kind), "config": {"name": name}, "name": name, "inbound_nodes": nodes}


def _functional(*items: dict[str, Any], output: str) -> dict[str, Any]:
    config = {"layers": list(items), "input_layers": [["i", 0, 0]], "output_layers": [[output, 0, 0]]}
    return {"class_name": "Functional", "module": "keras", "config": config}


def test_a_functional_model_is_taken(tmp_path: Path) -> None:
    config = _functional(_item("i", kind="InputLayer"), _item("a", "i"), _item("b", "a"), output="b")
    assert len(read_keras_file(write_zip(tmp_path / "m.keras", config)).layers) == 3


@pytest.mark.parametrize(
    ("items", "output", "word"),
    [
        ([_item("a", "i"), _item("b", "nobody")], "b", "reads what no layer gives"),
        ([_item("a", "b"), _item("b", "a")], "b", "reads what no layer gives"),
        ([_item("a", "i")], "b", "cannot be read"),
    ],
)
def test_graphs_that_hang_in_the_air_are_refused(tmp_path: Path, items: list[Any], output: str, word: str) -> None:
    config = _functional(_item("i", kind="InputLayer"), *items, output=output)
    with pytest.raises(UnsupportedModelError) as caught:
        read_keras_file(write_zip(tmp_path / "m.keras", config))
    assert word in caught.value.text()


def test_preflight_reads_files_without_tensorflow(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.keras", config_of(layer("Dense", activation="log_softmax")))
    code = (
        "import sys; from pathlib import Path; from toolchain.model.preflight import check; "
        "from toolchain.project import ModelSection; "
        f"found = check(ModelSection(file={path.name!r}), Path({str(tmp_path)!r})); "
        "print(found[0].problem, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert out.stdout.strip() == "activation 'log_softmax' is not supported False False"


def test_a_real_lambda_file_is_not_executed(tmp_path: Path) -> None:
    from toolchain.model.tensorflow import load_tensorflow

    load_tensorflow()
    import keras

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2, name="mine"), keras.layers.Dense(1)]
    )
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        (problem,) = check(ModelSection(file=name), tmp_path)
        assert "layer 'mine'" in problem.where
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert "__lambda__" in json.dumps(json.loads(archive.read("config.json")))
