"""Stage ``quantize``: the pruned model in QKeras, fine-tuned in its quantized form, and read out as integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.data.ports import by_port, unpack
from toolchain.data.samples import load as load_samples
from toolchain.fixed_point import FixedPoint, Words
from toolchain.model import training
from toolchain.model.feeding import input_shapes
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, load_graph
from toolchain.model.rewriting import is_quantized, plain_graph
from toolchain.model.tensorflow import seed_everything
from toolchain.network import storage
from toolchain.network.nodes import FixedPointNetwork, Linear
from toolchain.project import QuantizeSection
from toolchain.quantize import witness
from toolchain.quantize.corners import corner_inputs
from toolchain.quantize.final_softmax import with_final_softmax
from toolchain.quantize.formats import choose_formats
from toolchain.quantize.from_qkeras import Reading, read_qkeras
from toolchain.quantize.step_cell import StepCell, step_cell, step_vectors
from toolchain.quantize.to_qkeras import kernel_quantizer, kernel_variable, quantized_graph, set_to_quantized
from toolchain.results import DataResult, FloatArray, Job, LayerWeights, PruneResult, QuantizeResult, Samples


def quantize(data: DataResult, pruned: PruneResult, section: QuantizeSection, job: Job) -> QuantizeResult:
    """Quantize, fine-tune with the zeros held, and write ``model.keras``, ``network.fpn``, ``inputs.npz``,
    ``layers.npz`` and ``predictions.npy`` into ``job.folder``; of a recurrent step also ``unrolled.fpn`` and
    ``windows.npy``.

    All formats are chosen from the training part. That zeros stayed zero is asserted on the integers.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    graph = load_graph(pruned.folder / "model.keras")
    twin = _quantized(graph, samples.train.x, section)
    model = build_keras(twin)
    masks = _masks(model)
    plan = training.Training(
        epochs=section.epochs, batch_size=pruned.batch_size,
        learning_rate=pruned.learning_rate * section.learning_rate_factor, loss=pruned.loss,
    )  # fmt: skip
    loss = _fine_tune(model, samples, plan, masks, job)
    set_to_quantized(model)
    if section.final_softmax:
        model = with_final_softmax(model, pruned.left_out)
    cell = step_cell(twin, model, pruned.window) if pruned.window else None
    reading = cell.step if cell else read_qkeras(model, "network")
    _assert_zeros_stay(reading.network, masks)
    model.save(job.folder / "model.keras")
    ports = _ports(reading, step=cell is not None)
    vectors = _vectors(reading, samples, ports, cell, job)
    result = _store(reading, vectors, ports, samples, job, pruned, section, loss)
    outputs = _answers(reading.network, cell is not None)
    names = [port.name for port in data.targets]
    return result.model_copy(update={"output_ports": dict(zip(names, outputs, strict=True)) if names else {}})


def _answers(network: FixedPointNetwork, step: bool) -> tuple[str, ...]:
    """The nodes whose values are the model's outputs, in its order: of a step the first, the next state follows."""
    return network.outputs[:1] if step else network.outputs


def _quantized(graph: Graph, x: FloatArray, section: QuantizeSection) -> Graph:
    if is_quantized(graph):
        return graph  # a QKeras model keeps its quantizers
    graph = plain_graph(inference_graph(graph))
    return quantized_graph(graph, choose_formats(graph, unpack(x, input_shapes(graph)), section))


def _vectors(
    reading: Reading, samples: Samples, ports: dict[str, str], cell: StepCell | None, job: Job
) -> dict[str, Words]:  # fmt: skip
    """The words that the network is verified on: first those that belong to the test part's outputs."""
    network = reading.network
    if cell is None:
        corners = corner_inputs(network, reading.largest)
        return {
            port: np.concatenate([network[port].result.words_of(x), corners[port]])
            for port, x in by_port(samples.test.x, network, ports).items()
        }
    form = network.inputs[0].result
    words = form.words_of(samples.test.x)
    windows = np.concatenate([words, witness.corner_words(form, words.shape[1:])])
    storage.save(cell.window, job.folder / "unrolled.fpn")
    np.save(job.folder / "windows.npy", windows)
    return step_vectors(cell, windows, len(words))


def _masks(model: Any) -> dict[str, np.ndarray]:
    """Which weights of each kernel are not zero: what fine-tuning must leave at zero."""
    found = {}
    for layer in model.layers:
        if kernel_quantizer(layer) is not None:
            kernel = kernel_variable(layer).numpy()
            found[layer.name] = kernel != 0
    return found


def _fine_tune(model: Any, samples: Samples, plan: training.Training, masks: dict[str, np.ndarray], job: Job) -> float:
    """Quantization-aware training; returns the validation loss of the weights that are kept, the best ones."""
    training.compile_model(model, plan, len(samples.train.x))
    if plan.epochs:
        best = training.best_after(0)
        best.loss, best.weights = training.validation_loss(model, samples.validation), model.get_weights()
        bars = training.progress_callback("quantize", plan.epochs, job.progress)
        holding = training.keep_zeros([(kernel_variable(model.get_layer(name)), mask) for name, mask in masks.items()])
        training.fit(model, samples.train, samples.validation, plan, [holding, best, bars])
        best.restore(model)
    return training.validation_loss(model, samples.validation)


def _assert_zeros_stay(network: FixedPointNetwork, masks: dict[str, np.ndarray]) -> None:
    for node in network.nodes:
        if isinstance(node, Linear) and node.layer in masks:
            mask = masks[node.layer].reshape(node.kernel.shape)
            assert not node.kernel[~mask].any(), f"a pruned weight of {node.layer} came back"


def _store(
    reading: Reading, vectors: dict[str, Words], ports: dict[str, str], samples: Samples, job: Job,
    pruned: PruneResult, section: QuantizeSection, loss: float,
) -> QuantizeResult:  # fmt: skip
    folder, network = job.folder, reading.network
    tested = len(samples.test.x)
    storage.save(network, folder / "network.fpn")
    named: dict[str, Any] = dict(vectors)
    np.savez_compressed(folder / "inputs.npz", **named)
    outputs, doubled = witness.layer_outputs(reading, named)
    stored: dict[str, Any] = dict(outputs)
    np.savez_compressed(folder / "layers.npz", **stored)
    if reading.approximate:
        outputs = witness.whole_outputs(reading, named)
        stored = dict(outputs)
        np.savez_compressed(folder / "outputs.npz", **stored)
    final = [outputs[name][:tested].reshape(tested, -1) for name in _answers(network, pruned.window is not None)]
    np.save(folder / "predictions.npy", np.concatenate(final, axis=1))
    layers = _count(network)
    return QuantizeResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=pruned.learning_rate,
        batch_size=pruned.batch_size, epochs=section.epochs, loss=pruned.loss, validation_loss=loss,
        input_format=_formats(network, ports), input_ports=ports, float64_layers=doubled,
        network_sha256=storage.digest(network),
        saturated_inputs={
            part: sum(
                _saturated(x, network[port].result)
                for port, x in by_port(getattr(samples, part).x, network, ports).items()
            )
            for part in ("train", "validation", "test")
        },
        test_samples=tested, approximate_layers=reading.approximate, window=pruned.window,
    )  # fmt: skip


def _ports(reading: Reading, step: bool) -> dict[str, str]:
    """The node of every input that the data fill, in the order of the network: of a step the first, the tick."""
    names = {port: name for name, port in reading.ports.items()}
    nodes = reading.network.inputs[:1] if step else reading.network.inputs
    return {names[node.name]: node.name for node in nodes}


def _formats(network: FixedPointNetwork, ports: dict[str, str]) -> str:
    if len(ports) == 1:
        return str(network.inputs[0].result)
    return ", ".join(f"{name}: {network[port].result}" for name, port in ports.items())


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
