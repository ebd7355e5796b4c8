"""The same small models through hls4ml's own Keras route and through ours, each compiled and compared with QKeras.

Run: python benchmarks/keras_route.py      (a quarter of an hour of one core; stored results are not run twice)
     python benchmarks/keras_route.py --page docs/keras_route.md
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from keras_route_models import KINDS, make

RESULTS = Path(__file__).with_suffix(".json")
SAMPLES = 600
#: A function's deviation up to this fraction of the output's range counts as approximate.
APPROXIMATE = 0.02
FUNCTIONS = {
    "sigmoid", "tanh", "elu", "softplus", "softsign", "exponential", "swish", "softmax at the end", "quantized_tanh",
    "quantized_sigmoid", "LSTM",
}  # fmt: skip
_TOGETHER = 12
VERDICTS = ("exact", "approximate", "silently wrong", "refused", "crashed")


def vectors(shape: tuple[int, ...], samples: int = SAMPLES) -> np.ndarray:
    """Inputs on the port's grid ``2**-5`` of ap_fixed<8,3>: corners, random words of the whole range, small ones."""
    from toolchain.fixed_point import FixedPoint
    from toolchain.quantize.witness import corner_words

    form = FixedPoint(True, 2, 5)
    corners = corner_words(form, shape)[: samples // 4]
    rng = np.random.default_rng(0)
    drawn = rng.integers(form.min_word, form.max_word + 1, (samples - len(corners), *shape))
    drawn >>= rng.integers(0, 6, (len(drawn), *(1,) * len(shape)))
    return form.values_of(np.concatenate([corners, drawn])).astype(np.float32)


def hls4ml_project(model: Any, folder: Path) -> Any:
    """hls4ml's graph of ``model`` by its own Keras 2 route, as its documentation advises: ``granularity='name'``."""
    import hls4ml
    import keras

    with mock.patch.object(keras, "__version__", "2.15.0"):  # the installed Keras 3 is not the model's
        config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
        config["LayerName"]["x"]["Precision"]["result"] = "fixed<8,3>"
        return hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, output_dir=str(folder), backend="Vitis", io_type="io_parallel"
        )


def compile_quickly(project: Any, folder: Path) -> None:
    """hls4ml's ``compile`` without optimization: the words are the same."""
    project.write()
    script = folder / "build_lib.sh"
    script.write_text(script.read_text().replace("-O3", "-O0"))
    project._compile()


def theirs(model: Any, x: np.ndarray, folder: Path) -> tuple[np.ndarray | None, str, str]:
    """Predictions of hls4ml's hardware; else None, ``refused`` or ``crashed``, and what it said."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            project = hls4ml_project(model, folder)
            compile_quickly(project, folder)
            found = project.predict(np.ascontiguousarray(x))
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        clear = "support" in said.lower() or "not implemented" in said.lower()
        return None, "refused" if clear else "crashed", said
    return np.asarray(found, np.float64), "", ""


def ours(model: Any, x: np.ndarray, folder: Path) -> tuple[str, str]:
    """The verdict of our route on ``model``, and why."""
    from toolchain.errors import ToolchainError, UnsupportedModelError

    try:
        verified = build(model, x, folder)
    except UnsupportedModelError as error:
        return "refused", " ".join(error.problem.split())[:160]
    except (ToolchainError, Exception) as error:
        return "crashed", f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    if verified.hardware.verdict != "bit_exact":
        first = verified.hardware.first_mismatch
        return "silently wrong", first.cause if first else ""
    if verified.model.verdict == "approximation":
        near = [f"{one.largest_deviation:.2g}, at most {one.bound:.2g}" for one in verified.model.approximations]
        return "approximate", f"off by {'; '.join(near)}"
    if verified.model.verdict != "bit_exact":
        return "silently wrong", f"{verified.model.mismatched_words} of {verified.model.words} words"
    return "exact", ""


def build(model: Any, x: np.ndarray, folder: Path) -> Any:
    """QKeras model to verdict by the product's own stages."""
    from toolchain.hls.csim import simulate
    from toolchain.hls.stage import write
    from toolchain.network import storage
    from toolchain.project import CsimSection, HlsSection
    from toolchain.quantize import witness
    from toolchain.quantize.from_qkeras import read_qkeras
    from toolchain.results import Job, QuantizeResult
    from toolchain.target import load_target
    from toolchain.verify.stage import verify

    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    jobs = {name: Job(folder / name, folder) for name in ("quantize", "hls", "csim", "verify")}
    for job in jobs.values():
        job.folder.mkdir(parents=True)
    reading = read_qkeras(model, "network")
    port = reading.network.inputs[0]
    words = {port.name: port.result.words_of(x)}
    outputs, doubled = witness.layer_outputs(reading, words)
    storage.save(reading.network, jobs["quantize"].folder / "network.fpn")
    np.savez(jobs["quantize"].folder / "inputs.npz", **words)
    np.savez(jobs["quantize"].folder / "layers.npz", **outputs)
    quantized = QuantizeResult(
        layers=(), parameters=0, learning_rate=0.0, batch_size=1, epochs=0, loss="mse", validation_loss=0.0,
        input_format=str(port.result), float64_layers=doubled, saturated_inputs={},
        network_sha256=storage.digest(reading.network), test_samples=len(x), approximate_layers=reading.approximate,
    )  # fmt: skip
    quantized.at(jobs["quantize"].folder)
    hls = write(quantized, HlsSection(), fpga, jobs["hls"])
    hls.at(jobs["hls"].folder)
    csim = simulate(jobs["hls"].folder, hls, quantized, CsimSection(), jobs["csim"])
    csim.at(jobs["csim"].folder)
    return verify(quantized, csim, jobs["verify"])


def judge(name: str, ours_alone: bool = False) -> dict[str, Any]:
    """Both routes on one kind, or ours alone where hls4ml's program ended the process."""
    model = make(name)
    x = vectors(KINDS[name][0])
    truth = np.asarray(model.predict(x, verbose=0), np.float64).reshape(len(x), -1)
    with tempfile.TemporaryDirectory() as folder:
        found, verdict, said = None, "crashed", "the program ended the process"
        if not ours_alone:
            found, verdict, said = theirs(model, x, Path(folder) / "hls4ml")
        mine, why = ours(model, x, Path(folder) / "ours")
    wrong, largest = 0, 0.0
    if found is not None:
        difference = np.abs(found.reshape(truth.shape) - truth)
        wrong, largest = int((difference > 0).sum()), float(difference.max())
        near = name in FUNCTIONS and largest <= APPROXIMATE * float(np.ptp(truth))
        verdict = "exact" if not wrong else "approximate" if near else "silently wrong"
    return {
        "hls4ml": verdict, "wrong_words": wrong, "words": truth.size, "largest_difference": largest,
        "range": float(np.ptp(truth)), "hls4ml_said": said, "ours": mine, "ours_said": why,
    }  # fmt: skip


def judge_in_a_process(names: list[str], *options: str) -> dict[str, Any]:
    """The first few of ``names`` in a process of its own; where that dies, the next kind once more with ours alone."""
    names, found = names[:_TOGETHER], {}
    command = [sys.executable, __file__, *options, "--kinds", *names]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"'):
                found |= json.loads(line)
                (name,) = json.loads(line)
                print(f"{name}: hls4ml {found[name]['hls4ml']}, ours {found[name]['ours']}", flush=True)
        if process.wait():
            said.seek(0)
            tail = said.read()[-1500:]
            if process.returncode > 0:
                sys.exit(f"{names[len(found)]}: {tail}")
            died, name = f"signal {-process.returncode}", names[len(found)]
            if not options:
                return found | judge_in_a_process([name], "--ours-alone")
            found[name] = {
                "hls4ml": "crashed", "wrong_words": 0, "words": 0, "largest_difference": 0.0, "range": 0.0,
                "hls4ml_said": died, "ours": "crashed", "ours_said": died,
            }  # fmt: skip
    return found


def page(results: dict[str, Any]) -> str:
    """The table of the results, in the order of the kinds; it says how many of them were run."""
    names = [name for name in KINDS if name in results]
    rows = ["| kind | hls4ml 1.3.0, Keras route | words that differ | ours |", "| --- | --- | --- | --- |"]
    for name in names:
        found = results[name]
        extent = "–"
        if found["hls4ml"] in ("approximate", "silently wrong"):
            share = 100 * found["wrong_words"] / found["words"]
            extent = f"{share:.0f} %, up to {found['largest_difference']:.3g} of {found['range']:.3g}"
        rows.append(f"| {name} | {found['hls4ml']} | {extent} | {found['ours']} |")
    count = [Counter(results[name][route] for name in names) for route in ("hls4ml", "ours")]
    total = ["| | hls4ml | ours |", "| --- | --- | --- |"]
    total += [f"| {verdict} | {count[0][verdict]} | {count[1][verdict]} |" for verdict in VERDICTS]
    extent = f"{len(names)} of {len(KINDS)} kinds were run."
    refused = [f"- {name}: {results[name]['ours_said']}" for name in names if results[name]["ours"] == "refused"]
    return "\n".join([extent, "", *total, "", *rows, "", "What ours refused, and why:", "", *refused, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="write the table into this page, behind its mark")
    parser.add_argument("--kinds", nargs="+", help="these alone, a line of JSON each on standard output")
    parser.add_argument("--ours-alone", action="store_true", help="of --kinds: not through hls4ml's route")
    asked = parser.parse_args()
    if asked.kinds:
        for name in asked.kinds:
            print(json.dumps({name: judge(name, asked.ours_alone)}), flush=True)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    while left := [name for name in KINDS if name not in results]:
        results |= judge_in_a_process(left)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    text = page(results)
    if asked.page:
        mark = "<!-- from here on written by benchmarks/keras_route.py -->\n"
        head = asked.page.read_text().partition(mark)[0]
        asked.page.write_text(f"{head}{mark}\n{text}")
    print(text)


if __name__ == "__main__":
    main()
