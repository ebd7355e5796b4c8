"""TimeDistributed: the rule of the layer within, for each step."""

from __future__ import annotations

from toolchain.model.graph import Layer
from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.rules import RULES, Output, Site, rule, wrapped


@rule("TimeDistributed")
def time_distributed(site: Site) -> Output:
    """The weights are those of the layer within."""
    inner = site.option("layer")
    kind = str(inner["class_name"])
    if kind not in RULES or kind in ("TimeDistributed", "Bidirectional", "InputLayer"):
        raise UncuttableError(f"round a {kind}")
    steps = site.shape[0] or 1
    layer = Layer(site.layer.name, kind, inner["config"], site.layer.weights)
    made = RULES[kind].rule(wrapped(site, layer, ("layer", "config"), steps))
    if not isinstance(made, Channels):
        raise UncuttableError(f"round a {kind} of several outputs")
    if "build_config" in inner:
        site.reset("layer", "build_config")
    return Channels(site.shape, made.axis + 1, made.labels)
