"""QKeras' quantizers against our formats: the same words, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint
from toolchain.model.tensorflow import load_tensorflow
from toolchain.quantize.qkeras_formats import format_of, smallest_integer_bits, to_quantized_bits, to_quantized_relu


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    load_tensorflow()


def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    grid = np.arange(-4096, 4096) / 512  # every tie of coarse grids
    return np.concatenate([grid, rng.normal(0, 3, 2000), [0.0, -0.0, 1e-9, -1e-9]]).astype(np.float32)


@pytest.mark.parametrize("keep_negative", [True, False])
@pytest.mark.parametrize("symmetric", [0, 1])
@pytest.mark.parametrize(("bits", "integer"), [(2, 0), (3, 1), (4, 0), (6, 2), (8, 0), (8, 7), (12, 3), (16, 2)])
def test_quantized_bits(bits: int, integer: int, symmetric: int, keep_negative: bool) -> None:
    from qkeras import quantized_bits

    quantizer = quantized_bits(
        bits, integer, symmetric=symmetric, keep_negative=keep_negative, alpha=1.0, use_ste=False
    )
    form = format_of(quantizer, "here")
    assert form.width == bits
    x = values()
    expected = np.asarray(quantizer(x), dtype=np.float64)
    assert np.array_equal(form.values_of(form.words_of(x)), expected)
    again = format_of(to_quantized_bits(form), "here")
    assert again == form


@pytest.mark.parametrize(("bits", "integer"), [(2, 0), (2, 2), (4, 1), (6, 0), (8, 3), (8, 8), (12, 4), (16, 0)])
def test_quantized_relu(bits: int, integer: int) -> None:
    from qkeras import quantized_relu

    quantizer = quantized_relu(bits, integer, use_ste=False)
    form = format_of(quantizer, "here")
    x = values()
    expected = np.asarray(quantizer(x), dtype=np.float64)
    assert np.array_equal(form.values_of(form.words_of(np.maximum(x, 0))), expected)
    assert format_of(to_quantized_relu(form), "here") == form


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 16), st.integers(0, 10), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_any_quantized_bits_is_its_format(bits: int, integer: int, symmetric: bool, signed: bool, seed: int) -> None:
    """Every word (or 4,096 of them), every tie between, everything beyond the range, and random values."""
    from qkeras import quantized_bits

    quantizer = quantized_bits(bits, integer, symmetric=int(symmetric), keep_negative=signed, alpha=1.0, use_ste=False)
    form = format_of(quantizer, "here")
    x = around(form, seed)
    assert np.array_equal(form.values_of(form.words_of(x)), np.asarray(quantizer(x), dtype=np.float64))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 16), st.integers(0, 10), st.integers(0, 2**32))
def test_any_quantized_relu_is_its_format(bits: int, integer: int, seed: int) -> None:
    from qkeras import quantized_relu

    quantizer = quantized_relu(bits, integer)
    form = format_of(quantizer, "here")
    x = around(form, seed)
    found = form.values_of(form.words_of(np.maximum(x, 0)))
    assert np.array_equal(found, np.asarray(quantizer(x), dtype=np.float64))


def around(form: FixedPoint, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    halves = np.arange(2 * form.min_word - 9, 2 * form.max_word + 9)
    if len(halves) > 4096:
        halves = np.concatenate([halves[:64], halves[-64:], rng.choice(halves, 4000)])
    return np.concatenate([halves * form.lsb / 2, rng.normal(0, 2.0**form.integer_bits, 500)]).astype(np.float32)


def test_what_has_no_exact_format_is_refused() -> None:
    from qkeras import binary, quantized_bits, quantized_po2, quantized_relu, quantized_tanh, ternary

    wrong = [
        quantized_bits(8, 0, alpha="auto"), quantized_bits(8, 0, alpha="auto_po2"), quantized_bits(8, 0, alpha=0.5),
        quantized_bits(8, 0, use_stochastic_rounding=True, alpha=1), quantized_bits(8, 0, alpha=1, qnoise_factor=0.5),
        quantized_bits(1, 0, alpha=1), quantized_relu(8, 0, use_sigmoid=1), quantized_relu(8, 0, negative_slope=0.25),
        quantized_bits(25, 0, alpha=1), quantized_bits(8, -1, alpha=1), quantized_bits(8, 0, alpha=np.array([1, 0.5])),
        quantized_relu(25, 0), quantized_relu(1, 0), quantized_relu(8, -1), quantized_relu(8, 0, qnoise_factor=0.5),
        quantized_relu(8, 0, use_stochastic_rounding=True),
        quantized_relu(8, 0, relu_upper_bound=0.5, is_quantized_clip=False),
        binary(), ternary(), quantized_po2(8), quantized_tanh(8),
    ]  # fmt: skip
    for quantizer in wrong:
        with pytest.raises(UnsupportedModelError, match="layer 'x'") as caught:
            format_of(quantizer, "layer 'x'")
        assert "quantized_bits" in caught.value.allowed


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 0), (0.3, 0), (0.99, 0), (1.0, 1), (1.5, 1), (2.0, 2), (3.99, 2), (1000, 10)]
)
def test_integer_bits(largest: float, bits: int) -> None:
    assert smallest_integer_bits(largest) == bits
