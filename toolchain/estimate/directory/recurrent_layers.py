"""GRU, LSTM and simple recurrent layers."""

from __future__ import annotations

from toolchain.estimate.design import DesignLayer
from toolchain.estimate.directory.reading import Reading, Tensor, config_of, doubt_of, keep, need, strategy_of, types_of
from toolchain.estimate.directory.sources import LayerCall
from toolchain.estimate.directory.weights import read_weights


def recurrent(reading: Reading, call: LayerCall) -> None:
    config = config_of(reading, call)
    data, result = types_of(reading, call)
    function = next((name for name in ("gru", "lstm") if name in call.function), "simple_rnn")
    n_in, units = need(config, "n_in"), need(config, "n_state", "n_out")
    steps, given = need(config, "n_sequence"), config.numbers.get("n_sequence_out", 1)
    gates = {"gru": 3, "lstm": 4}.get(function, 1)
    inner = reading.sources.configs.get(config.types.get("mult_config1", ""), config)
    second = reading.sources.configs.get(config.types.get("mult_config2", ""), inner)
    form = reading.sources.type_of(config.types.get("weight_t", "model_default_t"))
    strategy = strategy_of(reading, inner, call)
    named = [name for name in call.arguments if name.startswith("w") and not name.startswith("wr")]
    again = [name for name in call.arguments if name.startswith("wr")]
    shapes = ((n_in, gates * units), (units, gates * units))
    kernel = read_weights(reading.weights, named[0], form, shapes[0], strategy == "resource") if named else None
    recurrent = read_weights(reading.weights, again[0], form, shapes[1], strategy == "resource") if again else None
    if kernel is None or recurrent is None:
        reading.notes.append(f"layer '{call.name}': no weight file: counted as if no weight were zero or equal")
    table = reading.sources.configs.get(config.types.get("ACT_CONFIG_T", ""))
    layer = DesignLayer(
        call.name, "recurrent", data.width, result.width, given * units, steps, kernel, form.width,
        reading.sources.type_of(config.types.get("accum_t", "model_default_t")).width, strategy,
        inner.numbers.get("reuse_factor", 1), function=function, recurrent_weights=recurrent,
        kernel_shape=shapes[0], recurrent_shape=shapes[1],
        recurrent_reuse_factor=second.numbers.get("reuse_factor", 0),
        table_size=table.numbers.get("table_size", 1024) if table else 1024,
        doubt=doubt_of(inner),
    )  # fmt: skip
    out = next(name for name in call.arguments[1:] if name not in (*named, *again))
    keep(reading, call, layer, Tensor(given, units, result.width), (out,))
