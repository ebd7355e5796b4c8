"""Models of several outputs: names, shapes and options that do not fit are refused; what init writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import run_toolchain
from output_cases import PARTS, inputs, model, project, save, targets
from port_cases import initialised, request, run

from toolchain import pipeline
from toolchain.errors import PreflightError, UnsupportedModelError
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project_template import render
from toolchain.study.walk_forward import Plan, walk


def test_names_that_differ_are_refused_before_any_work(tmp_path: Path) -> None:
    table = project(tmp_path)
    y = targets()
    for given, text, code in (
        ({"price": y["price"]}, "the data have nothing for output 'depth'; they have price", 3),
        ({**y, "more": y["depth"]}, "the model has no output 'more'", 3),
    ):
        save(tmp_path, given)
        with pytest.raises(PreflightError) as caught:
            run(table, tmp_path)
        assert text in caught.value.text()
        assert caught.value.exit_code == code
    np.savez(tmp_path / "data.npz", **{f"{letter}_{part}": np.zeros((5, 2)) for letter in "xy" for part in PARTS})
    with pytest.raises(PreflightError, match=r"the model has 2 outputs \(depth, price\), the data have one"):
        run(table, tmp_path)
    np.savez(tmp_path / "data.npz", x_train=inputs(), x_test=inputs(), **{"y_train.price": y["price"]})
    with pytest.raises(PreflightError, match="has no array 'y_test'"):
        run(table, tmp_path)
    assert not (tmp_path / "build" / ".stages").exists()


def test_a_wrong_shape_is_refused_before_training_naming_the_output(tmp_path: Path) -> None:
    table = project(tmp_path)
    save(tmp_path, {**targets(), "price": inputs()[:, :3, 0]})
    with pytest.raises(UnsupportedModelError, match=r"output 'price': gives outputs of shape \(2,\), the data's"):
        run(table, tmp_path)


def test_what_is_made_for_one_output_is_refused_before_any_work(tmp_path: Path) -> None:
    table = project(tmp_path, model(3, softmax=True))
    for changed, text in (
        ({"quantize": {"final_softmax": True}}, "[quantize] final_softmax is made for one output"),
        ({"tflite": {"verify": True}}, "[tflite] verify is made for one output"),
    ):
        with pytest.raises(PreflightError) as caught:
            run({**table, **changed}, tmp_path)
        assert text in caught.value.text()
        assert caught.value.exit_code == 3
    with pytest.raises(UnsupportedModelError, match=r"--verify: is made for one output, the model has 2 \(depth,"):
        pipeline.run(replace(request(table, tmp_path), verify_on_arm=True))
    (tmp_path / "project.toml").write_text(render(table))
    with pytest.raises(UnsupportedModelError, match="toolchain study: is made for one output"):
        walk(Plan(tmp_path / "project.toml"), print)
    assert not (tmp_path / "build" / ".stages").exists()


def test_two_outputs_of_one_layer_are_refused_before_any_work(tmp_path: Path) -> None:
    load_tensorflow()
    import keras

    one, two, head = keras.Input((4,), name="a"), keras.Input((4,), name="b"), keras.layers.Dense(1, name="head")
    table = project(tmp_path, keras.Model([one, two], [head(one), head(two)]))
    with pytest.raises(PreflightError, match="2 outputs are of layer 'head'") as caught:
        run(table, tmp_path)
    assert caught.value.exit_code == 3


def test_init_writes_the_project_of_named_arrays_and_of_a_tables_columns(tmp_path: Path) -> None:
    project(tmp_path)
    command = initialised(tmp_path)
    rows = "\n".join(",".join(str(place % 7 + column) for column in range(4)) for place in range(30))
    (tmp_path / "table.csv").write_text(f"a,b,c,y\n{rows}\n")
    data = ["--data", str(tmp_path / "table.csv")]
    done = run_toolchain(*command, "table", *data, "--output", "price=b,c", "--output", "depth=y")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "made" / "table" / "project.toml").read_text()
    assert '[data.outputs]\nprice = ["b", "c"]\ndepth = ["y"]\n' in text
    for more, code, words in (
        (["--predict", "y"], 3, "the model has 2 outputs (depth, price), the data have one"),
        (["--output", "price=b,c"], 3, "the data have nothing for output 'depth'"),
        (["--output", "price"], 2, "NAME=COLUMN,COLUMN"),
        (["--output", "price=b", "--predict", "y"], 2, "one of the two"),
    ):
        done = run_toolchain(*command, "refused", *data, *more)
        assert done.returncode == code
        assert words in done.stderr
        assert not (tmp_path / "made" / "refused").exists()
