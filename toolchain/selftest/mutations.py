"""One change to a written project: what a wrong tool, a wrong hand or a broken disk makes of it.

A mutation draws its place and gives the edit, or None where the project has no such place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import Convolution, Dense, FixedPointNetwork
from toolchain.selftest.sources import DEFINES, DESIGN, PARAMETERS, Edit, Sources

Mutation = Callable[[Sources, FixedPointNetwork, np.random.Generator], Edit | None]


def _pick(rng: np.random.Generator, names: list[str]) -> str | None:
    return names[int(rng.integers(len(names)))] if names else None


def _one_number(kind: str) -> Mutation:
    """One number of an array, one step of its type up or down."""

    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        files = sources.arrays(kind)
        layer = _pick(rng, sorted(files))
        form = sources.form(f"{layer}_{kind}_t") if layer else None
        if layer is None or form is None:
            return None
        numbers = sources.numbers(files[layer])
        place = int(rng.integers(numbers.size))
        step = form.lsb if numbers[place] + form.lsb <= form.max_word * form.lsb else -form.lsb
        numbers[place] += step
        return Edit(layer, {files[layer]: sources.with_numbers(files[layer], numbers)})

    return mutate


def _all_numbers(kind: str, change: Callable[[np.ndarray], np.ndarray]) -> Mutation:
    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        files = sources.arrays(kind)
        changed = {layer: change(sources.numbers(file)) for layer, file in files.items()}
        useful = sorted(layer for layer in files if (changed[layer] != sources.numbers(files[layer])).any())
        layer = _pick(rng, useful)
        if layer is None:
            return None
        return Edit(layer, {files[layer]: sources.with_numbers(files[layer], changed[layer])})

    return mutate


def _kernel(change: Callable[[np.ndarray], np.ndarray], kinds: type | tuple[type, ...]) -> Mutation:
    """The kernel in another order; its shape is the network's."""

    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        files = sources.arrays("weight")
        nodes = [node for node in network.nodes if isinstance(node, kinds) and node.name in files]
        found = {}
        for node in nodes:
            assert isinstance(node, Dense | Convolution)
            numbers = sources.numbers(files[node.name])
            if numbers.size == node.kernel.size:
                new = change(numbers.reshape(node.kernel.shape)).reshape(-1)
                if (new != numbers).any():
                    found[node.name] = new
        chosen = _pick(rng, sorted(found))
        return Edit(chosen, {files[chosen]: sources.with_numbers(files[chosen], found[chosen])}) if chosen else None

    return mutate


def _type(suffix: str, change: Callable[[FixedPoint, np.random.Generator], FixedPoint | None]) -> Mutation:
    """Another format for one type: ``suffix`` is that of its name, ``""`` the result of a layer."""

    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        layers = sorted(sources.calls())
        names = {layer: f"{layer}{suffix}_t" if suffix else sources.result_type(layer) for layer in layers}
        found = {}
        for layer, name in names.items():
            form = sources.form(name) if name else None
            new = change(form, rng) if form else None
            if new is not None and new != form:
                found[layer] = (name, new)
        chosen = _pick(rng, sorted(found))
        return Edit(chosen, {DEFINES: sources.with_form(*found[chosen])}) if chosen else None

    return mutate


def _port(change: Callable[[FixedPoint, np.random.Generator], FixedPoint | None]) -> Mutation:
    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        name = network.inputs[int(rng.integers(len(network.inputs)))].name
        form = sources.form(f"{name}_t")
        new = change(form, rng) if form else None
        return Edit(name, {DEFINES: sources.with_form(f"{name}_t", new)}) if new else None

    return mutate


def _integer_bit(form: FixedPoint, rng: np.random.Generator) -> FixedPoint | None:
    return replace(form, integer_bits=form.integer_bits - 1) if form.width > 1 else None


def _fractional_bit(form: FixedPoint, rng: np.random.Generator) -> FixedPoint | None:
    return replace(form, fractional_bits=form.fractional_bits - 1) if form.width > 1 else None


def _scale(form: FixedPoint, rng: np.random.Generator) -> FixedPoint | None:
    return replace(form, integer_bits=form.integer_bits + 1, fractional_bits=form.fractional_bits - 1)


def _sign(form: FixedPoint, rng: np.random.Generator) -> FixedPoint | None:
    return replace(form, signed=not form.signed, integer_bits=form.integer_bits + (1 if form.signed else -1))


def _rounding(form: FixedPoint, rng: np.random.Generator) -> FixedPoint | None:
    others = [mode for mode in (Rounding.TRN, Rounding.RND, Rounding.RND_CONV) if mode is not form.rounding]
    return replace(form, rounding=others[int(rng.integers(len(others)))])


def _overflow(form: FixedPoint, rng: np.random.Generator) -> FixedPoint | None:
    return replace(form, overflow=Overflow.SAT if form.overflow is Overflow.WRAP else Overflow.WRAP)


def _call(old: str, new: str) -> Mutation:
    """Another function for one layer."""

    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        calls = sources.calls()
        layer = _pick(rng, sorted(name for name, call in calls.items() if call.startswith(old)))
        if layer is None:
            return None
        return Edit(layer, {DESIGN: sources.with_call(calls[layer], calls[layer].replace(old, new, 1))})

    return mutate


def _swapped_weights(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
    """A layer reads the weights of another one of the same size: two layers swapped."""
    files = sources.arrays("weight")
    sizes = {layer: sources.numbers(file).size for layer, file in files.items()}
    order = [layer for layer in sources.calls() if layer in files]
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if sizes[a] == sizes[b]]
    if not pairs:
        return None
    first, second = pairs[int(rng.integers(len(pairs)))]
    one, two = sources.numbers(files[first]), sources.numbers(files[second])
    if (one == two).all():
        return None
    texts = {files[first]: sources.with_numbers(files[first], two)}
    return Edit(first, texts | {files[second]: sources.with_numbers(files[second], one)})


def _swapped_operands(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
    """The two inputs of a subtraction in the other order."""
    calls = sources.calls()
    found = {}
    for layer, call in calls.items():
        head, _, rest = call.partition(">(")
        function, _, types = head.partition("<")
        kinds = types.split(", ")
        arguments = rest.partition(")")[0].split(", ")
        if function == "nnet::subtract":
            new = call.replace(", ".join(kinds[:2]), f"{kinds[1]}, {kinds[0]}", 1)
            found[layer] = new.replace(", ".join(arguments[:2]), f"{arguments[1]}, {arguments[0]}", 1)
    chosen = _pick(rng, sorted(found))
    return Edit(chosen, {DESIGN: sources.with_call(calls[chosen], found[chosen])}) if chosen else None


def _constant(name: str, change: Callable[[int], int], also: str = "") -> Mutation:
    """Another constant of one layer's configuration; ``also`` is set to the old value plus what was taken away."""

    def mutate(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
        found = {layer: at for layer, at in sources.constants(name).items() if change(at[1]) != at[1] and at[1] > 0}
        layer = _pick(rng, sorted(found))
        if layer is None:
            return None
        block, value = found[layer]
        text = sources.with_constant(name, block, change(value))
        if also:
            other = sources.constants(also)[layer][1]
            twice = Sources(sources.folder).constants(name)[layer][0]
            moved = other + value - change(value)
            text = sources.text(PARAMETERS).replace(twice, _set(_set(twice, name, change(value)), also, moved))
        return Edit(layer, {PARAMETERS: text})

    return mutate


def _set(block: str, name: str, value: int) -> str:
    lines = block.splitlines(keepends=True)
    start = f"    static const unsigned {name} = "
    return "".join(f"{start}{value};\n" if line.startswith(start) else line for line in lines)


def _average_pool(sources: Sources, network: FixedPointNetwork, rng: np.random.Generator) -> Edit | None:
    text = sources.text(PARAMETERS)
    place = text.find("nnet::Max;")
    pools = [layer for layer, call in sources.calls().items() if call.startswith("nnet::pooling")]
    return (
        Edit(pools[0], {PARAMETERS: text.replace("nnet::Max;", "nnet::Average;", 1)})
        if place > 0 < len(pools)
        else None
    )


#: Changes to the sources, compiled and run.
SOURCE_MUTATIONS: dict[str, Mutation] = {
    "one weight by one step": _one_number("weight"),
    "one bias by one step": _one_number("bias"),
    "one scale by one step": _one_number("scale"),
    "one table entry by one step": _one_number("table"),
    "table moved by one entry": _all_numbers("table", lambda numbers: np.roll(numbers, 1)),
    "table of half the size": _constant("table_size", lambda size: size // 2),
    "sign of the weights lost": _all_numbers("weight", np.abs),
    "biases dropped": _all_numbers("bias", np.zeros_like),
    "transposed kernel": _kernel(lambda kernel: np.swapaxes(kernel, -1, -2), (Dense, Convolution)),
    "flipped window": _kernel(lambda kernel: kernel[::-1], Convolution),
    "weights of two layers swapped": _swapped_weights,
    "operands swapped": _swapped_operands,
    "rounding mode": _type("", _rounding),
    "overflow mode": _type("", _overflow),
    "one integer bit of a result": _type("", _integer_bit),
    "one fractional bit of a result": _type("", _fractional_bit),
    "sign of a result": _type("", _sign),
    "one integer bit of an accumulator": _type("_accum", _integer_bit),
    "one fractional bit of an accumulator": _type("_accum", _fractional_bit),
    "one integer bit of the weights": _type("_weight", _integer_bit),
    "one fractional bit of the weights": _type("_weight", _fractional_bit),
    "one fractional bit of the biases": _type("_bias", _fractional_bit),
    "input scale": _port(_scale),
    "one integer bit of the input": _port(_integer_bit),
    "sign of the input": _port(_sign),
    "activation dropped": _call("nnet::relu<", "nnet::linear<"),
    "add became subtract": _call("nnet::add<", "nnet::subtract<"),
    "maximum became minimum": _call("nnet::maximum<", "nnet::minimum<"),
    "stride": _constant("stride_width", lambda stride: 3 - stride if stride < 3 else 2),
    "padding moved": _constant("pad_left", lambda pad: pad - 1, also="pad_right"),
    "average instead of maximum": _average_pool,
}
