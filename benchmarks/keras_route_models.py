"""Small (Q)Keras models, one for each kind of layer: what ``keras_route.py`` sends through both routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Build = Callable[[Any], Any]
KINDS: dict[str, tuple[tuple[int, ...], Build]] = {}
_FLAT, _STEPS, _IMAGE = (8,), (8, 3), (6, 6, 2)


def _kind(name: str, shape: tuple[int, ...]) -> Callable[[Build], Build]:
    def keep(build: Build) -> Build:
        KINDS[name] = (shape, build)
        return build

    return keep


def make(name: str) -> Any:
    """The model of kind ``name``, with random weights: the same every time."""
    from toolchain.model.tensorflow import load_tensorflow

    keras = load_tensorflow().keras
    keras.utils.set_random_seed(sum(name.encode()))
    shape, build = KINDS[name]
    x = keras.Input(shape, name="x")
    model = keras.Model(x, build(_port(x)))
    rng = np.random.default_rng(sum(name.encode()))
    for layer in model.layers:
        weights = layer.get_weights()
        if "batch_normalization" in layer.name.lower() or "norm" in layer.name:
            weights = [rng.uniform(0.5, 1.5, w.shape) * (1 if k == 3 else rng.choice([-1, 1], w.shape))
                       for k, w in enumerate(weights)]  # fmt: skip
        else:
            weights = [rng.normal(0, 0.5, w.shape) for w in weights]
        layer.set_weights(weights)
    return model


def _port(x: Any) -> Any:
    from qkeras import QActivation, quantized_bits

    return QActivation(quantized_bits(8, 2, alpha=1), name="port")(x)


def _bits(bits: int = 6, integer: int = 0, **rest: Any) -> Any:
    from qkeras import quantized_bits

    return quantized_bits(bits, integer, **{"alpha": 1, **rest})


def _weights(quantizer: Any = None, kernel: str = "kernel") -> dict[str, Any]:
    return {f"{kernel}_quantizer": quantizer or _bits(), "bias_quantizer": _bits(6, 1)}


def _act(x: Any, quantizer: Any = None, name: str = "act") -> Any:
    from qkeras import QActivation

    return QActivation(quantizer or _bits(8, 2), name=name)(x)


def _relu(x: Any, name: str = "relu", **options: Any) -> Any:
    from qkeras import quantized_relu

    return _act(x, quantized_relu(options.pop("bits", 6), options.pop("integer", 2), **options), name)


def _dense(x: Any, units: int = 5, name: str = "dense", **options: Any) -> Any:
    from qkeras import QDense

    return QDense(units, name=name, **{**_weights(), **options})(x)


def _end(x: Any) -> Any:
    """Flattened, one Dense: hardware that is wrong before it shows it."""
    return _dense(_keras().layers.Flatten(name="flat")(x), 3, "last")


def _keras() -> Any:
    from toolchain.model.tensorflow import load_tensorflow

    return load_tensorflow().keras


def _layer(kind: str, **options: Any) -> Build:
    return lambda x: _end(getattr(_keras().layers, kind)(name="layer", **options)(x))


def _qlayer(kind: str, after: bool = True, **options: Any) -> Build:
    def build(x: Any) -> Any:
        import qkeras

        y = getattr(qkeras, kind)(name="layer", **options, **_weights())(x)
        return _end(_relu(y)) if after else y

    return build


def _weight_quantizer(make_quantizer: Callable[[Any], Any]) -> Build:
    def build(x: Any) -> Any:
        import qkeras

        return _end(_relu(_dense(x, kernel_quantizer=make_quantizer(qkeras), bias_quantizer=_bits(6, 1))))

    return build


def _activation(make_quantizer: Callable[[Any], Any]) -> Build:
    def build(x: Any) -> Any:
        import qkeras

        return _end(_act(_dense(x), make_quantizer(qkeras)))

    return build


def _function(name: str) -> Build:
    """A Keras function between two quantizers: its table is exact for us."""
    return lambda x: _end(
        _act(_keras().layers.Activation(name, name="function")(_act(_dense(x), _bits(8, 2), "before")), _bits(8, 1))
    )


def _merge(kind: str) -> Build:
    def build(x: Any) -> Any:
        one = _act(_dense(x, name="one"), _bits(6, 1), "one_act")
        other = _act(_dense(x, name="two"), _bits(7, 3), "two_act")
        return _end(_act(getattr(_keras().layers, kind)(name="layer")([one, other]), _bits(8, 3), "merged"))

    return build


KINDS |= {
    "Dense": (_FLAT, lambda x: _dense(_relu(_dense(x)), 3, "last")),
    "Dense without bias": (_FLAT, lambda x: _dense(_relu(_dense(x, use_bias=False)), 3, "last", use_bias=False)),
    "Dense, 16-bit weights": (_FLAT, lambda x: _end(_relu(_dense(x, **_weights(_bits(16, 1)))))),
    "Dense over steps": (_STEPS, lambda x: _end(_relu(_dense(x)))),
    "quantized_bits behind Dense": (_FLAT, lambda x: _end(_act(_dense(x), _bits(5, 1)))),
    "quantized_bits as the last layer": (_FLAT, lambda x: _act(_dense(x), _bits(5, 1))),
    "quantizer as a layer's activation": (_FLAT, lambda x: _end(_dense(x, activation=_bits(5, 1)))),
    "Conv1D valid": (_STEPS, _qlayer("QConv1D", filters=4, kernel_size=3)),
    "Conv1D same, stride 2": (_STEPS, _qlayer("QConv1D", filters=4, kernel_size=3, strides=2, padding="same")),
    "Conv1D causal": (_STEPS, _qlayer("QConv1D", filters=4, kernel_size=3, padding="causal")),
    "Conv1D, dilation 2": (_STEPS, _qlayer("QConv1D", filters=4, kernel_size=3, dilation_rate=2)),
    "Conv2D valid": (_IMAGE, _qlayer("QConv2D", filters=3, kernel_size=3)),
    "Conv2D same, stride 2": (_IMAGE, _qlayer("QConv2D", filters=3, kernel_size=3, strides=2, padding="same")),
    "Conv2D, dilation 2": (_IMAGE, _qlayer("QConv2D", filters=3, kernel_size=2, dilation_rate=2)),
    "binary weights": (_FLAT, _weight_quantizer(lambda q: q.binary(alpha=1))),
    "ternary weights": (_FLAT, _weight_quantizer(lambda q: q.ternary(alpha=1))),
    "power-of-two weights": (_FLAT, _weight_quantizer(lambda q: q.quantized_po2(4, 1))),
    "auto_po2 weights": (_FLAT, _weight_quantizer(lambda q: q.quantized_bits(4, 0, alpha="auto_po2"))),
    "weights with bits = integer + sign": (_FLAT, _weight_quantizer(lambda q: q.quantized_bits(3, 2, alpha=1))),
    "weights with bits = integer": (_FLAT, _weight_quantizer(lambda q: q.quantized_bits(3, 3, alpha=1))),
    "unsigned weights": (_FLAT, _weight_quantizer(lambda q: q.quantized_bits(4, 1, keep_negative=False, alpha=1))),
    "quantized_relu": (_FLAT, _activation(lambda q: q.quantized_relu(6, 2))),
    "quantized_relu, bits = integer": (_FLAT, _activation(lambda q: q.quantized_relu(2, 2))),
    "quantized_relu with a slope": (_FLAT, _activation(lambda q: q.quantized_relu(6, 2, negative_slope=0.25))),
    "quantized_relu with a bound": (_FLAT, _activation(lambda q: q.quantized_relu(6, 2, relu_upper_bound=1.5))),
    "unsigned quantized_bits": (_FLAT, _activation(lambda q: q.quantized_bits(5, 1, keep_negative=False, alpha=1))),
    "symmetric quantized_bits": (_FLAT, _activation(lambda q: q.quantized_bits(5, 1, symmetric=1, alpha=1))),
    "binary activation": (_FLAT, _activation(lambda q: q.binary(alpha=1))),
    "ternary activation": (_FLAT, _activation(lambda q: q.ternary(alpha=1))),
    "quantized_tanh": (_FLAT, _activation(lambda q: q.quantized_tanh(6))),
    "quantized_sigmoid": (_FLAT, _activation(lambda q: q.quantized_sigmoid(6))),
    "ReLU of Keras": (_FLAT, lambda x: _end(_relu(_keras().layers.ReLU(name="k")(_act(_dense(x), None, "before"))))),
    "ReLU(max_value=1)": (_FLAT, lambda x: _end(_relu(_keras().layers.ReLU(1.0, name="k")(_act(_dense(x)))))),
    "LeakyReLU": (_FLAT, lambda x: _end(_act(_keras().layers.LeakyReLU(0.25, name="k")(_act(_dense(x))), None, "q"))),
    "sigmoid": (_FLAT, _function("sigmoid")),
    "tanh": (_FLAT, _function("tanh")),
    "elu": (_FLAT, _function("elu")),
    "softplus": (_FLAT, _function("softplus")),
    "softsign": (_FLAT, _function("softsign")),
    "exponential": (_FLAT, _function("exponential")),
    "swish": (_FLAT, _function("swish")),
    "softmax at the end": (_FLAT, lambda x: _keras().layers.Softmax(name="k")(_act(_dense(x)))),
    "MaxPooling1D": (_STEPS, _layer("MaxPooling1D")),
    "MaxPooling2D": (_IMAGE, _layer("MaxPooling2D")),
    "MaxPooling1D, same": (_STEPS, _layer("MaxPooling1D", pool_size=3, padding="same")),
    "AveragePooling1D": (_STEPS, lambda x: _end(_act(_keras().layers.AveragePooling1D(2, name="k")(x)))),
    "AveragePooling2D": (_IMAGE, lambda x: _end(_act(_keras().layers.AveragePooling2D(2, name="k")(x)))),
    "GlobalAveragePooling1D": (_STEPS, lambda x: _end(_act(_keras().layers.GlobalAveragePooling1D(name="k")(x)))),
    "GlobalMaxPooling1D": (_STEPS, _layer("GlobalMaxPooling1D")),
    "BatchNormalization": (_FLAT, lambda x: _end(_act(_keras().layers.BatchNormalization(name="norm")(_dense(x))))),
    "Flatten": (_STEPS, lambda x: _dense(_keras().layers.Flatten(name="k")(x))),
    "Permute": (_STEPS, _layer("Permute", dims=(2, 1))),
    "Reshape": (_FLAT, lambda x: _end(_relu(_dense(_keras().layers.Reshape((4, 2), name="k")(x))))),
    "ZeroPadding1D": (_STEPS, _layer("ZeroPadding1D", padding=(1, 2))),
    "Cropping1D": (_STEPS, _layer("Cropping1D", cropping=(1, 2))),
    "UpSampling1D": (_STEPS, _layer("UpSampling1D", size=2)),
    "Add": (_FLAT, _merge("Add")),
    "Subtract": (_FLAT, _merge("Subtract")),
    "Multiply": (_FLAT, _merge("Multiply")),
    "Average": (_FLAT, _merge("Average")),
    "Maximum": (_FLAT, _merge("Maximum")),
    "Minimum": (_FLAT, _merge("Minimum")),
    "Concatenate": (_FLAT, _merge("Concatenate")),
}


@_kind("DepthwiseConv2D", _IMAGE)
def _depthwise(x: Any) -> Any:
    from qkeras import QDepthwiseConv2D

    return _end(_relu(QDepthwiseConv2D(3, name="layer", **_weights(kernel="depthwise"))(x)))


@_kind("DepthwiseConv2D, multiplier 2", _IMAGE)
def _depthwise_twice(x: Any) -> Any:
    from qkeras import QDepthwiseConv2D

    return _end(_relu(QDepthwiseConv2D(3, depth_multiplier=2, name="layer", **_weights(kernel="depthwise"))(x)))


@_kind("LSTM", _STEPS)
def _lstm(x: Any) -> Any:
    from qkeras import QLSTM

    quantizers = {f"{part}_quantizer": _bits(6, 1) for part in ("kernel", "recurrent", "bias", "state")}
    return _end(_act(QLSTM(3, name="layer", **quantizers)(x)))


@_kind("shared layer", _FLAT)
def _shared(x: Any) -> Any:
    from qkeras import QDense

    twice = QDense(8, name="shared", **_weights())
    return _end(_relu(twice(_act(twice(x), None, "between")), "relu2"))
