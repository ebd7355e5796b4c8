"""Small networks that hold many operators at once, each on a way to an output of its own: one compilation for all."""

from __future__ import annotations

import numpy as np
from hls_cases import SAT, WEIGHT, weights

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder
from toolchain.network.compositions import (
    Pooling,
    average_pool,
    clipped_relu,
    global_average_pool,
    global_max_pool,
    leaky_relu,
    up_sampling,
)
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.normalization import Affine, LayerNormFormats, SoftmaxFormats, layer_normalization
from toolchain.network.normalization import softmax as softmax_of
from toolchain.network.recurrent import (
    RecurrentFormats,
    RecurrentWeights,
    gru_step,
    lstm_step,
    simple_rnn_step,
    unrolled,
)

X = FixedPoint(True, 2, 3, *SAT)
POSITIVE = FixedPoint(False, 2, 3, *SAT)
NARROW = FixedPoint(True, 1, 2, Rounding.RND, Overflow.SAT)
MERGES = ("add", "subtract", "multiply", "maximum", "minimum", "average")


def merges_network() -> FixedPointNetwork:
    """Every merge of two inputs in different formats, with and without a change of format; three and the same twice."""
    b = NetworkBuilder("merges")
    x, y = b.input("x", (3, 2), X), b.input("y", (3, 2), POSITIVE)
    outputs = []
    for kind in MERGES:
        exact = getattr(b, kind)(f"{kind}_exact", (x, y))
        outputs.append(b.requantize(f"{kind}_clipped", exact, NARROW))
        outputs.append(getattr(b, kind)(f"{kind}_rounded", (y, x), NARROW))
    outputs.append(b.add("three", (x, y, x)))
    outputs.append(b.multiply("square", (x, x), FixedPoint(True, 3, 2, *SAT)))
    return b.build(tuple(outputs))


def images_network() -> FixedPointNetwork:
    """Convolutions, depthwise ones and pooling over two axes: strides, paddings, dilation."""
    b, rng = NetworkBuilder("images"), np.random.default_rng(2)
    x = b.input("x", (6, 5, 2), X)

    def convolve(
        name: str, strides: tuple[int, int], padding: tuple[tuple[int, int], tuple[int, int]],
        dilation: tuple[int, int] = (1, 1), window: tuple[int, int] = (3, 2), depthwise: bool = False,
    ) -> str:  # fmt: skip
        kernel = weights(rng, (*window, 2) if depthwise else (*window, 2, 3), 0.3)
        return b.convolution(
            name, x, kernel, WEIGHT, weights(rng, kernel.shape[-1:]), WEIGHT, None,
            strides=strides, padding=padding, dilation=dilation, depthwise=depthwise,
        )  # fmt: skip

    outputs = [
        convolve("valid", (1, 1), ((0, 0), (0, 0))),
        convolve("strided", (2, 2), ((1, 1), (0, 1))),
        convolve("spread", (1, 1), ((2, 2), (0, 1)), dilation=(2, 1)),
        convolve("point", (1, 1), ((0, 0), (0, 0)), window=(1, 1)),
        convolve("point_strided", (2, 2), ((0, 0), (0, 0)), window=(1, 1)),
        convolve("depthwise", (1, 1), ((0, 0), (0, 0)), depthwise=True),
        convolve("depthwise_strided", (2, 1), ((1, 0), (0, 1)), depthwise=True),
        b.dense("dense", x, weights(rng, (2, 3)), WEIGHT, weights(rng, (3,)), WEIGHT, NARROW),
        b.max_pool("pool", x, (2, 2), (2, 2), ((0, 0), (0, 0))),
        b.max_pool("pool_padded", b.relu("positive", x), (2, 2), (2, 2), ((0, 0), (1, 0))),
        b.scale("norm", x, weights(rng, (2,), 0.0), WEIGHT, weights(rng, (2,)), WEIGHT, NARROW),
    ]
    return b.build(tuple(outputs))


def moves_network() -> FixedPointNetwork:
    """What only moves words: concatenation on every axis, permutations, padding, cropping, reshapes."""
    b, rng = NetworkBuilder("moves"), np.random.default_rng(3)
    x, y = b.input("x", (3, 2, 2), X), b.input("y", (4, 3), POSITIVE)
    outputs = [b.concatenate(f"concat{axis}", (x, b.relu(f"part{axis}", x)), axis) for axis in range(3)]
    outputs += [b.concatenate(f"rows{axis}", (y, y), axis, NARROW) for axis in range(2)]
    outputs += [b.permute(f"turned{n}", x, axes) for n, axes in enumerate(((2, 0, 1), (1, 2, 0), (0, 2, 1)))]
    turned = b.reshape("turned_flat", b.permute("turned", x, (1, 0, 2)), (12,))
    outputs.append(b.dense("behind_turned", turned, weights(rng, (12, 3)), WEIGHT))
    outputs += [b.zero_padding("framed", x, ((1, 0), (2, 1))), b.zero_padding("longer", y, ((2, 1),))]
    outputs += [b.crop("inner", x, ((1, 0), (0, 1))), b.crop("shorter", y, ((1, 1),))]
    flat = b.reshape("flat", y, (12,))
    outputs.append(b.concatenate("flats", (flat, b.relu("flat_relu", flat), flat), 0))
    outputs.append(b.reshape("square", b.permute("y_turned", y, (1, 0)), (6, 2)))
    return b.build(tuple(outputs))


def tables_network() -> FixedPointNetwork:
    """Tables of signed and unsigned words, behind a format with more bits than its values; an embedding."""
    b, rng = NetworkBuilder("tables"), np.random.default_rng(4)
    x, index = b.input("x", (3, 2), X), b.input("index", (3,), FixedPoint(False, 3, 0))
    form = FixedPoint(True, 1, 4)

    def table(name: str, x: str) -> str:
        size = 1 << b.format_of(x).width
        return b.table(name, x, rng.integers(form.min_word, form.max_word + 1, size), form)

    wide = b.relu("wide", x, FixedPoint(True, 4, 5))  # never negative, and half the fraction is zero
    flat = b.dense("dense", b.reshape("flat", x, (6,)), weights(rng, (6, 3)), WEIGHT, None, None, NARROW)
    outputs = [table("of_port", x), table("of_wide", wide), table("of_sum", flat), table("of_table", "of_sum")]
    rows = rng.integers(form.min_word, form.max_word + 1, (5, 3))
    outputs.append(b.embedding("rows", index, rows, form))
    return b.build(tuple(name for name in outputs if name != "of_sum"))


def formats_network() -> FixedPointNetwork:
    """Changes of format anywhere: on a port, one behind the other, two ways from one sum, on outputs that go on."""
    b, rng = NetworkBuilder("formats"), np.random.default_rng(5)
    x = b.input("x", (4, 2), X)
    narrow = b.requantize("of_port", x, NARROW)
    d = b.dense("dense", narrow, weights(rng, (2, 3)), WEIGHT)
    one = b.requantize("one", d, FixedPoint(True, 1, 3, Rounding.TRN, Overflow.WRAP))
    two = b.requantize("two", d, FixedPoint(True, 2, 1, Rounding.RND_CONV, Overflow.SAT_SYM))
    again = b.requantize("again", one, FixedPoint(True, 0, 2, Rounding.RND, Overflow.SAT))
    flat = b.reshape("flat", two, (12,))
    r = b.relu("flat_relu", flat)
    s = b.requantize("flat_narrow", r, FixedPoint(False, 1, 0, Rounding.RND, Overflow.SAT))
    last = b.dense("last", s, weights(rng, (12, 2)), WEIGHT, weights(rng, (2,)), WEIGHT)
    ones = b.scale("ones", again, np.full(3, 32), FixedPoint(True, 1, 5), None, None, FixedPoint(True, 1, 1, *SAT))
    return b.build((one, again, ones, d, r, flat, last))


GATE = FixedPoint(True, 2, 3, *SAT)
SHARE = FixedPoint(False, 0, 5, *SAT)
SIGNED_SHARE = FixedPoint(True, 0, 5, *SAT)


def compositions_network() -> FixedPointNetwork:
    """Sloped and clipped ReLUs, averages, softmax with and without the maximum, layer normalisation."""
    b, rng = NetworkBuilder("compositions"), np.random.default_rng(6)
    x, y = b.input("x", (4, 3), X), b.input("y", (3,), X)
    softmax = SoftmaxFormats(
        FixedPoint(True, 3, 3, *SAT), FixedPoint(False, 1, 6, *SAT), FixedPoint(False, 3, 4, *SAT), SHARE,
        FixedPoint(False, 0, 8, *SAT),
    )  # fmt: skip
    norm = LayerNormFormats(
        GATE, FixedPoint(False, 4, 4, *SAT), FixedPoint(False, 2, 6, *SAT), FixedPoint(True, 2, 5, *SAT), GATE
    )
    affine = Affine(weights(rng, (3,), 0.0), WEIGHT, weights(rng, (3,)), WEIGHT)
    outputs = [
        leaky_relu(b, "leaky", x, weights(rng, (3,), 0.0), WEIGHT),
        clipped_relu(b, "clipped", x, 12, FixedPoint(False, 2, 3)),
        average_pool(b, "pairs", x, Pooling((2,), (2,), ((0, 0),))),
        average_pool(b, "threes", x, Pooling((3,), (1,), ((0, 0),), 8)),
        average_pool(b, "same", x, Pooling((2,), (1,), ((0, 1),))),
        global_average_pool(b, "mean", x, NARROW),
        global_max_pool(b, "largest", x),
        up_sampling(b, "twice", x, (2,)),
        softmax_of(b, "rows", x, softmax),
        softmax_of(b, "row", y, softmax),
        softmax_of(b, "plain_row", y, softmax, subtract_max=False),
        layer_normalization(b, "norm", x, affine, norm),
        layer_normalization(b, "norm_row", y, affine, norm, reciprocal_bits=8),
    ]
    return b.build(tuple(outputs))


def recurrent_weights(rng: np.random.Generator, gates: int, reset_after: bool = False) -> RecurrentWeights:
    """Of two channels and two units."""
    return RecurrentWeights(
        weights(rng, (2, 2 * gates)), weights(rng, (2, 2 * gates)), weights(rng, (2 * gates,)), WEIGHT, WEIGHT,
        weights(rng, (2 * gates,)) if reset_after else None,
    )  # fmt: skip


def steps_network() -> FixedPointNetwork:
    """One step of each recurrent layer: a tick and the state in, the state out."""
    b, rng = NetworkBuilder("steps"), np.random.default_rng(7)
    formats = RecurrentFormats(GATE, SHARE, SIGNED_SHARE, SIGNED_SHARE, GATE)
    x, h, c = b.input("x", (2,), X), b.input("h", (2,), SIGNED_SHARE), b.input("c", (2,), GATE)
    outputs = list(lstm_step(b, "lstm", x, (h, c), recurrent_weights(rng, 4), formats))
    outputs += gru_step(b, "gru", x, (h,), recurrent_weights(rng, 3, True), formats)
    outputs += gru_step(b, "gru_before", x, (h,), recurrent_weights(rng, 3), formats)
    outputs += simple_rnn_step(b, "rnn", x, (h,), recurrent_weights(rng, 1), formats)
    return b.build(tuple(outputs))


def unrolled_network() -> FixedPointNetwork:
    """Windows of three steps."""
    b, rng = NetworkBuilder("unrolled"), np.random.default_rng(8)
    formats = RecurrentFormats(GATE, SHARE, SIGNED_SHARE, SIGNED_SHARE, GATE)
    x = b.input("x", (3, 2), X)
    last = [unrolled(b, "lstm", x, lstm_step, recurrent_weights(rng, 4), formats)[-1][0]]
    last += unrolled(b, "gru", x, gru_step, recurrent_weights(rng, 3, True), formats)[-1]
    last += unrolled(b, "gru_before", x, gru_step, recurrent_weights(rng, 3), formats)[-1]
    last += unrolled(b, "rnn", x, simple_rnn_step, recurrent_weights(rng, 1), formats)[-1]
    return b.build(tuple(last))
