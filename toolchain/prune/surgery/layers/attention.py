"""MultiHeadAttention: its heads are units that no tensor outside shows; its outputs are neurons."""

from __future__ import annotations

from math import prod

from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.rules import Site, Work, rule


@rule("MultiHeadAttention")
def attention(site: Site) -> Channels:
    """Projections ``(inputs, heads, width)``, output ``(heads, width, units)``."""
    query, value = site.argument(0, "query"), site.argument(1, "value")
    key = site.argument(2, "key") or value
    if query is None or value is None or key is None or not (query.is_last and value.is_last and key.is_last):
        raise UncuttableError("its query, value or key has no channels on the last axis")
    if set(site.call.keywords) - {"query", "value", "key", "use_causal_mask"} or len(site.call.arguments) > 3:
        raise UncuttableError("a mask as an input, or its scores as an output")
    heads = site.units(int(site.option("num_heads")), "heads")
    units = site.units(int(site.shape[-1] or 0))
    for name, read in (("query", query), ("key", key), ("value", value)):
        site.bind("reads", f"{name}/kernel", 0, read.labels)
        site.bind("makes", f"{name}/kernel", 1, heads)
        site.bind("makes", f"{name}/bias", 0, heads)
        site.works(f"{name}/kernel", read.shape[:-1])
    site.bind("inside", "attention_output/kernel", 0, heads)
    site.bind("makes", "attention_output/kernel", 2, units)
    site.bind("makes", "attention_output/bias", 0, units)
    site.works("attention_output/kernel", query.shape[:-1])
    widths = int(site.option("key_dim")) + int(site.option("value_dim", site.option("key_dim")))
    places = prod(size or 1 for size in (*query.shape[:-1], *key.shape[:-1])) * site.repeats
    site.record.work.append(Work(site.layer.name, places * widths, labels=heads))
    site.size("num_heads", heads)
    site.size("output_shape", units)
    for shape in ("query_shape", "key_shape", "value_shape"):
        if shape in site.layer.config:
            site.reset(shape)
    return site.result(units)
