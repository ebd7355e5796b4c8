"""A linear node's integers in TFLite's int8 form: int8 kernel, int32 bias on the sum's grid, one shift per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import Rounding, Words
from toolchain.network.nodes import Convolution, Dense, DepthwiseConvolution, Scale
from toolchain.tflite.grids import Grid
from toolchain.tflite.kernels import Habit, Sum, express, largest_sum
from toolchain.tflite.operators import LinearOperator, NotExpressibleError, Tensor

_ENOUGH_SPARE_BITS = 2
_ANY_GAIN = 64  # beyond every word's bits

LinearNode = Dense | Convolution | DepthwiseConvolution | Scale


@dataclass(frozen=True, slots=True)
class Target:
    """Where a linear operator's sum goes: the grid, how it is rounded there, and what clips it.

    ``rounding`` None: the network does not say (a port's grid), so it is the one that the kernels do exactly.
    ``exact``: this one rounding is all that the network does; ``limits``: bounds (word, is upper) that stand apart.
    """

    grid: Grid
    rounding: Rounding | None
    relu: bool
    exact: bool
    limits: tuple[tuple[int, bool], ...]


def build_linear(node: LinearNode, source: Tensor, output: Tensor, target: Target) -> LinearOperator:
    """The operator, each integer kept. Raises NotExpressibleError where int8 and int32 do not hold them."""
    words = node.kernel.reshape(-1, node.kernel.shape[-1])
    bias = node.bias if node.bias is not None else np.zeros(words.shape[1], dtype=np.int64)
    bias_bits = node.bias_format.fractional_bits if node.bias_format is not None else 0
    sum_bits = source.grid.fractional_bits + node.kernel_format.fractional_bits
    finer = [_finer_bits(int(b), bias_bits - sum_bits) for b in bias]  # bits the bias has below the products' grid
    gains = [_gain(words[:, c], finer[c], node.layer) for c in range(words.shape[1])]
    if isinstance(node, Dense):  # FULLY_CONNECTED has one scale for the whole kernel in every TFLite version
        gains = [min(gains)] * len(gains)
    if any(gain < bits for gain, bits in zip(gains, finer, strict=True)):
        raise NotExpressibleError(f"layer '{node.layer}': the bias is finer than an int8 kernel lets the sum be")
    kernel = np.stack([_scaled(words[:, c], gain) for c, gain in enumerate(gains)], axis=1)
    _check_lowest(kernel, node)
    shift = [sum_bits + gain - output.grid.fractional_bits for gain in gains]
    spare = [max(gain - max(bits, 0), 0) for gain, bits in zip(gains, finer, strict=True)]
    habit = linear_habit(node, source.grid.bits)
    free = Rounding.RND if min(spare) >= _ENOUGH_SPARE_BITS or habit == "up" else Rounding.RND_INF
    rounding = target.rounding or free
    ties = [express(rounding, n, Sum(bits, target.relu, habit)) for n, bits in zip(shift, spare, strict=True)]
    stored = [
        _scaled_integer(int(b), sum_bits + gain - bias_bits) + tie.offset
        for b, gain, tie in zip(bias, gains, ties, strict=True)
    ]
    stored_bias = np.array(_checked_bias(stored, node.layer, source.grid.bits), np.int64)
    operator = LinearOperator(
        inputs=(source,), output=output, nodes=(node.name,), layer=node.layer, node=node,
        kernel=kernel.reshape(node.kernel.shape).astype(np.int8), bias=stored_bias,
        kernel_bits=tuple(node.kernel_format.fractional_bits + gain for gain in gains), shift=tuple(shift),
        tie_exact=tuple(tie.exact and target.exact for tie in ties),
        tie_everywhere=tuple(tie.everywhere and target.exact for tie in ties), relu=target.relu,
        rounding=rounding,
    )  # fmt: skip
    _check_sums(operator)
    return operator


def _finer_bits(bias: int, gap: int) -> int:
    """How many bits ``bias`` has below the products' grid (negative: above), its own grid being ``gap`` bits finer."""
    if bias == 0:
        return -_ANY_GAIN
    trailing_zeros = (bias & -bias).bit_length() - 1
    return gap - trailing_zeros


def _gain(words: Words, finer: int, layer: str) -> int:
    """The power of two that the channel's kernel words are multiplied by: at most what int8 and the purpose allow."""
    low, high = int(words.min(initial=0)), int(words.max(initial=0))
    for gain in range(max(finer, 0) + _ENOUGH_SPARE_BITS, 0, -1):
        if max(-low, high) << gain <= 127:
            return gain
    if low >= -128 and high <= 127:
        return 0
    for gain in range(-1, -_ANY_GAIN, -1):
        if ((words >> -gain) << -gain != words).any():
            break
        if low >> -gain >= -128 and high >> -gain <= 127:
            return gain
    raise NotExpressibleError(f"layer '{layer}': its kernel takes words from {low} to {high}; int8 holds -128 to 127")


def _scaled(words: Words, gain: int) -> Words:
    return np.array([_scaled_integer(int(word), gain) for word in words], dtype=np.int64)


def _scaled_integer(word: int, gain: int) -> int:
    if gain >= 0:
        return word << gain
    if word % (1 << -gain):
        raise NotExpressibleError("a word has bits below the grid that the whole kernel or its sum needs")
    return word >> -gain


def linear_habit(node: LinearNode, bits: int) -> Habit:
    """How TensorFlow's reference kernel of ``node`` rounds."""
    if isinstance(node, Dense):
        return "away"
    return "up" if bits == 16 else "twice"


def _checked_bias(words: list[int], layer: str, bits: int) -> list[int]:
    width = 32 if bits == 8 else 40  # with int16 activations the bias is int64, read as 40 bits by some kernels
    if max(map(abs, words), default=0) >= 2 ** (width - 1):
        raise NotExpressibleError(f"layer '{layer}': a bias does not fit {width} bits on the grid of its sum")
    return words


def _check_lowest(kernel: Words, node: LinearNode) -> None:
    """TFLite keeps int8 weights above -128, because some ARM kernels add two products in 16 bits: twice -128 * -128 is
    one too many. One such weight in a channel can never make two such products.
    """
    if (np.count_nonzero(kernel == -128, axis=0) >= 2).any():
        raise NotExpressibleError(
            f"layer '{node.layer}': a channel has several weights of -128, which some ARM kernels sum wrongly"
        )


def _check_sums(operator: LinearOperator) -> None:
    grid = operator.input.grid
    reach = max(abs(grid.low), abs(grid.high))
    kernel = np.abs(operator.kernel.astype(np.int64)).reshape(-1, operator.kernel.shape[-1])
    most = kernel.sum(axis=0) * reach + np.abs(operator.bias.astype(np.int64))
    for largest, shift in zip(most, operator.shift, strict=True):
        if largest > largest_sum(shift, grid.bits):
            width = 32 if grid.bits == 8 else 48
            raise NotExpressibleError(f"layer '{operator.layer}': a sum may exceed {width} bits")
