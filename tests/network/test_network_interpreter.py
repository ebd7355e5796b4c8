"""The interpreter against the naive one, ranges and accumulators against what really happens, storage byte by byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import run as run_naively

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import arithmetic, interpreter, storage
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork, Linear
from toolchain.network.ranges import analyse

MERGES = ("add", "subtract", "multiply", "maximum", "minimum", "average")
PLAIN = FixedPoint(True, 2, 5)


def random_format(rng: np.random.Generator, widest: int = 12) -> FixedPoint:
    signed, width, integer = bool(rng.integers(2)), int(rng.integers(2, widest)), int(rng.integers(-2, 5))
    return FixedPoint(
        signed, integer, width - integer - signed, list(Rounding)[rng.integers(7)], list(Overflow)[rng.integers(4)]
    )


def weights(rng: np.random.Generator, shape: tuple[int, ...], wide: bool) -> tuple[np.ndarray, FixedPoint]:
    form = FixedPoint(True, 3, 30 if wide else int(rng.integers(1, 6)))
    words = rng.integers(form.min_word, form.max_word + 1, size=shape)
    return words * (rng.random(shape) < 0.7), form


def random_network(seed: int, wide: bool = False) -> FixedPointNetwork:
    """A few operators of random kinds, shapes and formats; ``wide`` leaves 64 bits behind."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("random")
    axes = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(2, 6, size=axes))
    x = b.input("x", shape, FixedPoint(True, 3, 40) if wide else random_format(rng))
    for number in range(int(rng.integers(1, 6))):
        x = add_random(b, x, f"n{number}", rng, wide)
    return b.build((x,))


def add_random(b: NetworkBuilder, x: str, name: str, rng: np.random.Generator, wide: bool) -> str:
    shape = b.shape_of(x)
    result = None if rng.random() < 0.4 else random_format(rng, 20)
    kinds = ["dense", "scale", "relu", "requantize", "reshape", *MERGES, "concatenate", "permute"]
    kinds += ["convolution", "depthwise", "max_pool", "zero_padding", "crop"] if len(shape) > 1 else []
    kinds += ["table"] if b.format_of(x).width <= 12 else []
    kinds += ["embedding"] if b.format_of(x).width <= 6 and len(shape) < 3 else []
    kind = rng.choice(kinds)
    channels = shape[-1]
    if kind == "dense":
        units = int(rng.integers(1, 5))
        return b.dense(name, x, *weights(rng, (channels, units), wide), *weights(rng, (units,), wide), result)
    if kind == "scale":
        return b.scale(name, x, *weights(rng, (channels,), wide), *weights(rng, (channels,), wide), result)
    if kind == "relu":
        return b.relu(name, x, result)
    if kind == "requantize":
        return b.requantize(name, x, random_format(rng))
    if kind == "reshape":
        return b.reshape(name, x, (int(np.prod(shape)),))
    if kind in MERGES:
        inputs = (x, b.relu(f"{name}_part", x, random_format(rng)))
        if kind != "subtract" and rng.random() < 0.3:
            inputs = (*inputs, *(inputs if kind == "average" else (x,)))
        return str(getattr(b, str(kind))(name, inputs, result))
    if kind in ("concatenate", "permute", "zero_padding", "crop", "table", "embedding"):
        return add_moved(b, x, name, rng, str(kind))
    spatial = len(shape) - 1
    window = tuple(int(min(rng.integers(1, 4), shape[a])) for a in range(spatial))
    padding = tuple((int(rng.integers(0, w)), int(rng.integers(0, w))) for w in window)
    strides = tuple(int(n) for n in rng.integers(1, 3, size=spatial))
    if kind == "max_pool":
        return b.max_pool(name, x, window, strides, padding)
    dilation = tuple(2 if 2 * (w - 1) < n and rng.random() < 0.3 else 1 for w, n in zip(window, shape, strict=False))
    filters = channels if kind == "depthwise" else int(rng.integers(1, 4))
    kernel = (*window, channels) if kind == "depthwise" else (*window, channels, filters)
    return b.convolution(
        name, x, *weights(rng, kernel, wide), *weights(rng, (filters,), wide), result,
        strides=strides, padding=padding, dilation=dilation, depthwise=kind == "depthwise",
    )  # fmt: skip


def add_moved(b: NetworkBuilder, x: str, name: str, rng: np.random.Generator, kind: str) -> str:
    shape = b.shape_of(x)
    if kind == "concatenate":
        part = b.relu(f"{name}_part", x, random_format(rng))
        return b.concatenate(name, (x, part, x)[: int(rng.integers(2, 4))], int(rng.integers(-1, len(shape))))
    if kind == "permute":
        return b.permute(name, x, tuple(int(axis) for axis in rng.permutation(len(shape))))
    if kind == "zero_padding":
        return b.zero_padding(name, x, tuple((int(rng.integers(3)), int(rng.integers(3))) for _ in shape[:-1]))
    if kind == "crop":
        return b.crop(name, x, tuple((int(rng.integers(n)), 0) for n in shape[:-1]))
    form = random_format(rng)
    if kind == "table":
        return b.table(name, x, rng.integers(form.min_word, form.max_word + 1, 1 << b.format_of(x).width), form)
    index = FixedPoint(False, int(rng.integers(1, 4)), 0, Rounding.TRN, Overflow.WRAP)
    rows = rng.integers(form.min_word, form.max_word + 1, (int(rng.integers(1, index.max_word + 2)), 2))
    return b.embedding(name, b.requantize(f"{name}_index", x, index), rows, form)


def random_words(network: FixedPointNetwork, samples: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    port = network.inputs[0]
    low, high = port.result.min_word, port.result.max_word
    words = rng.integers(low, high + 1, size=(samples, *port.shape))
    words[0], words[1] = low, high
    return {port.name: words}


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_the_fast_interpreter_is_the_naive_one(seed: int, wide: bool) -> None:
    network = random_network(seed, wide)
    words = random_words(network, 4, seed)
    fast, slow = interpreter.run(network, words), run_naively(network, words)
    for node in network.nodes:
        assert fast[node.name].tolist() == slow[node.name].tolist(), (seed, node.name, type(node).__name__)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_no_word_leaves_its_proven_range(seed: int) -> None:
    network = random_network(seed)
    ranges = analyse(network)
    for name, words in interpreter.run(network, random_words(network, 20, seed)).items():
        assert (words >= ranges[name].low).all()
        assert (words <= ranges[name].high).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_accumulators_never_wrap_and_are_the_narrowest(seed: int) -> None:
    """For a layer that reads the input: the extreme inputs reach the accumulator's ends, one bit less would wrap."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("one")
    x = b.input("x", (5,), FixedPoint(True, 2, int(rng.integers(1, 8))))
    layer = b.dense("d", x, *weights(rng, (5, 3), False), *weights(rng, (3,), False))
    network = b.build((layer,))
    node, port = network["d"], network.inputs[0].result
    assert isinstance(node, Linear)
    columns = [sign * node.kernel[:, o] for o in range(3) for sign in (1, -1)]
    extremes = [np.where(column > 0, port.max_word, port.min_word) for column in columns]
    found = interpreter.run(network, {"x": np.array(extremes)})["d"]
    exact = run_naively(network, {"x": np.array(extremes)})["d"]
    assert found.tolist() == exact.tolist()
    assert analyse(network)["d"].lowest == found.min()
    assert analyse(network)["d"].highest == found.max()
    if node.accumulator.width > 1:
        narrow = replace(node.accumulator, integer_bits=node.accumulator.integer_bits - 1)
        assert found.min() < narrow.min_word or found.max() > narrow.max_word


def test_a_narrow_accumulator_wraps_as_the_naive_one_says() -> None:
    b = NetworkBuilder("wrap")
    b.dense("d", b.input("x", (4,), PLAIN), np.full((4, 2), 31), FixedPoint(True, 0, 5))
    built = b.build(("d",))
    node = built["d"]
    assert isinstance(node, Linear)
    narrow = replace(node.accumulator, integer_bits=node.accumulator.integer_bits - 2)
    network = FixedPointNetwork(name="w", nodes=(built["x"], replace(node, accumulator=narrow)), outputs=("d",))
    words = random_words(network, 10, 0)
    fast, slow = interpreter.run(network, words)["d"], run_naively(network, words)["d"]
    assert fast.tolist() == slow.tolist()
    assert fast.tolist() != interpreter.run(built, words)["d"].tolist()


@pytest.mark.parametrize("seed", range(40))
def test_storage_is_exact_and_reproducible(seed: int, tmp_path: Path) -> None:
    network = random_network(seed)
    file = tmp_path / "network.fpn"
    storage.save(network, file)
    again = storage.load(file)
    assert storage.to_bytes(again) == file.read_bytes()
    words = random_words(network, 3, seed)
    for name, found in interpreter.run(again, words).items():
        assert found.tolist() == interpreter.run(network, words)[name].tolist()


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
def test_a_damaged_network_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "network.fpn"
    content = storage.to_bytes(random_network(5))
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    damaged = {"empty": b"", "text": b"hello", "cut": content[:-40], "flipped": flipped}[damage]
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match="network"):
        storage.load(file)


@pytest.mark.parametrize("words", [np.full((2, 4), 128), np.full((2, 4), -129), np.zeros((2, 5), dtype=np.int64)])
def test_words_that_are_not_of_the_port_are_refused(words: np.ndarray) -> None:
    b = NetworkBuilder("port")
    b.relu("r", b.input("x", (4,), PLAIN))
    with pytest.raises(ValueError, match="'x'"):
        interpreter.run(b.build(("r",)), {"x": words})
    with pytest.raises(ValueError, match="no words"):
        interpreter.run(b.build(("r",)), {})


def test_weights_cannot_be_changed() -> None:
    kernel = np.ones((4, 2), dtype=np.int64)
    b = NetworkBuilder("frozen")
    b.dense("d", b.input("x", (4,), PLAIN), kernel, PLAIN)
    node = b.build(("d",))["d"]
    assert isinstance(node, Linear)
    kernel[0, 0] = 9
    assert node.kernel[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        node.kernel[0, 0] = 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["convolution", "depthwise", "scale"]))
def test_ranges_of_one_linear_layer_are_reached(seed: int, kind: str) -> None:
    """Element by element: the input that is extreme where each weight meets it gives exactly the proven ends."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("one")
    shape = (5, 4, 2) if seed % 2 and kind != "scale" else (6, 2)
    x = b.input("x", shape, FixedPoint(True, 2, int(rng.integers(1, 8))))
    spatial = len(shape) - 1
    options = {
        "strides": tuple(int(n) for n in rng.integers(1, 3, size=spatial)), "dilation": (1,) * spatial,
        "padding": tuple((int(rng.integers(2)), int(rng.integers(2))) for _ in range(spatial)),
    }  # fmt: skip
    window = tuple(int(n) for n in rng.integers(1, 4, size=spatial))
    if kind == "scale":
        b.scale("d", x, *weights(rng, (2,), False), *weights(rng, (2,), False))
    else:
        channels = (2,) if kind == "depthwise" else (2, 3)
        kernel, bias = weights(rng, (*window, *channels), False), weights(rng, channels[-1:], False)
        b.convolution("d", x, *kernel, *bias, depthwise=kind == "depthwise", **options)
    network = b.build(("d",))
    port, proven = network.inputs[0].result, analyse(network)["d"]
    signs = responses(network)
    highest, lowest = [], []
    for place in np.ndindex(*network["d"].shape):
        rising, falling = signs[(slice(None), *place)] > 0, signs[(slice(None), *place)] < 0
        for ends, up, down in ((highest, rising, falling), (lowest, falling, rising)):
            words = np.where(up, port.max_word, np.where(down, port.min_word, 0)).reshape(shape)
            found = interpreter.run(network, {"x": words[None]})["d"]
            ends.append(int(found[(0, *place)]))
    assert highest == proven.high.reshape(-1).tolist()
    assert lowest == proven.low.reshape(-1).tolist()


def responses(network: FixedPointNetwork) -> np.ndarray:
    """How every output element answers to one word more at every input place: ``(places, *shape)``."""
    port = network.inputs[0]
    words = np.concatenate([np.zeros((1, port.size), dtype=np.int64), np.eye(port.size, dtype=np.int64)])
    found = interpreter.run(network, {port.name: words.reshape(-1, *port.shape)})[network.outputs[0]]
    return np.asarray(found[1:] - found[:1])


@pytest.mark.parametrize("terms", [2, 3, 8, 9, 16, 100])
def test_many_large_terms_are_added_exactly(terms: int) -> None:
    b = NetworkBuilder("sum")
    b.add("s", (b.input("x", (1,), FixedPoint(True, 60, 0)),) * terms)
    words = np.array([[2**60 - 1], [1 - 2**60], [12345]])  # the largest that once ran in int64 for any number of terms
    found = interpreter.run(b.build(("s",)), {"x": words})["s"]
    assert found.tolist() == [[terms * int(word)] for word in words[:, 0]]


def test_zero_weights_hide_words_of_any_size() -> None:
    b = NetworkBuilder("zero")
    x = b.input("x", (2,), FixedPoint(True, 200, 0))
    b.dense("d", x, np.zeros((2, 3), dtype=np.int64), PLAIN, result=PLAIN)
    words = np.array([[2**190, -(2**200)], [0, 1]], dtype=object)
    assert interpreter.run(b.build(("d",)), {"x": words})["d"].tolist() == [[0, 0, 0]] * 2
    # The accumulator's wrap would hide what a float makes of infinity times 0: the product is looked at by itself.
    assert arithmetic.matmul(words, np.zeros((2, 3), dtype=np.int64)).tolist() == [[0, 0, 0]] * 2


def test_a_window_of_padding_only_is_refused() -> None:
    b = NetworkBuilder("pool")
    x = b.input("x", (4, 1), PLAIN)
    with pytest.raises(AssertionError, match="padding only"):
        b.max_pool("p", x, (2,), (1,), ((2, 0),))


def small_network(order: str) -> FixedPointNetwork:
    b = NetworkBuilder("small")
    kernel = np.asarray(np.arange(12).reshape(3, 4), order=order)
    return b.build((b.dense("d", b.input("x", (3,), PLAIN), kernel, FixedPoint(True, 4, 0)),))


def test_equal_networks_have_equal_bytes_whatever_the_memory_order() -> None:
    assert storage.digest(small_network("C")) == storage.digest(small_network("F"))


def test_no_changed_byte_gives_another_network(tmp_path: Path) -> None:
    """Every byte of the file, changed, and the file cut at every byte: refused, or the very same network."""
    content, file = storage.to_bytes(small_network("C")), tmp_path / "network.fpn"
    refused = 0
    variants = [content[:i] + bytes([content[i] ^ m]) + content[i + 1 :] for i in range(len(content)) for m in (1, 255)]
    for variant in [*variants, *(content[:i] for i in range(0, len(content), 3))]:
        file.write_bytes(variant)
        try:
            again = storage.load(file)
        except ValueError:
            refused += 1
            continue
        assert storage.to_bytes(again) == content
    assert refused > len(content)


def test_another_version_and_a_missing_file_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        storage.load(tmp_path / "nowhere.fpn")
    with monkeypatch.context() as patch:
        patch.setattr(storage, "FORMAT_VERSION", 99)
        storage.save(small_network("C"), tmp_path / "later.fpn")
    with pytest.raises(ValueError, match="format version 99"):
        storage.load(tmp_path / "later.fpn")
