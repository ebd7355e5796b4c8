"""Prepared samples on disk: ``samples.npz`` in the data stage's folder."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from toolchain.results import DataResult, Part, Samples

_PARTS = ("train", "validation", "test")


def save(samples: Samples, folder: Path) -> str:
    """Write ``samples`` and return the SHA-256 of their names, types, shapes and values, the same on every machine."""
    arrays = {
        f"{name}.{item.name}": getattr(getattr(samples, name), item.name) for name in _PARTS for item in fields(Part)
    }
    np.savez(folder / "samples.npz", **arrays)
    total = hashlib.sha256()
    for key, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{key} {little.dtype.str} {little.shape}".encode() + little.tobytes())
    return total.hexdigest()


def load(result: DataResult) -> Samples:
    """The samples that the data stage made, from its result's folder."""
    with np.load(result.folder / "samples.npz", allow_pickle=False) as arrays:
        parts = [Part(**{item.name: arrays[f"{name}.{item.name}"] for item in fields(Part)}) for name in _PARTS]
    return Samples(*parts)
