"""Stage ``quantize``: the pruned model in QKeras, fine-tuned in its quantized form, and read out as integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.data.samples import load as load_samples
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.model import artefact, training
from toolchain.model.chain import Chain, Link, apply_link
from toolchain.model.keras_chain import chain_of
from toolchain.model.tensorflow import load_tensorflow, seed_everything
from toolchain.network import storage
from toolchain.network.nodes import FixedPointNetwork, Linear
from toolchain.project import QuantizeSection
from toolchain.quantize import witness
from toolchain.quantize.from_qkeras import network_from_qkeras
from toolchain.quantize.qkeras_formats import (
    smallest_integer_bits,
    to_quantized_bits,
    to_quantized_relu,
)
from toolchain.results import DataResult, FloatArray, Job, LayerWeights, PruneResult, QuantizeResult, Samples


def quantize(data: DataResult, pruned: PruneResult, section: QuantizeSection, job: Job) -> QuantizeResult:
    """Quantize, fine-tune with the zeros held, and write ``model.keras``, ``network.fpn``, ``inputs.npz``,
    ``layers.npz`` and ``predictions.npy`` into ``job.folder``.

    All formats are chosen from the training part. That zeros stayed zero is asserted on the integers.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    chain = chain_of(artefact.load_model(pruned.folder))
    formats = choose_formats(chain, samples.train.x, section)
    model = build_qkeras(chain, formats)
    with np.load(pruned.folder / "masks.npz", allow_pickle=False) as stored:
        masks = {name: stored[name] for name in stored.files}
    plan = training.Training(
        epochs=section.epochs, batch_size=pruned.batch_size,
        learning_rate=pruned.learning_rate * section.learning_rate_factor, loss=pruned.loss,
    )  # fmt: skip
    loss = _fine_tune(model, samples, plan, masks, job)
    _set_to_quantized(model)
    network = network_from_qkeras(model, "network")
    _assert_zeros_stay(network, masks)
    return _store(model, network, samples, data, job, pruned, section, loss)


def choose_formats(chain: Chain, x: FloatArray, section: QuantizeSection) -> dict[str, FixedPoint]:
    """A format for the input (under the chain's input name), each ReLU's result, and each kernel and bias.

    Integer bits come from the largest magnitude on ``x (samples, *shape)``, the training part, plus headroom.
    """
    modes = (Rounding.RND_CONV, Overflow.SAT)
    signed = bool(x.min() < 0)
    integer = section.input_integer_bits
    if integer is None:
        integer = smallest_integer_bits(float(np.abs(x).max())) + section.input_headroom_bits
    formats = {chain.input_name: FixedPoint(signed, integer, section.input_bits - int(signed) - integer, *modes)}
    for link in chain.links:
        x = apply_link(link, x)
        if link.kind == "relu":
            # The model's own output is no hidden activation: it keeps 16 bits and room above the training part's range.
            last = link is chain.links[-1]
            width, headroom = (16, 2) if last else (section.activation_bits, section.activation_headroom_bits)
            bits = section.activation_integer_bits
            if bits is None or last:
                bits = smallest_integer_bits(float(x.max())) + headroom
            formats[link.name] = FixedPoint(False, bits, width - bits, *modes)
        elif link.kernel is not None:
            weights = _weight_format(link.kernel, section)
            formats[link.name] = weights
            formats[f"{link.name}.bias"] = _bias_format(link, weights, section)
    return formats


def _weight_format(kernel: FloatArray, section: QuantizeSection) -> FixedPoint:
    """The integer bits with the smallest squared error over the kernel's weights, unless the project fixes them."""
    needed = smallest_integer_bits(float(np.abs(kernel).max(initial=0)), signed_full_scale=True)
    fixed = section.weight_integer_bits
    candidates = range(min(needed, 8) + 1) if fixed is None else (fixed,)
    modes = (Rounding.RND_CONV, Overflow.SAT)
    forms = [FixedPoint(True, bits, section.weight_bits - 1 - bits, *modes) for bits in candidates]
    return min(forms, key=lambda form: float(((form.values_of(form.words_of(kernel)) - kernel) ** 2).sum()))


def _bias_format(link: Link, weights: FixedPoint, section: QuantizeSection) -> FixedPoint:
    """Biases keep the kernel's fractional bits and get as many integer bits as they need."""
    largest = float(np.abs(link.bias).max()) if link.bias is not None else 0.0
    integer = max(weights.integer_bits, smallest_integer_bits(largest))
    fractional = weights.fractional_bits + section.bias_extra_bits
    return FixedPoint(True, integer, fractional, weights.rounding, weights.overflow)


def build_qkeras(chain: Chain, formats: dict[str, FixedPoint]) -> Any:
    """A QKeras Sequential model with the chain's layers, names and weights."""
    keras = load_tensorflow().keras
    from qkeras import QActivation, QConv1D, QDense

    port = f"{chain.input_name}_quantized"
    model = keras.Sequential([keras.Input(chain.input_shape, name=chain.input_name)])
    model.add(QActivation(to_quantized_bits(formats[chain.input_name]), name=port))
    for link in chain.links:
        if link.kind == "relu":
            model.add(QActivation(to_quantized_relu(formats[link.name]), name=link.name))
        elif link.kind == "flatten":
            model.add(keras.layers.Flatten(name=link.name))
        else:
            assert link.kernel is not None
            options = {
                "name": link.name,
                "use_bias": link.bias is not None,
                "kernel_quantizer": to_quantized_bits(formats[link.name]),
                "bias_quantizer": to_quantized_bits(formats[f"{link.name}.bias"]),
            }
            if link.kind == "dense":
                model.add(QDense(link.kernel.shape[1], **options))
            else:
                options |= {"strides": link.stride, "dilation_rate": link.dilation, "padding": link.padding}
                model.add(QConv1D(link.kernel.shape[2], link.kernel.shape[0], **options))
            weights = [link.kernel] if link.bias is None else [link.kernel, link.bias]
            model.get_layer(link.name).set_weights([w.astype(np.float32) for w in weights])
    return model


def _fine_tune(model: Any, samples: Samples, plan: training.Training, masks: dict[str, np.ndarray], job: Job) -> float:
    """Quantization-aware training; returns the validation loss of the weights that are kept, the best ones."""
    training.compile_model(model, plan, len(samples.train.x))
    if plan.epochs:
        best = training.best_after(0)
        best.loss, best.weights = training.validation_loss(model, samples.validation), model.get_weights()
        bars = training.progress_callback("quantize", plan.epochs, job.progress)
        training.fit(model, samples.train, samples.validation, plan, [training.keep_zeros(masks), best, bars])
        best.restore(model)
    return training.validation_loss(model, samples.validation)


def _set_to_quantized(model: Any) -> None:
    """Store the quantized values as the weights: quantizing them again changes nothing, not even by float rounding."""
    for layer in model.layers:
        if hasattr(layer, "kernel_quantizer_internal"):
            weights = [layer.kernel_quantizer_internal(layer.kernel)]
            if layer.use_bias:
                weights.append(layer.bias_quantizer_internal(layer.bias))
            layer.set_weights([np.asarray(weight) for weight in weights])


def _assert_zeros_stay(network: FixedPointNetwork, masks: dict[str, np.ndarray]) -> None:
    for node in network.nodes:
        if isinstance(node, Linear):
            assert not node.kernel[~masks[node.layer]].any(), f"a pruned weight of {node.layer} came back"


def _store(
    model: Any, network: FixedPointNetwork, samples: Samples, data: DataResult, job: Job,
    pruned: PruneResult, section: QuantizeSection, loss: float,
) -> QuantizeResult:  # fmt: skip
    folder, port = job.folder, network.inputs[0]
    model.save(folder / "model.keras")
    storage.save(network, folder / "network.fpn")
    words = {part: port.result.words_of(getattr(samples, part).x) for part in ("train", "validation", "test")}
    inputs = np.concatenate([words["test"], witness.corner_words(port.result, port.shape)])
    named: dict[str, Any] = {port.name: inputs}
    np.savez_compressed(folder / "inputs.npz", **named)
    outputs, doubled = witness.layer_outputs(model, network, inputs)
    stored: dict[str, Any] = dict(outputs)
    np.savez_compressed(folder / "layers.npz", **stored)
    final = outputs[network.outputs[0]][: len(words["test"])].reshape(len(words["test"]), -1)
    np.save(folder / "predictions.npy", final)
    layers = _count(network)
    return QuantizeResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=pruned.learning_rate,
        batch_size=pruned.batch_size, epochs=section.epochs, loss=pruned.loss, validation_loss=loss,
        input_format=str(port.result), float64_layers=doubled, network_sha256=storage.digest(network),
        saturated_inputs={part: _saturated(getattr(samples, part).x, port.result) for part in words},
        test_samples=len(words["test"]),
    )  # fmt: skip


def _saturated(x: FloatArray, form: FixedPoint) -> int:
    values = np.ldexp(x, form.fractional_bits)
    return int(((values > form.max_word + 0.5) | (values < form.min_word - 0.5)).sum())


def _count(network: FixedPointNetwork) -> tuple[LayerWeights, ...]:
    return tuple(
        LayerWeights(
            name=node.layer, kind=type(node).__name__, shape=node.kernel.shape,
            parameters=int(node.kernel.size + (0 if node.bias is None else node.bias.size)),
            weights=int(node.kernel.size), zeros=int((node.kernel == 0).sum()),
        )
        for node in network.nodes
        if isinstance(node, Linear)
    )  # fmt: skip
