"""How results are compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ckpt_harness.drill.results import differences


def _two(tmp_path: Path, name: str, first: object, second: object) -> tuple[Path, Path]:
    paths = []
    for folder, value in (("a", first), ("b", second)):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(value, bytes):
            path.write_bytes(value)
        elif name.endswith(".npz"):
            np.savez(path, **value)  # type: ignore[arg-type]  # a dictionary of arrays
        else:
            path.write_text(json.dumps(value), "utf-8")
        paths.append(path)
    return paths[0], paths[1]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"a": 1.0}, {"a": 1.0}, ()),
        ({"a": 1.0}, {"a": 1.0000001}, ()),
        ({"a": 1.0}, {"a": 1.5}, ("r.json: value.a is 1.5 instead of 1.0",)),
        ({"a": [1, 2]}, {"a": [1]}, ("r.json: value.a[1] is missing",)),
        ({"a": True}, {"a": 1}, ("r.json: value.a is 1 instead of True",)),
    ],
)
def test_json_is_compared_value_by_value(first: object, second: object, expected: tuple[str, ...], tmp_path: Path) -> None:
    """Numbers within the tolerance."""
    assert differences(*_two(tmp_path, "r.json", first, second), tolerance=1e-6) == expected


def test_arrays_are_compared_value_by_value(tmp_path: Path) -> None:
    """Not by the bytes of their archive."""
    first, second = _two(tmp_path, "r.npz", {"w": np.ones(3)}, {"w": np.ones(3) * 2})
    assert differences(first, second) == ("r.npz: w is array([2., 2., 2.]) instead of array([1., 1., 1.])",)
    assert differences(first, second, tolerance=1.0) == ()


def test_other_files_are_compared_byte_by_byte(tmp_path: Path) -> None:
    """A torn file of a known format is no reason to fail, but a difference."""
    assert differences(*_two(tmp_path, "r.bin", b"abc", b"abd")) == ("r.bin: 3 bytes that differ from the 3 expected",)
    first, second = _two(tmp_path, "r.json", {"a": 1}, b"{")
    assert differences(first, second)[0].startswith("r.json cannot be read: JSONDecodeError")
    assert differences(first, tmp_path / "nowhere") == ("r.json is missing",)


def test_of_a_directory_all_files_are_compared(tmp_path: Path) -> None:
    """Missing files and new files are differences."""
    for folder, names in (("x", "ab"), ("y", "bc")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text(name, "utf-8")
    assert differences(tmp_path / "x", tmp_path / "y") == ("a is missing", "c is there, and was not")
