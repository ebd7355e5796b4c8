"""``toolchain check MODEL``: every layer judged before training, without TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import run_toolchain
from model_cases import config_of, layer, write_zip


def test_a_supported_model_is_judged_layer_by_layer(tmp_path: Path) -> None:
    layers = [
        layer("Dense", name="hidden", activation="tanh"), layer("BatchNormalization", name="norm"),
        layer("Dense", name="out", activation="softmax"),
    ]  # fmt: skip
    path = write_zip(tmp_path / "m.keras", config_of(*layers))
    done = run_toolchain("check", str(path), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(item["layer"], item["status"]) for item in document["layers"]][1:] == [
        ("hidden", "table"), ("norm", "rewritten"), ("out", "left out"),
    ]  # fmt: skip
    assert document["problems"] == []
    assert "0 refused" in done.stderr


def test_a_refused_layer_is_named_with_what_to_use_instead(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.keras", config_of(layer("PReLU", name="norm"), layer("Dense")))
    done = run_toolchain("check", str(path), "--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    refused = [item for item in document["layers"] if item["status"] == "refused"]
    assert [(item["layer"], item["instead"]) for item in refused] == [("norm", "LeakyReLU")]
    assert "norm" in document["problems"][0]["where"]
