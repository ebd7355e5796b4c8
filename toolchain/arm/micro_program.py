"""Runs in a process of its own: TFLite Micro's interpreter on int8 inputs. Arguments: model, inputs.npy, outputs.npy.

Its own account of the arena goes to standard output and error, where the caller reads it.
"""

from __future__ import annotations

import sys

import numpy as np


def main(model: str, inputs: str, outputs: str) -> None:
    """Write the outputs ``(samples, *shape)``."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(model)
    found = []
    for sample in np.load(inputs, allow_pickle=False):
        given, place = sample.reshape(-1), 0
        while given.size:  # one port's words behind the other's
            shape = interpreter.get_input_details(place)["shape"]
            size = int(np.prod(shape))
            interpreter.set_input(np.ascontiguousarray(given[:size]).reshape(shape), place)
            given, place = given[size:], place + 1
        interpreter.invoke()
        found.append(interpreter.get_output(0)[0])
    np.save(outputs, np.array(found))
    interpreter.print_allocations()


if __name__ == "__main__":
    main(*sys.argv[1:])
