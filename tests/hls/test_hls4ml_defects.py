"""What hls4ml 1.3.0 does that the lowering goes round or refuses: the smallest model for each.

A test here that fails after hls4ml was changed says that it mended this, and which way round can go: they stand in
``layers.py``, ``operators.py``, ``lower.py``, ``precision.py``, ``extension.py`` and ``admission.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hls_cases import Run

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls import lower as lowering
from toolchain.hls import stage
from toolchain.hls.layers import Layer, merge, plain
from toolchain.hls.lowered import Lowered
from toolchain.hls.precision import _format_of
from toolchain.hls.stage import quiet_hls4ml
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import HlsSection

X = FixedPoint(True, 2, 3)
HALVES = FixedPoint(True, 0, 1, Rounding.RND_CONV, Overflow.SAT)


def graph(layers: list[Layer], io_type: str = "io_parallel") -> dict[str, Any]:
    """hls4ml's layers by name after all its passes for Vivado; every layer that none reads is an output."""
    model = {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "Latency", "BitExact": True}
    writer = {"Namespace": None, "WriteWeightsTxt": False, "WriteTar": False, "TBOutputStream": "both"}
    config = {
        "OutputDir": "unused", "ProjectName": "n", "Backend": "Vivado", "Part": "x", "ClockPeriod": 5,
        "ClockUncertainty": "1%", "IOType": io_type, "HLSConfig": {"Model": model, "LayerName": {}},
        "WriterConfig": writer,
    }  # fmt: skip
    read = {x for layer in layers for x in layer.get("inputs", [])}
    ports = [layer["name"] for layer in layers if layer["class_name"] == "InputLayer"]
    with quiet_hls4ml():
        from hls4ml.model.graph import ModelGraph

        outputs = [layer["name"] for layer in layers if layer["name"] not in read]
        made = ModelGraph.from_layer_list(config, layers, ports, outputs)
        made.apply_flow(made.config.backend.get_default_flow())
    return dict(made.graph)


def quantizer(name: str, x: str, axes: int, form: FixedPoint) -> Layer:
    def mask(value: int) -> np.ndarray:
        return np.full((1,) * (axes + 1), value, dtype=np.int16)

    sign = int(form.signed)
    return plain(
        "FixedPointQuantizer", name, x, mask_kbi=(mask(sign), mask(form.width), mask(form.integer_bits + sign)),
        RND=str(form.rounding), SAT=str(form.overflow), fusible=True, overrides={},
    )  # fmt: skip


def port(shape: tuple[int, ...], name: str = "x", form: FixedPoint = X) -> list[Layer]:
    first = {"class_name": "InputLayer", "name": name, "input_shape": list(shape)}
    return [first, quantizer(f"{name}_format", name, len(shape), form)]


def dense(x: str, kernel: np.ndarray) -> Layer:
    n_in, n_out = kernel.shape
    data = {"weight_data": kernel.astype(float), "bias_data": np.zeros(n_out), "use_bias": True}
    return plain("Dense", "d", x, n_in=n_in, n_out=n_out, **data)


def alpha(x: str, scale: list[float], bias: list[float]) -> Layer:
    data = {"scale_data": np.array(scale), "bias_data": np.array(bias)}
    return plain("ApplyAlpha", "s", x, n_in=len(scale), n_filt=-1, **data)


def relu(name: str, x: str, size: int) -> Layer:
    return plain("Activation", name, x, activation="relu", n_in=size)


def type_of(layer: Any) -> str:
    return str(_format_of(layer.get_output_variable().type.precision))


def test_a_permutation_before_a_flattening_becomes_wrong_weights() -> None:
    kernel = np.arange(24).reshape(12, 2)
    turned = [plain("Transpose", "p", "x_format", perm=[1, 0, 2]), plain("Reshape", "f", "p", target_shape=[12])]
    found = graph([*port((2, 3, 2)), *turned, dense("f", kernel)])
    assert "p" not in found
    right = kernel.reshape(3, 2, 2, 2).transpose(1, 0, 2, 3).reshape(12, 2)
    assert not np.array_equal(found["d"].weights["weight"].data, right)


def test_a_multiplication_by_one_is_left_out_with_its_format() -> None:
    scale = [alpha("d", [1, 1, 1], [0, 0, 0]), quantizer("s_format", "s", 1, HALVES)]
    found = graph([*port((3,)), dense("x_format", np.ones((3, 3))), *scale])
    assert "s" not in found
    assert type_of(found["d"]) == "ap_fixed<8,5>"


def test_a_multiplication_is_moved_behind_an_addition() -> None:
    found = graph([*port((3,)), alpha("x_format", [0, 0, 0], [-2, 0, 0]), merge("add", "a", "s", "x_format")])
    assert list(found) == ["x", "a", "s"]


def test_the_padding_of_a_streamed_convolution_is_put_before_another_reader() -> None:
    conv = plain(
        "Conv1D", "c", "x_format", data_format="channels_last", in_width=4, out_width=4, n_chan=2, n_filt=2,
        filt_width=3, stride_width=1, dilation=1, pad_left=1, pad_right=1, padding="same",
        weight_data=np.ones((3, 2, 2)), bias_data=np.zeros(2), use_bias=True,
    )  # fmt: skip
    found = graph([*port((4, 2)), relu("r", "x_format", 8), conv], "io_stream")
    assert found["r"].inputs == ["zp1d_c"]


def test_a_stream_with_eight_readers_is_an_error() -> None:
    with pytest.raises(ValueError, match="more than 7 times"):
        graph([*port((4,)), *(relu(f"r{n}", "x_format", 4) for n in range(8))], "io_stream")


def test_positive_axes_of_a_concatenation_are_errors() -> None:
    for axis, other in ((1, (4, 2)), (2, (3, 3))):
        joined = {"class_name": "Concatenate", "name": "c", "inputs": ["x_format", "y_format"], "axis": axis}
        with pytest.raises(ValueError, match="axis"):
            graph([*port((3, 2)), *port(other, "y"), joined | {"op": "concatenate2d"}])


def test_a_second_change_of_format_replaces_the_first() -> None:
    second = FixedPoint(True, 0, 2, Rounding.RND_CONV, Overflow.SAT)
    formats = [quantizer("a", "r", 1, HALVES), quantizer("b", "a", 1, second)]
    found = graph([*port((3,)), relu("r", "x_format", 3), *formats])
    assert list(found) == ["x", "r"]


def test_a_table_is_read_by_a_type_with_fewer_bits_than_its_index() -> None:
    wide = FixedPoint(True, 4, 5, Rounding.RND_CONV, Overflow.SAT)
    table = plain("UnaryLUT", "t", "r_format", table_data=np.arange(1024) / 64, activation="unary_lut")
    found = graph([*port((3,)), relu("r", "x_format", 3), quantizer("r_format", "r", 1, wide), table])
    assert type_of(found["r"]) == "ap_ufixed<5,2,AP_RND_CONV,AP_SAT,0>"
    assert len(found["t"].weights["table"].data) == 1024


def test_an_input_port_loses_the_bits_that_are_cut_off_behind_it() -> None:
    found = graph([*port((3,)), relu("r", "x_format", 3), quantizer("r_format", "r", 1, FixedPoint(True, 2, 1))])
    assert type_of(found["x"]) == "ap_fixed<4,3>"


def test_a_clipped_value_is_taken_to_be_on_the_grid_before_clipping() -> None:
    """Integers clipped at 1.9375 come out as 1, and the sum behind has no fractional bits."""
    clipped = FixedPoint(False, 1, 4, Rounding.RND_CONV, Overflow.SAT)
    whole = port((3,), form=FixedPoint(True, 3, 0))
    found = graph([
        *whole, relu("r", "x_format", 3), quantizer("r_format", "r", 1, clipped), dense("r_format", np.ones((3, 2))),
    ])  # fmt: skip
    assert type_of(found["r"]) == "ap_ufixed<1,1,AP_RND_CONV,AP_SAT,0>"
    assert type_of(found["d"]) == "ap_ufixed<2,2>"


def test_a_dilation_is_not_known() -> None:
    conv = plain(
        "Conv1D", "c", "x_format", data_format="channels_last", in_width=6, out_width=4, n_chan=2, n_filt=2,
        filt_width=2, stride_width=1, dilation=2, pad_left=0, pad_right=0, padding="valid",
        weight_data=np.ones((2, 2, 2)), bias_data=np.zeros(2), use_bias=True,
    )  # fmt: skip
    with pytest.raises(ValueError, match="broadcast together"):
        graph([*port((6, 2)), conv])


def test_a_depthwise_convolution_is_taken_for_a_sum_over_the_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    with quiet_hls4ml():
        from hls4ml.model import layers
        from hls4ml.model.optimizer.passes import bit_exact
    from toolchain.hls import extension

    extension.register()
    conv = plain(
        "DepthwiseConv1D", "c", "x_format", data_format="channels_last", in_width=4, out_width=2, n_chan=2, n_filt=2,
        filt_width=3, stride_width=1, pad_left=0, pad_right=0, padding="valid", depth_multiplier=1,
        depthwise_data=np.ones((3, 2, 1)), bias_data=np.zeros(2), use_bias=True,
    )  # fmt: skip
    layer = graph([*port((4, 2)), conv])["c"]
    x = np.full((4, 2), 1), np.full((4, 2), 2), np.full((4, 2), 3)  # sign, integer and fractional bits of each word
    monkeypatch.setattr(bit_exact, "get_input_kifs", lambda layer: [x])
    own, theirs = bit_exact._produce_kif, bit_exact._produce_kif.registry[layers.Conv1D]
    assert bit_exact._produce_kif.registry[layers.DepthwiseConv1D] is not theirs
    assert own(layer)[1].max() == 4  # three values below 4
    assert theirs(layer)[1].max() == 5  # six of them


# --- what only the compiled source shows ----------------------------------------------------------------------------


def padded_pool() -> FixedPointNetwork:
    b = NetworkBuilder("n")
    x = b.input("x", (6, 2), FixedPoint(False, 2, 3))
    return b.build((b.max_pool("p", x, (2,), (2,), ((1, 1),)),))


def convolution(
    window: tuple[int, ...], strides: tuple[int, ...], dilation: int = 1, depthwise: bool = False
) -> FixedPointNetwork:
    b = NetworkBuilder("n")
    x = b.input("x", (6,) * len(window) + (2,), X)
    kernel = np.random.default_rng(0).integers(-8, 8, (*window, 2) if depthwise else (*window, 2, 3))
    form, nothing = FixedPoint(True, 0, 3), ((0, 0),) * len(window)
    spread = (dilation,) * len(window)
    return b.build((
        b.convolution("c", x, kernel, form, strides=strides, padding=nothing, dilation=spread, depthwise=depthwise),
    ))  # fmt: skip


def overlapping_pool() -> FixedPointNetwork:
    b = NetworkBuilder("n")
    nothing = ((0, 0), (0, 0))
    return b.build((b.max_pool("p", b.input("x", (5, 5, 2), X), (3, 3), (2, 2), nothing),))


def rounded_away() -> FixedPointNetwork:
    b = NetworkBuilder("n")
    return b.build((b.relu("r", b.input("x", (4,), X), FixedPoint(True, 12, -10, Rounding.RND, Overflow.SAT)),))


def run(network: FixedPointNetwork, folder: Path, io_type: str, strategy: str = "latency") -> str:
    """The verdict, or ``stopped`` where an assertion of the C-simulation ended it."""
    section = HlsSection.model_validate({"io_type": io_type, "strategy": strategy})
    try:
        return Run(network, folder, section, samples=50).all().hardware.verdict
    except BitMismatchError:
        return "stopped"


def pads_in_the_pool(lowered: Lowered) -> None:
    """Let hls4ml pad the pooling itself."""
    padding, pool = lowered.layers[-2:]
    pool |= {"inputs": padding["inputs"], "n_in": 6, "pad_left": 1, "pad_right": 1, "padding": "same"}
    lowered.layers.remove(padding)
    lowered.casts.clear()


@pytest.mark.slow
def test_unsigned_values_are_padded_with_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(padded_pool(), tmp_path / "ours", "io_parallel") == "bit_exact"
    original = lowering.lower

    def changed(network: FixedPointNetwork, io_type: str) -> Lowered:
        lowered = original(network, io_type)
        pads_in_the_pool(lowered)
        return lowered

    monkeypatch.setattr(stage, "lower", changed)
    assert run(padded_pool(), tmp_path / "theirs", "io_parallel") == "mismatch"


@pytest.mark.slow
def test_values_that_are_never_negative_are_padded_as_unsigned_ones(tmp_path: Path) -> None:
    """A signed format with an embedding's words from 0 to 3 in it: hls4ml's type for them is unsigned."""
    b = NetworkBuilder("n")
    rows = b.embedding("e", b.input("x", (8,), FixedPoint(False, 2, 0)), np.arange(4)[:, None], FixedPoint(True, 5, 3))
    network = b.build((b.max_pool("p", rows, (3,), (2,), ((0, 2),)),))
    assert run(network, tmp_path, "io_parallel") == "bit_exact"


@pytest.mark.slow
def test_an_index_that_is_always_zero_is_not_rounded(tmp_path: Path) -> None:
    """hls4ml's type for it drops thirty bits of eleven by rounding, where C++ aborts."""
    b = NetworkBuilder("n")
    bias = np.array([-3, -1])
    small = FixedPoint(False, -20, 31, Rounding.TRN, Overflow.SAT)
    index = FixedPoint(False, -20, 24, Rounding.RND, Overflow.SAT)
    d = b.dense("d", b.input("x", (4,), X), np.zeros((4, 2), dtype=np.int64), X, bias, X, result=small)
    t = b.table("t", b.requantize("q", d, index), np.arange(1, 17), FixedPoint(True, 5, 0))
    network = b.build((b.dense("last", t, np.ones((2, 1), dtype=np.int64), X),))
    assert run(network, tmp_path, "io_stream") == "bit_exact"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "io_type", "strategy"),
    [
        (convolution((1, 2), (2, 2)), "io_stream", "latency"),
        (convolution((1, 1), (2, 2), depthwise=True), "io_stream", "latency"),
        (convolution((2,), (1,), depthwise=True), "io_parallel", "resource"),
        (overlapping_pool(), "io_stream", "latency"),
        (rounded_away(), "io_parallel", "latency"),
    ],
)
def test_what_is_refused_would_be_wrong(
    network: FixedPointNetwork, io_type: str, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (
        "hls.admission.check_rounding", "hls.options._check_strategy", "hls.operators._check_streamed",
        "hls.operators._check_streamed_pool",
    ):  # fmt: skip
        monkeypatch.setattr(f"toolchain.{place}", lambda *_: None)
    assert run(network, tmp_path, io_type, strategy) in ("mismatch", "stopped")
