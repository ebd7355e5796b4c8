"""The one place where QKeras' number convention is crossed.

QKeras 0.9 rounds half to even (``tf.round``) and clips, which is RND_CONV and SAT. Like ours, its ``integer`` does not
count the sign bit; its ``bits`` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding, smallest_format
from toolchain.network.nodes import IntArray

ALLOWED = "quantized_bits(bits, integer, alpha=1) and quantized_relu(bits, integer), bits 2..24, 0 <= integer"


def to_quantized_bits(form: FixedPoint) -> Any:
    """The ``quantized_bits`` that holds exactly the values of ``form`` (integer_bits >= 0)."""
    from qkeras import quantized_bits

    assert form.integer_bits >= 0, "QKeras computes 2**integer in integers"
    symmetric = int(form.overflow is Overflow.SAT_SYM)
    return quantized_bits(form.width, form.integer_bits, symmetric=symmetric, keep_negative=form.signed, alpha=1.0)


def to_quantized_relu(form: FixedPoint) -> Any:
    """The ``quantized_relu`` whose results are exactly those of ``form`` (unsigned)."""
    from qkeras import quantized_relu

    assert not form.signed
    assert form.integer_bits >= 0
    return quantized_relu(form.width, form.integer_bits)


def format_of(quantizer: Any, where: str) -> FixedPoint:
    """The format of a QKeras quantizer's results.

    Raises UnsupportedModelError for everything whose result is not that of one fixed format.
    """
    kind = type(quantizer).__name__
    if kind == "quantized_bits":
        return _quantized_bits(quantizer, where)
    if kind == "quantized_relu":
        return _quantized_relu(quantizer, where)
    raise UnsupportedModelError(f"quantizer {quantizer} has no exact format here", where=where, allowed=ALLOWED)


def _quantized_bits(quantizer: Any, where: str) -> FixedPoint:
    alpha, bits, integer = quantizer.alpha, int(quantizer.bits), int(quantizer.integer)
    signed = bool(quantizer.keep_negative)
    problems = {
        f"alpha={alpha!r}": isinstance(alpha, str) or not (alpha is None or np.all(np.asarray(alpha) == 1.0)),
        "use_stochastic_rounding=True": bool(quantizer.use_stochastic_rounding),
        f"qnoise_factor={quantizer.qnoise_factor}": float(np.asarray(quantizer.qnoise_factor)) != 1.0,
        f"bits={bits}": not 1 + signed <= bits <= 24 or bits < 2,
        f"integer={integer}": integer < 0,
    }
    _refuse(quantizer, problems, where)
    overflow = Overflow.SAT_SYM if quantizer.symmetric and signed else Overflow.SAT
    return FixedPoint(signed, integer, bits - int(signed) - integer, Rounding.RND_CONV, overflow)


def _quantized_relu(quantizer: Any, where: str) -> FixedPoint:
    bits, integer = int(quantizer.bits), int(quantizer.integer)
    problems = {
        "use_sigmoid": bool(quantizer.use_sigmoid),
        f"negative_slope={quantizer.negative_slope}": bool(quantizer.negative_slope),
        "use_stochastic_rounding=True": bool(quantizer.use_stochastic_rounding),
        f"qnoise_factor={quantizer.qnoise_factor}": float(np.asarray(quantizer.qnoise_factor)) != 1.0,
        "is_quantized_clip=False": not quantizer.is_quantized_clip and quantizer.relu_upper_bound is not None,
        f"bits={bits}": not 2 <= bits <= 24,
        f"integer={integer}": integer < 0,
    }
    _refuse(quantizer, problems, where)
    return FixedPoint(False, integer, bits - integer, Rounding.RND_CONV, Overflow.SAT)


def _refuse(quantizer: Any, problems: dict[str, bool], where: str) -> None:
    found = [text for text, wrong in problems.items() if wrong]
    if found:
        # QKeras' own text of a quantizer fails for an alpha per channel, so only the class is named.
        kind = type(quantizer).__name__
        raise UnsupportedModelError(f"{kind}: {', '.join(found)} has no exact format", where=where, allowed=ALLOWED)


def words_of_weights(weights: Any, quantizer: Any, where: str) -> tuple[IntArray, FixedPoint]:
    """The integers that QKeras computes with, and their format: ``quantizer(weights)`` is read, not the weights.

    A quantizer without a format of its own (binary, ternary, powers of two, ``alpha='auto_po2'``) gets the smallest one
    that holds its values. Raises UnsupportedModelError when they lie on no grid.
    """
    values = quantized_values(weights, quantizer, where)
    try:
        form = format_of(quantizer, where)
    except UnsupportedModelError:
        form = exact_format(values, where)
    scaled = np.ldexp(values, form.fractional_bits)
    words = np.round(scaled)
    if (scaled != words).any() or words.min(initial=0) < form.min_word or words.max(initial=0) > form.max_word:
        raise UnsupportedModelError("a quantized weight does not lie on its format's grid", where=where)
    return words.astype(np.int64), form


def quantized_values(values: Any, quantizer: Any, where: str) -> np.ndarray:
    """What ``quantizer`` makes of ``values``, float64. Raises UnsupportedModelError when it draws lots or fails."""
    kind = type(quantizer).__name__
    noise = getattr(quantizer, "qnoise_factor", 1.0)
    if getattr(quantizer, "use_stochastic_rounding", False) or float(np.asarray(noise)) != 1.0:
        raise UnsupportedModelError(f"{kind} with noise or stochastic rounding has no exact format", where=where)
    if kind.startswith(("stochastic", "bernoulli")):
        raise UnsupportedModelError(f"{kind} draws lots: it has no exact format", where=where, allowed=ALLOWED)
    try:
        return np.asarray(quantizer(np.asarray(values, dtype=np.float32)), dtype=np.float64)
    except Exception as error:  # some of QKeras' quantizers do not run beside numpy 2
        raise UnsupportedModelError(
            f"QKeras cannot evaluate {kind} here: {str(error)[:120]}", where=where, allowed=ALLOWED
        ) from None


#: A value on a finer grid or wider than this is no value that was quantized to powers of two.
FINEST, WIDEST = 32, 18


def exact_format(values: np.ndarray, where: str) -> FixedPoint:
    """The smallest format that holds ``values`` exactly. Raises UnsupportedModelError when there is none."""
    if not np.isfinite(values).all():
        raise UnsupportedModelError("a quantized value is not finite", where=where)
    for fractional in range(-FINEST, FINEST + 1):
        scaled = np.ldexp(values, fractional)
        if (scaled == np.round(scaled)).all():
            low, high = int(scaled.min(initial=0)), int(scaled.max(initial=0))
            form = smallest_format(low, high, fractional)
            if form.width <= WIDEST:
                return form.with_modes(Rounding.RND_CONV, Overflow.SAT)
            break
    raise UnsupportedModelError(
        "its quantized values lie on no grid of a power of two: they have no exact format", where=where, allowed=ALLOWED
    )


def smallest_integer_bits(largest: float, signed_full_scale: bool = False) -> int:
    """The fewest integer bits (>= 0) whose range holds magnitudes up to ``largest``.

    A magnitude of exactly 2**n needs n + 1 bits, unless it only occurs as the negative end (``signed_full_scale``).
    """
    if largest <= 0:
        return 0
    mantissa, exponent = np.frexp(largest)
    if mantissa == 0.5 and signed_full_scale:
        exponent -= 1
    return max(0, int(exponent))
