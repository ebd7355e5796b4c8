"""Training of what is left, the zeros held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.model import training
from toolchain.model.chain import Chain
from toolchain.model.keras_chain import build_keras
from toolchain.prune import masks
from toolchain.results import Job, Samples


def fine_tune(chain: Chain, samples: Samples, plan: training.Training, job: Job) -> Chain:
    """Train the chain and keep the best epoch on the validation part; zeros stay zero, which is asserted."""
    kept = masks.masks_of(chain)
    model = build_keras(chain)
    training.compile_model(model, plan, len(samples.train.x))
    best = training.best_after(0)
    bar = training.progress_callback("fine-tune", plan.epochs, job.progress)
    training.fit(model, samples.train, samples.validation, plan, [training.keep_zeros(kept), best, bar])
    best.restore(model)
    trained = with_weights(chain, model)
    for link in trained.kernels():
        assert link.kernel is not None
        assert not link.kernel[~kept[link.name]].any(), f"a pruned weight of {link.name} came back"
    return trained


def with_weights(chain: Chain, model: Any) -> Chain:
    """The chain with the weights of a tf_keras model that has the same layers."""
    links = []
    for link in chain.links:
        if link.kernel is not None:
            weights = [np.asarray(w, dtype=np.float64) for w in model.get_layer(link.name).get_weights()]
            link = replace(link, kernel=weights[0], bias=weights[1] if len(weights) > 1 else None)
        links.append(link)
    return replace(chain, links=tuple(links))
