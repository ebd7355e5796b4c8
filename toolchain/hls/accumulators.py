"""The types of sums: the smallest that provably hold every sum, or what hls4ml's ``auto`` rule would give.

hls4ml's exact-precision pass is not used for them. It gives a sum only the bits that the next change of format keeps,
but hls4ml casts every product to the accumulator's type: truncating each is not truncating their sum.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

from toolchain.errors import ExternalToolError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.precision import ZEROS
from toolchain.hls.sufficiency import exact_bounds, holds
from toolchain.network.nodes import FixedPointNetwork, Linear
from toolchain.network.ranges import Range
from toolchain.results import HlsAccumulator, HlsLayerOptions

Choice = Literal["proven", "auto"]
#: A bias that is not there: the narrowest type that hls4ml could give it.
_NO_BIAS = FixedPoint(False, 1, 0)


def settle(
    graph: Any, network: FixedPointNetwork, layers: tuple[HlsLayerOptions, ...], choice: Choice
) -> tuple[HlsAccumulator, ...]:
    """Give every accumulator in hls4ml's ``graph`` the type of ``choice``; both widths for each of ``layers``.

    ``proven``: the interval of the sum over the real integer weights and the input's own range, on the coarsest grid
    that holds every product and the bias. Layers of distributed_arithmetic are left out. Raises
    ExternalToolError when hls4ml's rule gives a type that does not hold every sum.
    """
    bounds = exact_bounds(network)
    found = []
    for options in layers:
        node, layer = network[options.name], graph.graph.get(options.name)
        assert isinstance(node, Linear)
        if layer is None or "accum_t" not in layer.types:
            continue
        proven = _smallest(bounds[node.name])
        if options.strategy == "distributed_arithmetic":
            _set(layer.types["accum_t"], proven)
            continue  # generated adders: the type stands in the source but nothing has it
        auto = _auto(layer, node, network)
        chosen = proven if choice == "proven" else auto
        if not holds(chosen, bounds[node.name]):
            raise ExternalToolError(f"hls4ml's rule gives {auto}, the sums need {proven}", where=f"layer '{node.name}'")
        _set(layer.types["accum_t"], chosen)
        found.append(
            HlsAccumulator(
                name=node.name, proven=str(proven), auto=str(auto), proven_bits=proven.width, auto_bits=auto.width,
                count=node.kernel.shape[-1],
            )
        )  # fmt: skip
    return tuple(found)


def _smallest(sums: Range) -> FixedPoint:
    if sums.lowest == 0 == sums.highest:
        return ZEROS
    return sums.smallest_format()


def _auto(layer: Any, node: Linear, network: FixedPointNetwork) -> FixedPoint:
    """What hls4ml itself infers from the types of the input, the weights and the bias, and the number of products."""
    from hls4ml.model.optimizer.passes.infer_precision import InferPrecisionTypes

    asked = {
        "weight_t": node.kernel_format,
        "bias_t": node.bias_format if node.bias is not None and node.bias_format is not None else _NO_BIAS,
    }
    port = layer.get_input_variable().type
    kept = {name: layer.types[name].precision for name in (*asked, "accum_t")}
    name, read = layer.types["accum_t"].name, port.precision
    try:
        port.precision = _precision(network[node.inputs[0]].result)
        for kind, form in asked.items():
            layer.types[kind].precision = _precision(form)
        InferPrecisionTypes()._infer_precision(layer, ["accum_t"])
        inferred = layer.types["accum_t"].precision
        sign = int(inferred.signed)
        return FixedPoint(bool(sign), inferred.integer - sign, inferred.width - inferred.integer)
    finally:
        port.precision = read
        layer.types["accum_t"].name = name
        for kind, precision in kept.items():
            layer.types[kind].precision = precision


def _set(kind: Any, form: FixedPoint) -> None:
    precision = copy.copy(kind.precision)  # it knows how the backend writes it
    precision.width, precision.integer = form.width, form.integer_bits + int(form.signed)
    precision.signed = form.signed
    precision.rounding_mode, precision.saturation_mode = str(Rounding.TRN), str(Overflow.WRAP)
    kind.precision = precision


def _precision(form: FixedPoint) -> Any:
    from hls4ml.model.types import FixedPrecisionType

    return FixedPrecisionType(form.width, form.integer_bits + int(form.signed), form.signed)
