"""A model as a plain chain of layers in numpy: what folding, surgery and quantization work on, without TensorFlow.

Kernels have Keras' shapes: Dense ``(n_in, n_out)``, Conv1D ``(width, channels, filters)``. Activations stand as links
of their own. ``ReLU`` is the only one: everything else is refused when a model is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError

Array = NDArray[np.float64]
Kind = Literal["dense", "conv1d", "relu", "flatten", "batch_normalization", "dropout"]


@dataclass(frozen=True, eq=False)
class Normalization:
    """What a BatchNormalization has learned, ``(channels,)`` each.

    ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta`` at inference.
    """

    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    epsilon: float
    momentum: float = 0.99

    @property
    def scale(self) -> Array:
        return np.asarray(self.gamma / np.sqrt(self.variance + self.epsilon))

    @property
    def shift(self) -> Array:
        return np.asarray(self.beta - self.mean * self.scale)


@dataclass(frozen=True, eq=False)
class Link:
    """One layer. Only the fields of its kind are set."""

    kind: Kind
    name: str
    kernel: Array | None = None
    bias: Array | None = None
    stride: int = 1
    dilation: int = 1
    padding: Literal["valid", "same", "causal"] = "valid"
    normalization: Normalization | None = None
    rate: float = 0.0  # dropout: while training only

    @property
    def has_kernel(self) -> bool:
        return self.kernel is not None


@dataclass(frozen=True, eq=False)
class Chain:
    """A sequential model: the shape of one sample, then its layers in order."""

    input_name: str
    input_shape: tuple[int, ...]
    links: tuple[Link, ...]

    def shapes(self) -> list[tuple[int, ...]]:
        """The output shape of every link."""
        shape, found = self.input_shape, []
        for link in self.links:
            shape = _output_shape(link, shape)
            found.append(shape)
        return found

    def kernels(self) -> list[Link]:
        return [link for link in self.links if link.has_kernel]


def padding_of(link: Link, length: int) -> tuple[int, int]:
    """Zeros before and after the axis, as Keras pads a Conv1D."""
    assert link.kernel is not None
    reach = link.dilation * (link.kernel.shape[0] - 1)
    if link.padding == "causal":
        return reach, 0
    if link.padding == "valid":
        return 0, 0
    total = max((-(-length // link.stride) - 1) * link.stride + reach + 1 - length, 0)
    return total // 2, total - total // 2


def _output_shape(link: Link, shape: tuple[int, ...]) -> tuple[int, ...]:
    if link.kind == "flatten":
        return (int(np.prod(shape)),)
    if link.kernel is None:
        return shape
    if link.kind == "dense":
        return (*shape[:-1], link.kernel.shape[1])
    length = shape[0] + sum(padding_of(link, shape[0]))
    reach = link.dilation * (link.kernel.shape[0] - 1)
    return ((length - reach - 1) // link.stride + 1, link.kernel.shape[2])


def inference_chain(chain: Chain) -> Chain:
    """The same function without Dropout and BatchNormalization, exact but for float rounding.

    Each BatchNormalization is folded into the layer before it, or, after a ReLU or the input, into the layer behind it.
    Raises UnsupportedModelError where neither side can take it.
    """
    links = [link for link in chain.links if link.kind != "dropout"]
    while True:
        place = next((i for i, link in enumerate(links) if link.kind == "batch_normalization"), None)
        if place is None:
            return replace(chain, links=tuple(links))
        if place > 0 and links[place - 1].has_kernel:
            links[place - 1] = _fold_back(links[place - 1], links[place])
        else:
            _fold_forward(links, place, replace(chain, links=tuple(links)).shapes()[place])
        del links[place]


def _fold_back(before: Link, link: Link) -> Link:
    assert before.kernel is not None
    assert link.normalization is not None
    scale, shift = link.normalization.scale, link.normalization.shift
    bias = before.bias if before.bias is not None else np.zeros(before.kernel.shape[-1])
    return replace(before, kernel=before.kernel * scale, bias=bias * scale + shift)


def _fold_forward(links: list[Link], place: int, shape: tuple[int, ...]) -> None:
    """Put the BatchNormalization at ``place``, whose outputs have ``shape``, into the next kernel of ``links``."""
    folded = links[place].normalization
    assert folded is not None
    scale, shift = folded.scale, folded.shift
    for i in range(place + 1, len(links)):
        link = links[i]
        if link.kind == "flatten":
            repeats = int(np.prod(shape)) // len(scale)  # 1 after a second Flatten
            scale, shift = np.tile(scale, repeats), np.tile(shift, repeats)
        elif link.normalization is not None:
            scale, shift = scale * link.normalization.scale, shift * link.normalization.scale + link.normalization.shift
            links[i] = replace(link, normalization=_identity(len(scale)))
        elif link.kernel is not None and (link.kind == "dense" or link.padding == "valid"):
            bias = link.bias if link.bias is not None else np.zeros(link.kernel.shape[-1])
            by_channel = link.kernel.reshape(-1, *link.kernel.shape[-2:]).sum(axis=0)
            links[i] = replace(link, kernel=link.kernel * scale[:, None], bias=bias + shift @ by_channel)
            return
        else:
            break
    raise UnsupportedModelError(
        "this BatchNormalization can be folded neither into the layer before it nor into the one behind it",
        where=f"model: layer '{links[place].name}'",
        allowed="right after a Dense or Conv1D without activation, or before a Dense or an unpadded Conv1D",
    )


def _identity(channels: int) -> Normalization:
    return Normalization(np.ones(channels), np.zeros(channels), np.zeros(channels), np.ones(channels), 0.0)


def forward(chain: Chain, x: Array) -> Array:
    """The chain's outputs for ``x (samples, *input_shape)``, in float64."""
    for link in chain.links:
        x = apply_link(link, x)
    return x


def apply_link(link: Link, x: Array) -> Array:
    """One layer's outputs at inference for ``x (samples, *shape)``."""
    if link.kind == "relu":
        return np.maximum(x, 0)
    if link.kind == "flatten":
        return x.reshape(len(x), -1)
    if link.kind == "dropout":
        return x
    if link.normalization is not None:
        return np.asarray(x * link.normalization.scale + link.normalization.shift)
    assert link.kernel is not None
    if link.kind == "dense":
        total = x @ link.kernel
    else:
        padded = np.pad(x, ((0, 0), padding_of(link, x.shape[1]), (0, 0)))
        count = _output_shape(link, x.shape[1:])[0]
        taps = np.arange(count)[:, None] * link.stride + np.arange(link.kernel.shape[0]) * link.dilation
        total = np.tensordot(padded[:, taps], link.kernel, axes=((2, 3), (0, 1)))
    return np.asarray(total if link.bias is None else total + link.bias)
