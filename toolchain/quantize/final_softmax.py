"""A model's final softmax put back: training, pruning and fine-tuning work on the logits in front of it."""

from __future__ import annotations

from typing import Any

from toolchain.errors import ProjectError
from toolchain.model.tensorflow import load_tensorflow
from toolchain.quantize.approximate import PROBABILITY
from toolchain.quantize.qkeras_formats import to_quantized_bits


def with_final_softmax(model: Any, left_out: tuple[str, ...]) -> Any:
    """The QKeras ``model`` with a softmax behind its output, in steps of 2**-15; ``left_out`` is what the file had.

    Raises ProjectError when it had none.
    """
    from qkeras import QActivation

    if not any(text.startswith("softmax of ") for text in left_out):
        raise ProjectError(
            "the model does not end in a softmax",
            where="[quantize] final_softmax",
            allowed="final_softmax = false",
        )
    keras = load_tensorflow().keras
    taken = {layer.name for layer in model.layers}
    name = next(name for name in ("softmax", *(f"softmax{n}" for n in range(len(taken) + 1))) if name not in taken)
    probabilities = keras.layers.Softmax(name=name)(model.output)
    quantizer = QActivation(to_quantized_bits(PROBABILITY), name=f"{name}_quantized")
    return keras.Model(model.input, quantizer(probabilities), name=model.name)
