"""The house: imports point downward, stages do not import one another, heavy packages stay in their rooms."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "toolchain"
BASE = {"errors", "fixed_point", "project", "target", "results", "workspace"}
STAGES = {"data", "model", "prune", "quantize", "hls", "verify", "estimate", "tflite", "arm", "report"}
#: What a stage may use of another room: the types and the one door to TensorFlow, never its stage.
SHARED_ROOMS = {
    "data": {"data.samples", "data.evaluation", "data.outputs", "data.ports"},
    "model": {
        "model.tensorflow",
        "model.feeding",
        "model.folding",
        "model.graph",
        "model.keras_graph",
        "model.kernels",
        "model.rewriting",
        "model.artefact",
        "model.training",
        "model.names",
    },
}
#: Which rooms may import which heavy package.
HEAVY = {
    "tensorflow": {"model", "quantize", "tflite"},
    "tf_keras": {"model", "quantize"},
    "keras": {"model"},
    "qkeras": {"model", "quantize", "selftest"},  # selftest draws models of it
    "tensorflow_model_optimization": {"prune"},
    "hls4ml": {"hls"},
    "da4ml": {"hls", "estimate"},
    "pandas": {"data"},
    "arch": {"data"},
    "pyarrow": {"data"},
    "requests": {"data"},
    "optuna": {"sweep"},
    "ray": {"sweep"},
}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(file: Path) -> list[tuple[str, bool]]:
    """Imported modules, and whether at the top of the file (not within a function or TYPE_CHECKING)."""
    found = []
    tree = ast.parse(file.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, id(node) in top))
            if node.module == "toolchain" or node.module.count(".") == 1:
                found += [(f"{node.module}.{alias.name}", id(node) in top) for alias in node.names]
    return found


def room(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_downward(file: Path) -> None:
    here = room(file)
    for module, top in imports(file):
        package, *rest = module.split(".")
        if package in HEAVY:
            assert here in HEAVY[package], f"{file.name} imports {package}"
        if package != "toolchain" or not rest:
            continue
        there = rest[0]
        if here in BASE | {"network"}:
            assert there in BASE | {"network"}, f"{file.name} imports {module}"
            assert not (here in BASE and there == "network"), f"{file.name} imports {module}"
        elif here in STAGES and there in STAGES and there != here:
            named = ".".join(rest[:2])
            whole = there in SHARED_ROOMS and (len(rest) == 1 or named in SHARED_ROOMS[there])
            assert whole or here == "report", f"{file.name} imports {module}"
            assert not module.endswith(".stage"), f"{file.name} imports another stage"
        elif here in STAGES:
            upward = there in {"cli", "pipeline", "preflight"}
            assert not (upward and top), f"{file.name} imports {module}"


def test_only_the_command_line_prints_or_exits() -> None:
    for file in files():
        if "cli" in file.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("print", "sys.exit", "exit", "os.chdir", "os._exit"), f"{file}: {name}"


def test_no_room_has_a_vague_name() -> None:
    for path in PACKAGE.rglob("*"):
        assert path.stem not in ("utils", "util", "common", "core", "helpers", "manager", "misc"), path


def test_every_package_is_in_the_wheel() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {".".join(file.parent.relative_to(ROOT).parts) for file in PACKAGE.rglob("__init__.py")}
    assert listed == there | {"toolchain.shipped_targets"}


def test_every_file_that_is_not_python_is_in_the_wheel() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    packages = [file.parent for file in PACKAGE.rglob("__init__.py")]
    packed = {file for package in packages for pattern in patterns for file in package.glob(pattern)}
    there = {file for file in PACKAGE.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert there == packed


def test_lock_files_hold_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        text = (ROOT / name).read_text()
        assert "://" not in text, name
        if name.endswith(".lock"):
            assert text.count("--hash=sha256:") > 100


def test_every_public_function_says_what_it_does() -> None:
    for file in files():
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree) is not None, file
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node) or node.bases, f"{file}: {node.name}"
