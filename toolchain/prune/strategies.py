"""In which order pruning and training follow one another.

Each strategy yields ``Stop``s of growing sparsity: places at which it could end. ``choose_stop`` takes the last, or the
last before the metric is worse than the project allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import Mask
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection
from toolchain.prune.masked_training import Growth, MaskedTraining, Run, Teacher, Weights
from toolchain.prune.schedules import first_resting_epoch, iterative_sparsities, steps_for
from toolchain.prune.scoring import GrowingMasks, choose
from toolchain.results import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Setting:
    """What a strategy works with. ``learning_rate`` is that of the dense model's training."""

    network: MaskedTraining
    section: PruneSection
    learning_rate: float
    seed: int = 0
    progress: Progress = no_progress
    teacher: Teacher | None = None

    @property
    def fine_tuning(self) -> Run:
        """The protocol of fine-tuning: a fraction of the learning rate and of the epochs, a fresh optimizer."""
        epochs = max(1, round(self.section.epochs * self.section.fine_tune_share))
        rate = self.learning_rate * self.section.fine_tune_learning_rate_factor
        return Run(epochs, rate, self.seed, teacher=self.teacher)


@dataclass(frozen=True, eq=False)
class Stop:
    """A pruned network: the sparsity that was asked for, its weights, and the masks that made it."""

    sparsity: float
    weights: Weights
    masks: dict[str, Mask] = field(default_factory=dict)


def one_shot(setting: Setting) -> Iterator[Stop]:
    """Prune the dense model once and fine-tune; with a stop rule, from the dense model again at each sparsity."""
    section, network, run = setting.section, setting.network, setting.fine_tuning
    ladder: tuple[float, ...] = (section.final_sparsity,)
    if section.accuracy_loss is not None and section.percentile is None:
        ladder = iterative_sparsities(section.final_sparsity, section.pruned_share)
    for place, sparsity in enumerate(ladder):
        masks = choose(network, network.dense, {}, section, sparsity, run)
        yield Stop(sparsity, network.train(network.dense, masks, run), masks)
        setting.progress("one-shot", place + 1, len(ladder))


def iterative(setting: Setting) -> Iterator[Stop]:
    """Rounds of pruning ``pruned_share`` of what is left and fine-tuning: ``s_t = 1 - (1 - p)^t`` (Han et al. 2015)."""
    section, network, run = setting.section, setting.network, setting.fine_tuning
    weights, masks = network.dense, dict[str, Mask]()
    ladder = iterative_sparsities(section.final_sparsity, section.pruned_share)
    for place, sparsity in enumerate(ladder):
        masks = choose(network, weights, masks, section, sparsity, run)
        weights = network.train(weights, masks, replace(run, seed=run.seed + place))
        yield Stop(sparsity, weights, masks)
        setting.progress("round", place + 1, len(ladder))


def lottery_ticket(setting: Setting) -> Iterator[Stop]:
    """Train from a new initialisation, prune, put what is left back to that start (or to epoch k), train again.

    In rounds of ``pruned_share`` (Frankle and Carbin 2019; late rewinding: Frankle et al. 2020). Every round trains
    for all ``epochs`` at the dense model's learning rate; after rewinding to epoch k for those that are left.
    """
    section, network = setting.section, setting.network
    start = initial_weights(network.graph, setting.seed)
    rewound = start
    run = Run(section.epochs, setting.learning_rate, setting.seed)

    def remember(epoch: int, weights: Weights) -> None:
        nonlocal rewound
        if epoch == section.rewind_epoch:
            rewound = weights

    weights = network.train(start, {}, replace(run, each_epoch=remember))
    again = replace(run, epochs=section.epochs - section.rewind_epoch, teacher=setting.teacher)
    masks: dict[str, Mask] = {}
    ladder = iterative_sparsities(section.final_sparsity, section.pruned_share)
    for place, sparsity in enumerate(ladder):
        masks = choose(network, weights, masks, section, sparsity, setting.fine_tuning)
        weights = network.train(rewound, masks, replace(again, seed=run.seed + place + 1))
        yield Stop(sparsity, weights, masks)
        setting.progress("ticket", place + 1, len(ladder))


def gradual(setting: Setting) -> Iterator[Stop]:
    """Masks that grow while training, by the same schedule and at the same steps as TFMOT's (Zhu and Gupta 2017).

    For what TFMOT's wrapper does not do: other criteria than magnitude, blocks, one threshold, distillation. Other than
    there, what is masked stays masked. Raises ProjectError when the schedule does not fit into the epochs.
    """
    section, network = setting.section, setting.network
    steps = steps_for(section, len(network.samples.train.x), network.batch_size)
    growth = Growth(
        range(steps.begin_step, steps.end_step + 1, section.frequency), GrowingMasks(network, section, steps),
        first_resting_epoch(steps, section.epochs),
    )  # fmt: skip

    def say(epoch: int, _: Weights) -> None:
        setting.progress("prune", epoch, section.epochs)

    rate = setting.learning_rate * section.learning_rate_factor
    run = Run(section.epochs, rate, setting.seed, teacher=setting.teacher, each_epoch=say)
    weights, masks = network.train_growing(network.dense, {}, run, growth)
    yield Stop(section.final_sparsity, weights, dict(masks))


STRATEGIES: dict[str, Callable[[Setting], Iterator[Stop]]] = {
    "one_shot": one_shot, "iterative": iterative, "lottery_ticket": lottery_ticket, "gradual": gradual,
}  # fmt: skip


def choose_stop(setting: Setting, worse_by: Callable[[Weights], float]) -> Stop:
    """The last stop; with a stop rule the last before ``worse_by`` (relative loss of the metric) passes the bound.

    When the first stop is already too bad, the dense model itself: sparsity 0.
    """
    stops = STRATEGIES[setting.section.strategy](setting)
    limit = setting.section.accuracy_loss
    found = Stop(0.0, setting.network.dense)
    for stop in stops:
        if limit is not None and worse_by(stop.weights) > limit:
            return found
        found = stop
    return found


def initial_weights(graph: Graph, seed: int) -> Weights:
    """A new initialisation of every layer by its own initializers, drawn from ``seed``."""
    keras = load_tensorflow().keras
    blank = replace(graph, layers={name: replace(layer, weights={}) for name, layer in graph.layers.items()})
    keras.utils.set_random_seed(seed)
    found: Weights = build_keras(blank).get_weights()
    return found
