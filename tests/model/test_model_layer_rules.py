"""Layers are refused on their configuration alone, with the option's name."""

from __future__ import annotations

from typing import Any

import pytest

from toolchain.model.layer_rules import check_layer, check_wiring, judge
from toolchain.model.wiring import Wiring, read_wiring


@pytest.mark.parametrize(
    ("kind", "config", "word"),
    [
        ("ConvLSTM1D", {}, "ConvLSTM1D"),
        ("GRU", {"stateful": True}, "stateful"),
        ("Sequential", {}, "Sequential"),
        ("Lambda", {}, "Lambda"),
        ("PReLU", {}, "PReLU"),
        ("Dense", {"activation": {"class_name": "function", "config": "log_softmax"}}, "log_softmax"),
        ("Dense", {"activation": {"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}}, "LeakyReLU"),
        ("Dense", {"activation": "log_softmax"}, "log_softmax"),
        ("MaxPooling2D", {"padding": "causal"}, "padding"),
        ("Embedding", {"mask_zero": True}, "mask_zero"),
        ("Dense", {"dtype": "float16"}, "float16"),
        ("Dense", {"dtype": {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}}, "mixed_bfloat16"),
        ("Dense", {"lora_rank": 4}, "lora_rank"),
        ("Conv1D", {"groups": 2}, "groups"),
        ("Conv1D", {"data_format": "channels_first"}, "channels_first"),
        ("Conv1D", {"padding": "full"}, "padding"),
        ("Flatten", {"data_format": "channels_first"}, "channels_first"),
        ("BatchNormalization", {"renorm": True}, "renorm"),
        ("InputLayer", {"sparse": True}, "sparse"),
    ],
)
def test_options_that_change_the_arithmetic_are_refused(kind: str, config: dict[str, Any], word: str) -> None:
    (problem,) = check_layer(kind, config, "layer 'x'")
    assert problem.exit_code == 3
    assert word in problem.problem
    assert problem.where == "layer 'x'"
    assert problem.allowed


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Dense", {"activation": "relu", "dtype": "float32", "units": 3}),
        ("Dense", {"activation": {"class_name": "function", "config": "linear"}}),
        ("Conv1D", {"padding": "causal", "groups": 1, "dilation_rate": [2], "strides": [2]}),
        ("ReLU", {"max_value": 6.0, "negative_slope": 0.1}),
        ("Activation", {"activation": "tanh"}),
        ("Embedding", {"dtype": "int32"}),
        ("QDense", {"activation": None}),
        ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
        ("Dropout", {"rate": 0.5}),
    ],
)
def test_plain_layers_are_taken(kind: str, config: dict[str, Any]) -> None:
    assert check_layer(kind, config, "layer 'x'") == []


def wiring(*layers: tuple[str, dict[str, Any]]) -> Wiring:
    items = [
        {"class_name": kind, "config": {"name": f"l{place}", **config}} for place, (kind, config) in enumerate(layers)
    ]
    config = {"layers": [{"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4]}}, *items]}
    return read_wiring("Sequential", config, "file")


def test_all_problems_are_shown_at_once() -> None:
    found = check_wiring(wiring(("PReLU", {"name": "a"}), ("Masking", {"name": "b/c"}), ("Dense", {})), "file")
    assert len(found) == 3


def test_a_softmax_is_approximate_within_a_model_and_left_out_at_its_end() -> None:
    softmax, dense, layer = ("Dense", {"activation": "softmax"}), ("Dense", {}), ("Softmax", {})
    for layers, judged in (((dense, softmax), "left out"), ((softmax, dense), "approximate"),
                           ((dense, layer), "left out"), ((layer, dense), "approximate")):  # fmt: skip
        assert check_wiring(wiring(*layers), "m") == []
        place = layers.index(softmax if softmax in layers else layer)
        assert [item.status for item in judge(wiring(*layers), "m")][1:][place] == judged
    assert check_wiring(wiring(("Softmax", {"axis": -2}), dense), "m")
    assert check_wiring(wiring(("LSTM", {"activation": "softmax"}), dense), "m")


def test_a_layer_normalization_is_approximate() -> None:
    found = judge(wiring(("LayerNormalization", {}), ("Dense", {})), "m")
    assert [item.status for item in found] == ["exact", "approximate", "exact"]
    assert check_wiring(wiring(("LayerNormalization", {"rms_scaling": True}), ("Dense", {})), "m")


def test_what_has_no_kernel_is_no_model() -> None:
    (problem,) = check_wiring(wiring(("ReLU", {})), "m")
    assert "no Dense or convolution" in problem.problem


def test_every_layer_is_judged() -> None:
    found = judge(
        wiring(
            ("BatchNormalization", {}), ("Dense", {"activation": "tanh"}), ("ReLU", {"max_value": 6.0}),
            ("Dropout", {}),
            ("PReLU", {}), ("Dense", {"activation": "sigmoid"}),
        ),
        "m",
    )  # fmt: skip
    assert [item.status for item in found] == [
        "exact", "rewritten", "table", "table", "training only", "refused", "left out",
    ]  # fmt: skip
    assert all(item.instead for item in found if item.status == "refused")
