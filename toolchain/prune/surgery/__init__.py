"""Surgery: units, filters, heads and residual branches are taken out of a graph, and all that is coupled with them.

    plan = plan_sparsity(graph, 0.5)      # or plan_units, plan_branches, plan_dead
    print(plan.text())
    smaller = apply(graph, plan)          # computes what masked(graph, plan) computes

``toolchain.model.keras_graph`` makes a graph of a Keras model (``graph_of``) and a model of a graph (``build_keras``).
"""

from toolchain.prune.surgery.blocks import branch_changes, branches_of
from toolchain.prune.surgery.cutting import apply
from toolchain.prune.surgery.dead import plan_dead, remove_dead
from toolchain.prune.surgery.importance import unit_norms
from toolchain.prune.surgery.masking import masked
from toolchain.prune.surgery.plan import Family, Plan, load_plan
from toolchain.prune.surgery.planning import plan_branches, plan_sparsity, plan_units
from toolchain.prune.surgery.tracing import Group, Tracing, trace

__all__ = [
    "Family", "Group", "Plan", "Tracing", "apply", "branch_changes", "branches_of", "load_plan", "masked",
    "plan_branches", "plan_dead", "plan_sparsity", "plan_units", "remove_dead", "trace", "unit_norms",
]  # fmt: skip
