"""The report of a model of several outputs: a metric of each, a figure of each, and the port that differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from report_cases import build_results, data_result

from toolchain.report.assemble import assemble
from toolchain.report.figures import Figures, predictions_of_outputs, predictions_over_time
from toolchain.report.html import render
from toolchain.report.schema import OutputAccuracy
from toolchain.report.statements import best_of_output, output_stages
from toolchain.report.text import mismatch_lines, summary
from toolchain.results import DataResult, Interval, Mismatch, OutputPort, Part


def interval(value: float) -> Interval:
    return Interval(value=value, low=value - 0.1, high=value + 0.1)


def outputs() -> dict[str, OutputAccuracy]:
    price = OutputAccuracy(
        task="regression", metric="rmse", unit="index points", port="layer9_out", words="result_1", node="price",
        stages={"float": interval(2.5), "hls": interval(2.75)},
        baselines={"mean": interval(9), "persistence": interval(4)},
    )  # fmt: skip
    up = OutputAccuracy(
        task="binary", metric="accuracy", unit="", port="", words="result_0", node="", stages={"float": interval(0.5)},
        baselines={"majority class": interval(0.75)},
    )  # fmt: skip
    return {"price": price, "a <b>": up}


def test_page_and_terminal_show_each_output_in_its_own_metric() -> None:
    report = assemble(replace(build_results(), by_output=outputs()))
    assert list(output_stages(report)) == ["float", "hls"]
    assert best_of_output(outputs()["price"]) == "4 (persistence)"
    assert best_of_output(outputs()["a <b>"]).endswith("(majority class)")
    text = summary(report)
    assert "output price: rmse float model 2.500, hardware (C-simulation) 2.750" in text
    page = render(report, Figures())
    assert "Each output alone" in page
    assert "layer9_out" in page
    assert "a &lt;b&gt;" in page
    assert "a <b>" not in page
    assert "Each output alone" not in render(assemble(build_results()), Figures())


def several() -> DataResult:
    ports = (
        OutputPort(name="kind", outputs=3, task="multiclass"), OutputPort(name="up", outputs=1, task="binary"),
    )  # fmt: skip
    return data_result().model_copy(
        update={"task": "classification", "metric": "accuracy", "outputs": 4, "targets": ports, "unit": ""}
    )


def test_each_output_has_a_figure_of_its_own_columns() -> None:
    y = np.array([[0, 0, 1, 1], [1, 0, 0, 0]], dtype=np.float64)
    found = np.array([[1.0, 2.0, 3.0, 0.0], [4.0, 5.0, 6.0, 50.0]])
    drawn = predictions_of_outputs(several(), Part(y, y, np.zeros(0), np.arange(2)), {"float": found})
    assert list(drawn) == ["kind", "up"]
    assert drawn["kind"].kind == "output"
    assert drawn["kind"].float_model.tolist() == [3.0, 4.0]
    assert drawn["up"].kind == "probability"
    assert drawn["up"].truth.tolist() == [1.0, 0.0]
    page = render(assemble(replace(build_results(), by_output=outputs())), Figures(by_output=drawn))
    assert page.count("Predictions of ") == 2
    assert 'id="predictions-1"' in page
    assert 'id="predictions-2"' in page


def test_a_figure_of_several_values_says_that_it_draws_the_first() -> None:
    y = np.array([[1.0, 2.0], [3.0, 4.0]])
    for data, shown in ((data_result().model_copy(update={"outputs": 2}), True), (data_result(), False)):
        own = y[:, : data.outputs]
        drawn = predictions_over_time(data, Part(own, own, np.zeros(0), np.arange(2)), {"float": own})
        page = render(assemble(build_results()), Figures((), drawn))
        assert ("Of 2 values the first is drawn." in page) == shown


def test_the_port_that_differs_is_named() -> None:
    first = Mismatch(
        layer="head", keras_layer="head", sample=1, element=(0,), expected_word=3, found_word=2, fractional_bits=1,
        cause="?", port="'price' (result_1)",
    )  # fmt: skip
    assert mismatch_lines(first)[0] == "layer 'head', output port 'price' (result_1), sample 1, element [0]"
    alone = first.model_copy(update={"port": ""})
    assert mismatch_lines(alone)[0] == "layer 'head', sample 1, element [0]"
