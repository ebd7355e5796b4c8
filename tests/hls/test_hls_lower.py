"""What becomes hardware, and what is refused by layer before anything is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hls_cases import SAT, WEIGHT, conv_network, pool_network

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.layers import hardware_kernel
from toolchain.hls.lower import lower
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import Convolution, FixedPointNetwork, Linear, Node

X = FixedPoint(True, 2, 5, *SAT)
KERNEL = np.arange(-6, 6).reshape(4, 3)


def dense_network(name: str = "dense", result: FixedPoint | None = None) -> FixedPointNetwork:
    b = NetworkBuilder("n")
    return b.build((b.dense(name, b.input("x", (4,), X), KERNEL, WEIGHT, result=result),))


def changed(network: FixedPointNetwork, name: str, **values: object) -> FixedPointNetwork:
    nodes: tuple[Node, ...] = tuple(replace(n, **values) if n.name == name else n for n in network.nodes)
    return replace(network, nodes=nodes)


def refusal(network: FixedPointNetwork, io_type: str = "io_parallel") -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        lower(network, io_type)
    assert caught.value.exit_code == 3
    return caught.value.text()


def test_every_change_of_format_is_a_quantizer() -> None:
    layers = lower(conv_network(), "io_parallel").layers
    quantizers = [layer["name"] for layer in layers if layer["class_name"] == "FixedPointQuantizer"]
    assert quantizers == ["x_format", "conv_relu_format", "hidden_relu_format"]


def test_weights_are_passed_exactly() -> None:
    network = conv_network()
    by_name = {layer["name"]: layer for layer in lower(network, "io_parallel").layers}
    for node in network.nodes:
        if isinstance(node, Linear):
            assert np.array_equal(by_name[node.name]["weight_data"] * 2.0**5, node.kernel)


def test_dilation_is_written_out_with_zeros() -> None:
    node = pool_network()["conv"]
    assert isinstance(node, Convolution)
    wide = hardware_kernel(node)
    assert wide.shape[0] == 5
    assert np.array_equal(wide[::2], node.kernel)
    assert not wide[1::2].any()


@pytest.mark.parametrize(
    "name", ["2nd", "a b", "a/b", "int", "size", "uint8", "result", "formats", "a__b", "x" * 65, "a_cpy1", "network"]
)
def test_names_that_cannot_stand_in_cpp_are_refused(name: str) -> None:
    assert "cannot stand in C++" in refusal(dense_network(name))


def test_names_that_differ_in_case_only_or_are_a_type_of_another_layer_are_refused() -> None:
    assert "but for its case" in refusal(dense_network("X"))
    assert "type of layer 'x'" in refusal(dense_network("x_accum"))


def test_modes_that_hls4ml_cannot_keep_are_refused() -> None:
    form = FixedPoint(True, 1, 2, Rounding.RND_ZERO, Overflow.SAT)
    assert "layer 'dense': rounding RND_ZERO" in refusal(dense_network(result=form))
    form = FixedPoint(True, 1, 2, Rounding.RND, Overflow.SAT_ZERO)
    assert "overflow SAT_ZERO" in refusal(dense_network(result=form))


def test_an_accumulator_that_can_overflow_is_refused() -> None:
    network = dense_network()
    narrow = network["dense"].result
    narrow = FixedPoint(narrow.signed, narrow.integer_bits - 1, narrow.fractional_bits)
    assert "can overflow" in refusal(changed(network, "dense", accumulator=narrow, result=narrow))


def test_words_too_wide_to_trace_are_refused() -> None:
    b = NetworkBuilder("n")
    wide = FixedPoint(True, 20, 20)
    network = b.build((b.dense("dense", b.input("x", (4,), wide), KERNEL << 20, FixedPoint(True, 0, 30)),))
    assert "bits cannot be traced exactly" in refusal(network)


def test_shapes_of_graph_that_have_no_hardware_are_refused() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (4,), X)
    assert "every output is an input" in refusal(b.build((b.reshape("flat", x, (2, 2)),)))
    b = NetworkBuilder("n")
    x = b.input("x", (4,), X)
    b.dense("d", x, KERNEL, WEIGHT)
    e = b.dense("e", x, KERNEL, WEIGHT)
    assert "layer 'd': no layer reads its result" in refusal(b.build((e,)))
    assert "the same output twice" in refusal(b.build(("d", e, "d")))


def pooled(padding: int, stride: int, signed: bool) -> FixedPointNetwork:
    b = NetworkBuilder("n")
    x = b.input("x", (6, 2), FixedPoint(signed, 2, 3))
    return b.build((b.max_pool("p", x, (2,), (stride,), ((padding, 0),)),))


def test_pooling_that_streams_cannot_do_is_refused() -> None:
    assert "may be negative" in refusal(pooled(1, 2, True), "io_stream")
    b = NetworkBuilder("n")
    image = b.max_pool("p", b.input("x", (5, 5, 2), X), (3, 3), (2, 2), ((0, 0), (0, 0)))
    assert "overlapping or separate" in refusal(b.build((image,)), "io_stream")
    for network in (pooled(1, 2, True), pooled(0, 1, True), pooled(1, 2, False), b.build((image,))):
        assert lower(network, "io_parallel").outputs == ["p"]
    for network in (pooled(0, 1, True), pooled(1, 2, False)):
        assert lower(network, "io_stream").outputs == ["p"]


def test_tables_that_are_no_array_of_a_usual_size_are_refused() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (2,), FixedPoint(True, 8, 8))
    network = b.build((b.table("t", x, np.arange(1 << 17) % 4, FixedPoint(False, 2, 0)),))
    assert "a table of 131072 words" in refusal(network)


def test_names_of_parts_of_other_layers_are_refused() -> None:
    b = NetworkBuilder("n")
    d = b.dense("x_port0", b.input("x", (4,), X), KERNEL, WEIGHT)
    assert "that of a part of layer 'x'" in refusal(b.build((d,)))


def test_changes_of_shape_at_a_port_are_no_layers() -> None:
    """hls4ml leaves out the last one only, and says so."""
    b = NetworkBuilder("n")
    r = b.relu("r", b.input("x", (2, 6), X))
    network = b.build((b.permute("c", b.reshape("b", b.reshape("a", r, (12,)), (1, 12)), (1, 0)), "r"))
    assert lower(network, "io_parallel").names == ["x", "x_format", "r", "r_format", "r_port1"]


def test_an_input_may_be_an_output_beside_others() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (4,), X)
    assert lower(b.build((x, b.relu("r", x))), "io_parallel").outputs == ["x_port0", "r_format"]


def test_depthwise_convolutions_over_one_axis_and_over_two_exclude_one_another() -> None:
    b = NetworkBuilder("n")
    ones = np.ones((2, 2, 2), dtype=np.int64)
    x, y = b.input("x", (4, 2), X), b.input("y", (4, 4, 2), X)
    one = b.convolution("c", x, ones[0], WEIGHT, strides=(1,), padding=((0, 0),), depthwise=True)
    two = b.convolution("d", y, ones, WEIGHT, strides=(1, 1), padding=((0, 0), (0, 0)), depthwise=True)
    assert "over one axis and over two" in refusal(b.build((one, two)))


def test_formats_that_round_more_bits_away_than_there_are_are_refused() -> None:
    form = FixedPoint(True, 12, -10, Rounding.RND, Overflow.SAT)
    assert "rounds away more bits than" in refusal(dense_network(result=form))
    assert lower(dense_network(result=form.with_modes(Rounding.TRN, Overflow.SAT)), "io_parallel").outputs


def test_a_window_of_one_row_that_strides_over_rows_is_refused_under_io_stream() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (4, 4, 2), X)
    kernel = np.ones((1, 2, 2, 2), dtype=np.int64)
    network = b.build((b.convolution("c", x, kernel, WEIGHT, strides=(2, 1), padding=((0, 0), (0, 0))),))
    assert "two rows or more" in refusal(network, "io_stream")
    assert lower(network, "io_parallel").outputs == ["c"]


def test_a_stream_is_read_at_most_seven_times() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (4,), X)
    network = b.build(tuple(b.relu(f"r{n}", x) for n in range(20)))
    layers = lower(network, "io_stream").layers
    readers = [x for layer in layers for x in layer.get("inputs", [])]
    assert max(readers.count(name) for name in readers) == 7
    assert len(layers) == len(lower(network, "io_parallel").layers) + 3


def test_element_wise_layers_behind_a_flattening_get_whole_packs_under_io_stream() -> None:
    b = NetworkBuilder("n")
    f = b.reshape("f", b.input("x", (2, 2), X), (4,))
    network = b.build((b.dense("d", b.relu("r", f), KERNEL, WEIGHT),))
    assert "r_in0" not in lower(network, "io_parallel").names
    assert lower(network, "io_stream").casts == {"r_in0": "f"}


def test_a_permutation_before_a_flattening_is_kept_apart_from_it() -> None:
    """hls4ml would leave it out and turn the weights of a Dense behind it, rightly for one order of axes only."""
    b = NetworkBuilder("n")
    p = b.permute("p", b.input("x", (2, 3, 2), X), (1, 0, 2))
    kernel = np.ones((12, 2), dtype=np.int64)
    network = b.build((b.dense("d", b.reshape("f", p, (12,)), kernel, WEIGHT),))
    assert lower(network, "io_parallel").casts == {"f_in0": "p"}


def test_what_changes_nothing_is_no_layer() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (1, 4), X)
    y = b.zero_padding("z", b.crop("c", b.permute("p", x, (0, 1)), ((0, 0),)), ((0, 0),))
    names = lower(b.build((b.relu("r", b.permute("t", y, (1, 0))),)), "io_parallel").layers
    assert [layer["class_name"] for layer in names] == [
        "InputLayer", "FixedPointQuantizer", "Reshape", "Activation", "FixedPointQuantizer",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["layer3_out", "w2", "config5", "X"])
def test_a_port_called_like_a_variable_of_hls4ml_gets_another_name(name: str) -> None:
    """The other layers keep theirs; ``toolchain selftest`` draws such names, so that g++ sees them."""
    b = NetworkBuilder("n")
    x = b.input(name, (2,), FixedPoint(True, 2, 3))
    network = b.build((b.dense("d", x, np.array([[1], [2]]), FixedPoint(True, 2, 0)),))
    lowered = lower(network, "io_parallel")
    assert lowered.inputs == [name if name == "X" else f"{name}_in0"]
    assert lowered.names[0] == lowered.inputs[0]
