"""The layer list in the making: hls4ml's dictionaries, and where each node's words stand among them."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolchain.hls.layers import Layer, plain
from toolchain.network.nodes import Node


@dataclass
class Lowered:
    """hls4ml's layer dictionaries, and where each node's words stand among them."""

    io_type: str
    layers: list[Layer] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)  # node -> the hls4ml layer that puts out its words
    casts: dict[str, str] = field(default_factory=dict)  # a layer that only hands a node's words on -> that node
    parts: dict[str, Node] = field(default_factory=dict)  # a layer that joins only the first inputs of a node: as node
    flattened: set[str] = field(default_factory=set)  # nodes whose stream still has the packs from before a flattening
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [layer["name"] for layer in self.layers]

    def hand_on(self, node: str, name: str) -> str:
        """A layer ``name`` behind ``node`` that has its words and nothing of its own; its name."""
        self.layers.append(plain("Cast", name, self.ends[node]))
        self.casts[name] = node
        return name

    def read(self, node: Node) -> list[str]:
        """The layers that an element-wise ``node`` reads: each once, and in whole packs.

        A flattened stream keeps its packs of channels, which only hls4ml's Dense allows for.
        """
        found: list[str] = []
        for number, x in enumerate(node.inputs):
            packed = self.io_type == "io_stream" and x in self.flattened
            again = self.ends[x] in found
            found.append(self.hand_on(x, f"{node.name}_in{number}") if packed or again else self.ends[x])
        return found
