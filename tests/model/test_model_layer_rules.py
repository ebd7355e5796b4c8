"""Layers are refused on their configuration alone, with the option's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from model_cases import chains

from toolchain.model.chain import Chain
from toolchain.model.layer_rules import check_layer, check_layers


@pytest.mark.parametrize(
    ("kind", "config", "word"),
    [
        ("LSTM", {}, "LSTM"),
        ("Sequential", {}, "Sequential"),
        ("Lambda", {}, "Lambda"),
        ("Dense", {"activation": "sigmoid"}, "sigmoid"),
        ("Dense", {"activation": {"class_name": "function", "config": "softmax"}}, "softmax"),
        ("Dense", {"activation": {"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}}, "LeakyReLU"),
        ("Dense", {"dtype": "float16"}, "float16"),
        ("Dense", {"dtype": {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}}, "mixed_bfloat16"),
        ("Dense", {"lora_rank": 4}, "lora_rank"),
        ("Conv1D", {"groups": 2}, "groups"),
        ("Conv1D", {"data_format": "channels_first"}, "channels_first"),
        ("Conv1D", {"padding": "full"}, "padding"),
        ("ReLU", {"max_value": 6.0}, "max_value"),
        ("ReLU", {"negative_slope": 0.1}, "negative_slope"),
        ("ReLU", {"threshold": 1.0}, "threshold"),
        ("Activation", {"activation": "tanh"}, "tanh"),
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
        ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
        ("Dropout", {"rate": 0.5}),
    ],
)
def test_plain_layers_are_taken(kind: str, config: dict[str, Any]) -> None:
    assert check_layer(kind, config, "layer 'x'") == []


def test_all_problems_are_shown_at_once() -> None:
    found = check_layers([("LSTM", {"name": "a"}), ("GRU", {"name": "b/c"})], "file")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("kinds", "fits"),
    [
        ("Dense Norm", True),
        ("Norm Dense", True),
        ("Norm Norm Flatten Norm Dense", True),
        ("Dense Norm Norm ReLU Norm Flatten Dense", True),
        ("Conv1D Dropout Norm", True),
        ("Dense ReLU Norm", False),
        ("Norm ReLU Dense", False),
        ("Dense ReLU Norm ReLU Dense", False),
        ("Norm", False),
    ],
)
def test_a_batch_normalization_without_a_place_is_found_without_weights(kinds: str, fits: bool) -> None:
    layers = [
        (kind.replace("Norm", "BatchNormalization"), {"name": f"l{place}"}) for place, kind in enumerate(kinds.split())
    ]
    assert (check_layers(layers, "m") == []) is fits


def test_padding_forbids_folding_forward_and_a_fused_activation_folding_back() -> None:
    norm = ("BatchNormalization", {"name": "n"})
    assert check_layers([norm, ("Conv1D", {"name": "c", "padding": "same"})], "m")
    assert not check_layers([norm, ("Conv1D", {"name": "c", "padding": "valid"})], "m")
    assert check_layers([("Dense", {"name": "d", "activation": "relu"}), norm], "m")


@settings(max_examples=25, deadline=None)
@given(chains())
def test_what_the_rules_take_the_chain_can_fold(chain: Chain) -> None:
    from toolchain.model.chain import inference_chain

    names = {"conv1d": "Conv1D", "dense": "Dense", "relu": "ReLU", "flatten": "Flatten", "dropout": "Dropout"}
    layers = [
        (names.get(link.kind, "BatchNormalization"), {"name": link.name, "padding": link.padding}
         if link.kind == "conv1d" else {"name": link.name})
        for link in chain.links
    ]  # fmt: skip
    assert check_layers(layers, "m") == []
    assert all(link.kind not in ("batch_normalization", "dropout") for link in inference_chain(chain).links)
