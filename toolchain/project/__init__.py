"""``project.toml``: its schema, the reading of it, and what is said of its mistakes."""

from toolchain.project.loading import load_project, parse_project
from toolchain.project.problems import explain
from toolchain.project.schema import (
    BudgetSection,
    CsimSection,
    DataSection,
    HlsLayer,
    HlsSection,
    ModelSection,
    Project,
    PruneSection,
    QuantizeLayer,
    QuantizeSection,
    Section,
    TfliteKind,
    TfliteSection,
    TrainSection,
)

__all__ = [
    "BudgetSection",
    "CsimSection",
    "DataSection",
    "HlsLayer",
    "HlsSection",
    "ModelSection",
    "Project",
    "PruneSection",
    "QuantizeLayer",
    "QuantizeSection",
    "Section",
    "TfliteKind",
    "TfliteSection",
    "TrainSection",
    "explain",
    "load_project",
    "parse_project",
]
