"""What the stages hand to one another: the only place where it is declared.

A ``StageResult`` is a small frozen record; its files stand beside it in the stage's own folder. A stage writes its
files into the folder it is given and returns the record; ``workspace.py`` stores both and finds them again.
"""

from __future__ import annotations

from toolchain.results.artefact import (
    ArmResult,
    ArmRun,
    DeviceResult,
    EthosUResult,
    TfliteFile,
    TfliteResult,
)
from toolchain.results.hardware import (
    Approximation,
    CauseKind,
    Comparison,
    CsimResult,
    Estimated,
    EstimateResult,
    HlsAccumulator,
    HlsLayerOptions,
    HlsResult,
    LayerEstimate,
    Mismatch,
    VerifyResult,
)
from toolchain.results.model import (
    ApproximateLayer,
    LayerSaving,
    LayerSensitivity,
    LayerWeights,
    Loss,
    LossName,
    ModelResult,
    OutputLoss,
    PruneMeasures,
    PruneResult,
    QuantizeResult,
    RecurrentWindow,
    RemovedGroup,
)
from toolchain.results.record import (
    FloatArray,
    Interval,
    Job,
    Progress,
    Record,
    StageResult,
    no_progress,
)
from toolchain.results.samples import (
    DataResult,
    InputPort,
    OutputPort,
    Part,
    Samples,
)

__all__ = [
    "ApproximateLayer",
    "Approximation",
    "ArmResult",
    "ArmRun",
    "CauseKind",
    "Comparison",
    "CsimResult",
    "DataResult",
    "DeviceResult",
    "EstimateResult",
    "Estimated",
    "EthosUResult",
    "FloatArray",
    "HlsAccumulator",
    "HlsLayerOptions",
    "HlsResult",
    "InputPort",
    "Interval",
    "Job",
    "LayerEstimate",
    "LayerSaving",
    "LayerSensitivity",
    "LayerWeights",
    "Loss",
    "LossName",
    "Mismatch",
    "ModelResult",
    "OutputLoss",
    "OutputPort",
    "Part",
    "Progress",
    "PruneMeasures",
    "PruneResult",
    "QuantizeResult",
    "Record",
    "RecurrentWindow",
    "RemovedGroup",
    "Samples",
    "StageResult",
    "TfliteFile",
    "TfliteResult",
    "VerifyResult",
    "no_progress",
]
