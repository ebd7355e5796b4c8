"""TFLite's flatbuffer schema, from the installed TensorFlow without the seconds that its import costs."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from toolchain.errors import ExternalToolError


@cache
def load_schema() -> Any:
    """The generated schema module: its ``…T`` classes are the object form of each table.

    Raises ExternalToolError when the installed TensorFlow does not carry it.
    """
    package = importlib.util.find_spec("tensorflow")
    places = list(package.submodule_search_locations or ()) if package else []
    file = Path(places[0]) / "lite" / "python" / "schema_py_generated.py" if places else Path()
    spec = importlib.util.spec_from_file_location("toolchain_tflite_schema", file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise ExternalToolError(
            "TFLite's flatbuffer schema was not found", where="tflite", hint="install the locked tensorflow package"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
