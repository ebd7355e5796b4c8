"""What a layer's rule says about its channels, and the register of all rules.

A rule is a function of a ``Site`` (one call of one layer). It names which axis of which weight follows which channels,
which keys of the configuration hold a size, and returns the channels of its output. Nothing is cut here: ``cutting.py``
reads what the rules have said. A rule raises ``UncuttableError`` where a cut would change the function; then everything
that the layer touches is left whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

import numpy as np

from toolchain.model.graph import Call, Layer, Tensor
from toolchain.prune.surgery.channels import Channels, Labels, Shape, UncuttableError, Units

#: ``reads``: sums over the channels; ``makes``: one slice a unit; ``carries``: one value a channel that passes through;
#: ``inside``: reads units that the same layer has made (recurrent kernels, heads).
Role = Literal["reads", "makes", "carries", "inside"]
Path = tuple[str, ...]
Output = Channels | tuple[Channels | None, ...] | None


@dataclass(frozen=True, eq=False)
class Binding:
    """Axis ``axis`` of a layer's weight follows ``labels``."""

    layer: str
    weight: str
    axis: int
    labels: Labels
    role: Role


@dataclass(frozen=True, eq=False)
class Size:
    """The configuration key at ``path`` holds the number of ``labels``, or the shape of ``channels``."""

    layer: str
    path: Path
    labels: Labels
    channels: Channels | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """Multiplications: ``positions`` times the size of ``weight``, or times the number of ``labels``."""

    layer: str
    positions: int
    weight: str | None = None
    labels: Labels | None = None


@dataclass(eq=False)
class Record:
    """All that the rules have said about a graph."""

    units: Units = field(default_factory=Units)
    bindings: dict[tuple[str, str, int], Binding] = field(default_factory=dict)
    sizes: dict[tuple[str, Path], Size] = field(default_factory=dict)
    resets: set[tuple[str, Path]] = field(default_factory=set)
    work: list[Work] = field(default_factory=list)
    channels: dict[Tensor, Channels | None] = field(default_factory=dict)

    def bind(self, binding: Binding) -> None:
        """Note a binding; a layer's second call ties its channels to those of the first."""
        key = (binding.layer, binding.weight, binding.axis)
        if key in self.bindings:
            self.units.tie(self.bindings[key].labels, binding.labels)
        self.bindings.setdefault(key, binding)

    def size(self, size: Size) -> None:
        """Note a size; a layer's second call ties its channels to those of the first."""
        known = self.sizes.setdefault((size.layer, size.path), size)
        if known is size:
            return
        same_axis = known.channels is None or (size.channels is not None and known.channels.axis == size.channels.axis)
        if known.labels.shape != size.labels.shape or not same_axis:
            why = f"'{size.layer}' is shared by tensors of different shapes"
            self.units.keep(known.labels, why)
            self.units.keep(size.labels, why)
            return
        self.units.tie(known.labels, size.labels)


@dataclass(frozen=True, eq=False)
class Site:
    """One call of one layer: what a rule sees and speaks to.

    ``shape`` is the first output's, without the sample axis. ``inside`` is the path of the layer's configuration within
    its wrapper's (TimeDistributed), ``repeats`` how often the wrapper calls it.
    """

    record: Record
    layer: Layer
    call: Call
    shape: Shape
    inputs: tuple[Channels | None, ...]
    inside: Path = ()
    repeats: int = 1

    def option(self, key: str, default: Any = None) -> Any:
        """A value of the layer's configuration."""
        found = self.layer.config.get(key)
        return default if found is None else found

    def input(self, place: int = 0, *, last: bool = True) -> Channels:
        """The channels of one input. Raises UncuttableError where they are not on the last axis, but must be."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise UncuttableError("its input has no fixed channel axis")
        if last and not found.is_last:
            raise UncuttableError(f"its input has the channels on axis {found.axis + 1}, it works on the last")
        if self.option("data_format", "channels_last") != "channels_last" and len(found.shape) > 1:
            raise UncuttableError("data_format = 'channels_first'")
        return found

    def every_input(self) -> tuple[Channels, ...]:
        """The channels of all inputs."""
        return tuple(self.input(place, last=False) for place in range(len(self.inputs)))

    def argument(self, place: int, keyword: str) -> Channels | None:
        """The channels of one argument, by position or keyword; None where it is not given."""
        given = self.call.arguments[place] if place < len(self.call.arguments) else self.call.keywords.get(keyword)
        return self.inputs[self.call.inputs.index(given)] if isinstance(given, Tensor) else None

    def units(self, count: int, kind: str = "") -> Labels:
        """The labels of the units that this layer makes; the same ones at each of its calls."""
        space = f"{self.layer.name}/{kind}" if kind else self.layer.name
        return self.record.units.of(space, count)

    def tie(self, one: Labels, other: Labels) -> None:
        """Units that go together."""
        self.record.units.tie(one, other)

    def keep(self, labels: Labels, why: str) -> None:
        """Units that must stay because of this layer."""
        self.record.units.keep(labels, f"'{self.layer.name}' ({self.layer.kind}): {why}")

    def bind(self, role: Role, weight: str, axis: int, labels: Labels) -> None:
        """Axis ``axis`` (may be negative) of a weight follows ``labels``; a weight the layer lacks is passed over."""
        if weight in self.layer.weights:
            found = self.layer.weights[weight]
            axis %= found.ndim
            if found.shape[axis] != len(labels):
                raise UncuttableError(f"{weight} has shape {found.shape}, {len(labels)} channels meet its axis {axis}")
            self.record.bind(Binding(self.layer.name, weight, axis, labels, role))

    def size(self, key: str, labels: Labels, within: Path = ()) -> None:
        """A configuration key, of the layer or at a path in it, holds how many channels there are."""
        self.record.size(Size(self.layer.name, (*self.inside, *within, key), labels))

    def shape_key(self, key: str, channels: Channels) -> None:
        """A configuration key holds a shape."""
        self.record.size(Size(self.layer.name, (*self.inside, key), channels.labels, channels))

    def reset(self, *path: str) -> None:
        """A configuration key that must be None once the layer is cut."""
        self.record.resets.add((self.layer.name, (*self.inside, *path)))

    def works(self, weight: str, shape: Shape) -> None:
        """Every value of ``weight`` is multiplied once at each position of ``shape`` (sizes not fixed count as 1)."""
        positions = prod(size or 1 for size in shape) * self.repeats
        self.record.work.append(Work(self.layer.name, positions, weight))

    def result(self, labels: Labels, shape: Shape | None = None) -> Channels:
        """Channels on the last axis of the output."""
        shape = self.shape if shape is None else shape
        return Channels(shape, len(shape) - 1, labels)


Rule = Callable[[Site], Output]


@dataclass(frozen=True)
class Registered:
    """A rule and whether the layer gives zero where all its inputs are zero."""

    rule: Rule
    keeps_zero: bool


RULES: dict[str, Registered] = {}


def rule(*kinds: str, keeps_zero: bool = False) -> Callable[[Rule], Rule]:
    """Register a rule for Keras classes.

    ``keeps_zero``: zero channels stay zero through the layer; ``masked`` then puts no mask behind it.
    """

    def register(function: Rule) -> Rule:
        for kind in kinds:
            assert kind not in RULES, kind
            RULES[kind] = Registered(function, keeps_zero)
        return function

    return register


def wrapped(site: Site, layer: Layer, path: Path, repeats: int) -> Site:
    """The site of a layer within a TimeDistributed: its weights and units count as the wrapper's."""
    inputs = []
    for place in range(len(site.inputs)):
        found = site.input(place, last=False)
        if found.axis == 0:
            raise UncuttableError("its input has the channels on the axis of the steps")
        inputs.append(Channels(found.shape[1:], found.axis - 1, found.labels))
    return replace(
        site, layer=layer, shape=site.shape[1:], inputs=tuple(inputs), inside=(*site.inside, *path), repeats=repeats
    )


def count_kept(labels: Labels, alive: np.ndarray) -> int:
    """How many of ``labels`` stay; ``alive`` says so for each label."""
    return int(np.count_nonzero(alive[labels]))
