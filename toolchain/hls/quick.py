"""What makes the C-simulation of a written project quick to compile and to run; synthesis reads what hls4ml wrote."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from toolchain.errors import ExternalToolError

#: Defined for a project as it was written: ``nnet_words.h`` says what it does.
QUICK_WORDS = "-DQUICK_WORDS"
_WEIGHTS = """#ifndef __SYNTHESIS__
static const double {name}_numbers[{size}]
#else
{type} {name}[{size}]
#endif
 = {{{numbers}}};

#ifndef __SYNTHESIS__
{type} {name}[{size}];
static const struct {name}_filling {{
    {name}_filling() {{
        for (int i = 0; i < {size}; i++)
            nnet::set_value({name}[i], {name}_numbers[i]);
    }}
}} {name}_filled;
#endif
"""
_ARRAY = re.compile(r"^(?P<type>\w+_t) (?P<name>\w+)\[(?P<size>\d+)\] = \{(?P<numbers>[^}]*)\};\n", re.MULTILINE)
_INCLUDE = '#ifndef __SYNTHESIS__\n#include "nnet_words.h"\n#endif\n'
_OWN_HEADERS = ("nnet_words.h", "nnet_bench.h")
#: In ``nnet_helpers.h``: the two functions that trace a layer.
_TRACING = re.compile(
    r"(?:^template <class data_T> void save_layer_output\([^{]*\{\n.*?^\}\n\n?){2}", re.MULTILINE | re.DOTALL
)
#: In ``nnet_helpers.h``: values that are traced.
_TRACED = re.compile(r"\b(save_T|float)\(((?:data|ctype)\[\w+\])\)")


def make_quick(folder: Path) -> None:
    """Rewrite weights and traces of the project in ``folder``, for the C-simulation alone.

    Weights are filled in a loop from the very numbers that synthesis initializes them with: g++ takes 5 ms for each
    element of an initialized ``ap_fixed`` array, 40 s for 7,560 weights. Raises ExternalToolError when hls4ml wrote
    anything else than hls4ml 1.3.0 writes.
    """
    for file in sorted((folder / "firmware" / "weights").glob("*.h")):
        text, count = _ARRAY.subn(lambda found: _WEIGHTS.format(**found.groupdict()), file.read_text())
        if count != 1:
            raise ExternalToolError("holds no array of weights as hls4ml 1.3.0 writes them", where=str(file))
        file.write_text(text)
    library = folder / "firmware" / "nnet_utils"
    helpers = library / "nnet_helpers.h"
    text, count = _TRACED.subn(r"\1(value_of(\2))", helpers.read_text())
    head, mark, rest = text.partition("namespace nnet {\n")
    rest, replaced = _TRACING.subn(r"#ifndef QUICK_WORDS // else in nnet_words.h\n\g<0>#endif\n", rest)
    if count != 4 or not mark or replaced != 1:
        raise ExternalToolError("holds no traces as hls4ml 1.3.0 writes them", where=str(helpers))
    helpers.write_text(f"{head}{_INCLUDE}\n{mark}{rest}")
    for name in _OWN_HEADERS:
        shutil.copyfile(Path(__file__).with_name(name), library / name)
