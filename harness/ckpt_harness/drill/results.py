"""How a result differs from that of the undisturbed run: value by value where the format is known, else byte by byte.

Known are JSON, JSON Lines, numpy's ``.npy`` and ``.npz``, safetensors, and checkpoints of DCP. Of a directory, all files are compared.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ckpt_harness.drill.checkpoints import MARKER
from ckpt_harness.drill.places import files_of
from ckpt_harness.errors import cut, quoted

_MOST = 5
"""Differences that are told; the rest is counted."""


def differences(expected: Path, found: Path, tolerance: float = 0.0) -> tuple[str, ...]:
    """How a result differs.

    Args:
        expected: the result of the undisturbed run.
        found: the result to judge.
        tolerance: how far numbers may differ, relative to the larger.

    Returns:
        One line for each difference; empty if the results are equal.
    """
    if not found.exists():
        return (f"{expected.name} is missing",)
    return _limited(_different(expected, found, tolerance))


def _limited(lines: Iterator[str]) -> tuple[str, ...]:
    found = [cut(line, 200) for line in lines]
    more = len(found) - _MOST
    return (*found[:_MOST], f"and {more} more") if more > 0 else tuple(found)


def _different(expected: Path, found: Path, tolerance: float) -> Iterator[str]:
    if expected.is_dir() != found.is_dir():
        yield f"{expected.name} is {'no directory' if expected.is_dir() else 'a directory'}"
    elif (expected / MARKER).exists() or not expected.is_dir():
        yield from _different_values(expected, found, tolerance)
    else:
        names = {path.relative_to(root).as_posix() for root in (expected, found) for path in files_of(root)}
        for name in sorted(names):
            if (expected / name).exists() and (found / name).exists():
                yield from _different_values(expected / name, found / name, tolerance)
            else:
                yield f"{name} is {'missing' if (expected / name).exists() else 'there, and was not'}"


def _different_values(expected: Path, found: Path, tolerance: float) -> Iterator[str]:
    if expected.is_file() and expected.read_bytes() == found.read_bytes():
        return
    try:
        before = _values(expected)
    except Exception:  # noqa: BLE001  (a file that only looks like a known format is compared byte by byte)
        before = None
    if before is None:
        yield f"{expected.name}: {len(found.read_bytes())} bytes that differ from the {len(expected.read_bytes())} expected"
        return
    try:
        after = _values(found)
    except Exception as error:  # noqa: BLE001  (whatever a torn file makes its reader raise)
        yield f"{expected.name} cannot be read: {type(error).__name__}: {error}"
        return
    assert after is not None
    for name in dict.fromkeys((*before, *after)):
        if name not in after or name not in before:
            yield f"{expected.name}: {name} is {'missing' if name in before else 'there, and was not'}"
        elif not _equal(before[name], after[name], tolerance):
            yield f"{expected.name}: {name} is {_shown(after[name])} instead of {_shown(before[name])}"


def _shown(value: Any) -> str:
    return quoted(value.tolist() if hasattr(value, "tolist") and getattr(value, "size", 9) == 1 else value, 50).replace("\n", " ")


def _equal(expected: Any, found: Any, tolerance: float) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return bool(expected is found)
    if isinstance(expected, (int, float)) and isinstance(found, (int, float)):
        return expected == found or math.isclose(expected, found, rel_tol=tolerance) or (math.isnan(expected) and math.isnan(found))
    if hasattr(expected, "dtype") and hasattr(found, "dtype"):
        return _equal_arrays(expected, found, tolerance)
    return bool(expected == found)


def _equal_arrays(expected: Any, found: Any, tolerance: float) -> bool:
    import numpy as np

    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    if expected.dtype.kind in "fc":
        return bool(np.allclose(found, expected, rtol=tolerance, atol=0.0, equal_nan=True))
    return bool(np.array_equal(expected, found))


def _values(path: Path) -> Mapping[str, Any] | None:
    """The values of a file by name; None for an unknown format."""
    if path.suffix == ".json":
        return dict(_leaves("value", json.loads(path.read_text("utf-8"))))
    if path.suffix == ".jsonl":
        lines = path.read_text("utf-8").splitlines()
        return {name: value for number, line in enumerate(lines, 1) for name, value in _leaves(f"line {number}", json.loads(line))}
    if path.suffix in (".npy", ".npz"):
        import numpy as np

        loaded = np.load(path)
        return {"array": loaded} if path.suffix == ".npy" else {name: loaded[name] for name in loaded.files}
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return dict(load_file(path))
    if path.is_dir():
        return _values_of_checkpoint(path)
    return None


def _values_of_checkpoint(path: Path) -> Mapping[str, Any]:
    """The values of a checkpoint of DCP, read without ranks."""
    import torch
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "values.pt")
        dcp_to_torch_save(path, file)
        state = torch.load(file, weights_only=False)
    return {name: value.float().numpy() if hasattr(value, "numpy") else value for name, value in _leaves("", state)}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values inside dictionaries and lists, each with its path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from _leaves(f"{name}[{number}]", inner)
    else:
        yield name, value
