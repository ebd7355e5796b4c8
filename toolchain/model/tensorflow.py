"""The one door to TensorFlow: legacy Keras chosen, its start-up noise silenced, runs made repeatable."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolchain.errors import ExternalToolError


def load_tensorflow() -> Any:
    """TensorFlow with tf_keras as ``tf.keras``; deterministic operators, no messages of its own.

    The import costs seconds: call it only where a Keras model is really used. Raises ExternalToolError when the
    program has already chosen Keras 3 as ``tf.keras``: QKeras and TFMOT would mix the two.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN reorders sums: results would depend on the processor
    first = "tensorflow" not in sys.modules
    with quiet_stderr() if first else _nothing():
        import tensorflow as tf

        if first:
            # tf_keras warns of every QKeras quantizer it saves; the saved model is complete
            warnings.filterwarnings("ignore", message=r"The `keras\.constraints\.serialize")
            # weights are set right after a layer is built: what it was initialized with does not matter
            warnings.filterwarnings("ignore", message="The initializer .* is unseeded")
            tf.get_logger().setLevel("ERROR")
            tf.config.experimental.enable_op_determinism()
            tf.zeros(1)  # the device messages come with the first operation
    if not tf.keras.Model.__module__.startswith("tf_keras"):
        raise ExternalToolError(
            "tf.keras is Keras 3 in this program", where="TensorFlow", allowed="tf_keras 2",
            hint="set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported",
        )  # fmt: skip
    return tf


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and TensorFlow."""
    load_tensorflow().keras.utils.set_random_seed(seed)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: the C++ libraries do not ask Python where to write.

    What they wrote is shown after all when the block fails.
    """
    import tempfile

    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                sink.seek(0)
                sys.stderr.write(sink.read().decode(errors="replace"))


@contextmanager
def _nothing() -> Iterator[None]:
    yield
