"""A written project as text, and single changes to it."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.fixed_point import FixedPoint, parse_ap_fixed
from toolchain.hls.stage import TOP

DEFINES = "firmware/defines.h"
PARAMETERS = "firmware/parameters.h"
DESIGN = f"firmware/{TOP}.cpp"
_NUMBERS = re.compile(r"(?<== \{)([^}]*)(?=\};)")
_FORM = r"ap_u?fixed<[^>]*>"


@dataclass(frozen=True)
class Edit:
    """New texts by file, and the hls4ml layer whose words they change first."""

    layer: str
    texts: dict[str, str]


@dataclass(frozen=True)
class Sources:
    """The project in ``folder``, as it was written."""

    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def arrays(self, kind: str) -> dict[str, str]:
        """Layer -> file of its weights, biases, scales or table (``kind``)."""
        found = {}
        for file in sorted((self.folder / "firmware" / "weights").glob("*.h")):
            match = re.search(rf"^(\w+)_{kind}_t \w+\[", file.read_text(), re.MULTILINE)
            if match:
                found[match[1]] = f"firmware/weights/{file.name}"
        return found

    def numbers(self, file: str) -> np.ndarray:
        match = _NUMBERS.search(self.text(file))
        assert match is not None
        return np.array([float(number) for number in match[1].split(",")])

    def with_numbers(self, file: str, numbers: np.ndarray) -> str:
        """The text of ``file`` with other numbers, exact: a double's shortest text reads as the same double."""
        text = ", ".join(f"{number:.17g}" for number in numbers)
        return _NUMBERS.sub(text, self.text(file), count=1)

    def form(self, name: str) -> FixedPoint | None:
        """The element format of type ``name``."""
        match = re.search(rf"^typedef .*?({_FORM}).* {name};$", self.text(DEFINES), re.MULTILINE)
        return parse_ap_fixed(match[1]) if match else None

    def with_form(self, name: str, form: FixedPoint) -> str:
        """``defines.h`` with another element format for type ``name``."""
        pattern = re.compile(rf"^(typedef .*?){_FORM}(.* {name};)$", re.MULTILINE)
        return pattern.sub(lambda found: f"{found[1]}{form}{found[2]}", self.text(DEFINES), count=1)

    def calls(self) -> dict[str, str]:
        """Layer -> its call in the design, as written."""
        pattern = re.compile(r"^ *(nnet::\w+<.*\); // (\w+))$", re.MULTILINE)
        return {name: call for call, name in pattern.findall(self.text(DESIGN))}

    def with_call(self, old: str, new: str) -> str:
        text = self.text(DESIGN)
        assert text.count(old) == 1
        return text.replace(old, new)

    def result_type(self, layer: str) -> str:
        """The name of the type that ``layer`` puts out."""
        match = re.search(rf'save_layer_output<(\w+)>\(\w+, "{layer}"', self.text(DESIGN))
        return match[1] if match else ""

    def constants(self, name: str) -> dict[str, tuple[str, int]]:
        """Layer -> the line of ``parameters.h`` that sets constant ``name`` for it, and the value."""
        found = {}
        for layer, block in re.findall(r"^// (\w+)\n((?:.*\n)*?)(?=^// |\Z)", self.text(PARAMETERS), re.MULTILINE):
            match = re.search(rf"^ *static const unsigned {name} = (\d+);$", block, re.MULTILINE)
            if match:
                found[layer] = (block, int(match[1]))
        return found

    def with_constant(self, name: str, block: str, value: int) -> str:
        """``parameters.h`` with constant ``name`` of the layer of ``block`` set to ``value``."""
        new = re.sub(rf"^( *static const unsigned {name} = )\d+;$", rf"\g<1>{value};", block, flags=re.MULTILINE)
        return self.text(PARAMETERS).replace(block, new)


def changed_copy(folder: Path, edit: Edit, target: Path) -> None:
    """``folder`` as ``target`` with the texts of ``edit``; unchanged files are shared."""
    shutil.copytree(folder, target, copy_function=os.link)
    for name, text in edit.texts.items():
        (target / name).unlink()
        (target / name).write_text(text)
