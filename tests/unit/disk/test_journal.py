"""The journal, and the files that result from its operations."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckpt_harness.disk.journal import DiskOp, Journal, files_after
from ckpt_harness.errors import HarnessError


def test_files_result_from_the_operations() -> None:
    """A truncation empties a file, a gap reads as zeros, a rename replaces, and a removal removes."""
    ops = [
        DiskOp(0, "create", "a"),
        DiskOp(0, "write", "a", 0, b"one"),
        DiskOp(0, "write", "a", 5, b"two"),
        DiskOp(1, "create", "old"),
        DiskOp(1, "rename", "a", to="b"),
        DiskOp(1, "unlink", "gone"),
    ]
    assert files_after(ops, {"old": b"before", "gone": b"x", "b": b"y"}) == {"old": b"", "b": b"one\0\0two"}


def test_a_directory_is_renamed_with_its_content() -> None:
    """Engines do this that write into a temporary directory and rename it at the end."""
    ops = [DiskOp(0, "create", "tmp/x/a"), DiskOp(0, "rename", "tmp", to="final")]
    assert files_after(ops, {"tmpfile": b"1"}) == {"tmpfile": b"1", "final/x/a": b""}


def test_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    """So a journal does not depend on its location; paths outside the root are refused."""
    journal = Journal(tmp_path)
    journal.add(1, "rename", tmp_path / "d" / "a", to=tmp_path / "d" / "b")
    journal.add(1, "write", tmp_path / "d" / "b", offset=4, data=b"xyz")
    journal.spoil(tmp_path / "d" / "b", 4, b"XYZ")
    assert [str(op) for op in journal.ops] == ["rank 1: rename d/a -> d/b", "rank 1: write d/b [4, 7)"]
    assert journal.damage == [(2, "d/b", 4, b"XYZ")]
    with pytest.raises(HarnessError, match="outside"):
        journal.add(0, "unlink", tmp_path.parent / "elsewhere")
