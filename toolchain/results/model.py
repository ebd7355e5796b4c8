"""What the stages that make the network hand on: train, prune, quantize."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolchain.results.record import Record, StageResult


class LayerWeights(Record):
    """One kernel's counts."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int  # kernel and bias
    weights: int  # kernel alone
    zeros: int  # of the kernel

    @property
    def sparsity(self) -> float:
        return self.zeros / self.weights if self.weights else 0.0


class RecurrentWindow(Record):
    """Where the equal steps of a recurrent layer stand in the graph: layer and call, in the order of the ticks."""

    layer: str
    ticks: tuple[tuple[str, int], ...]
    states: tuple[tuple[tuple[str, int], ...], ...]
    quantizers: tuple[str, ...] = ()  # layers that quantize each state where the next step reads it, if any


LossName = Literal["mse", "binary_crossentropy", "categorical_crossentropy"]


class OutputLoss(Record):
    """The loss of one of several outputs, and how many columns it has."""

    kind: LossName
    outputs: int


#: Of one output, or of several in the order of their columns: they are added up.
Loss = LossName | tuple[OutputLoss, ...]


class ModelResult(StageResult):
    """A float model ``model.keras`` (tf_keras), and ``predictions.npy`` on the test part: ``(samples, outputs)``."""

    layers: tuple[LayerWeights, ...]
    parameters: int
    learning_rate: float
    batch_size: int
    epochs: int  # that were trained
    loss: Loss
    validation_loss: float
    left_out: tuple[str, ...] = ()  # "softmax of 'layer'": the outputs are logits
    window: RecurrentWindow | None = None  # a recurrent layer that was unrolled and is to be one step in hardware


class RemovedGroup(Record):
    """Neurons or filters that were cut together."""

    layer: str
    before: int
    after: int


class LayerSaving(Record):
    """One kernel before and after pruning; zeros cost nothing."""

    layer: str
    multipliers_before: int  # kernel weights that are not zero: each is a multiplier when nothing is reused
    multipliers: int
    macs_before: int  # multiply-accumulates for one sample
    macs: int
    sparsity: float  # fraction of multipliers_before that is gone
    compression_ratio: float | None  # multipliers_before / multipliers; None when the layer is gone
    mac_reduction: float  # fraction of macs_before that is gone
    retention_alone: float  # of the trained model with the zeros of this kernel only, nothing trained afterwards


class LayerSensitivity(Record):
    """The metric on the validation part when this kernel alone is pruned, without fine-tuning."""

    layer: str
    sparsities: tuple[float, ...]
    metric: tuple[float, ...]


class PruneMeasures(Record):
    """What pruning saved and what it cost, before and after; the metric is the task's on the validation part."""

    strategy: str
    final_sparsity: float  # that was reached: below the asked-for one where accuracy_loss ended it
    compression_ratio: float  # parameters before / parameters left that are not pruned zeros
    multipliers_before: int
    multipliers_removed: int
    macs_before: int
    mac_reduction: float  # fraction of the multiply-accumulates that is gone
    metric: str
    metric_before: float
    metric_after: float
    retention: float  # accuracy after / before; of an error before / after: 1 is no loss
    layers: tuple[LayerSaving, ...]
    sensitivity: tuple[LayerSensitivity, ...] = ()
    targets: dict[str, float] = Field({})  # sparsity by kernel, where sensitivity set it
    notes: tuple[str, ...] = ()  # what to know before going on: a large loss, and what would make it smaller


class PruneResult(ModelResult):
    """A pruned float model, zeros in place; ``masks.npz`` has a boolean array per pruned layer (False: zero)."""

    sparsity: float  # share of the kernel weights before pruning that are gone: zero, or cut out with their unit
    remaining_sparsity: float  # zeros / weights over the kernels that are left
    parameters_before: int
    removed: tuple[RemovedGroup, ...]
    measures: PruneMeasures | None = None


class ApproximateLayer(Record):
    """A layer that the network computes by tables and sums: near QKeras' value, and proven to be no further than
    ``bound`` from it."""

    node: str  # that has the layer's values
    layer: str  # of the model
    kind: Literal["softmax", "layer_normalization"]
    reads: str  # node
    inner: tuple[str, ...]  # nodes between, which stand for nothing in the model
    bound: float  # largest possible |network - QKeras|, in the unit of the values; both rounded to the node's format


class QuantizeResult(ModelResult):
    """The QKeras model ``model.keras`` and the same as integers, ``network.fpn`` (``network.storage.load``).

    ``predictions.npy`` are the QKeras model's outputs on the test part; ``layers.npz`` its outputs of every layer that
    stands as a node of the network (float32 values, under the node's name) for the verification inputs in
    ``inputs.npz`` (int64 words by input name: the whole test part, then the corner vectors). A layer behind an
    approximate one is given the network's values there, so that each is compared by itself; ``outputs.npz`` then has
    the outputs of the model run as a whole.
    """

    input_format: str  # of several inputs "name: format, …"
    input_ports: dict[str, str] = Field(
        default_factory=dict
    )  # input of the model -> node of the network, in the order of the network
    output_ports: dict[str, str] = Field(
        default_factory=dict
    )  # named output of the model -> node of the network, in the order of the network's outputs
    saturated_inputs: dict[str, int]  # values beyond the input format's range, by part
    test_samples: int  # the first rows of inputs.npz and layers.npz; corner vectors follow
    float64_layers: tuple[str, ...]  # layers whose float32 sums are not provably exact: witnessed in float64
    network_sha256: str
    approximate_layers: tuple[ApproximateLayer, ...] = ()
