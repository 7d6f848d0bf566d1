"""Rules of the model ``ordered`` that were observed on a real ext4; ``tests/realdisk`` observes them again."""

from __future__ import annotations

from ckpt_harness.disk.durability import Model, states_after
from ckpt_harness.disk.journal import DiskOp, Files

OLD = {"a": b"A" * 5000}


def left(*ops: DiskOp, before: Files, model: Model = "ordered") -> list[Files]:
    states = states_after(ops, before, model)
    assert states.exhaustive
    return [state.files for state in states.found]


def op(kind: str, path: str, offset: int = 0, data: bytes = b"", to: str = "") -> DiskOp:
    return DiskOp(0, kind, path, offset, data, to)  # type: ignore[arg-type]


def test_fsync_of_an_unchanged_file_makes_no_other_change_durable() -> None:
    """This holds for a file that was durable already, and for a file that was only overwritten in place."""
    assert OLD in left(op("create", "b"), op("fsync", "a"), before=OLD)
    overwritten = {"a": b"B" + b"A" * 4999}
    assert overwritten in left(op("create", "b"), op("write", "a", 0, b"B"), op("fsync", "a"), before=OLD)


def test_fsync_makes_changes_before_that_of_the_file_durable() -> None:
    """The change may be of the file's name or length, or of an entry of the directory."""
    assert all("b" in files for files in left(op("create", "b"), op("create", "c"), op("fsync", "c"), before=OLD))
    assert all("b" in files for files in left(op("create", "b"), op("write", "a", 5000, b"A"), op("fsync", "a"), before=OLD))
    assert all("b" in files for files in left(op("create", "b"), op("fsync", "."), before=OLD))
    assert all("a" not in files for files in left(op("rename", "a", to="b"), op("fsync", "b"), before=OLD))


def test_data_may_be_as_after_an_earlier_write_or_zeros() -> None:
    """The length and each block may become durable at any time, the length first."""
    ops = [op("create", "a"), op("write", "a", 0, b"A" * 1261), op("write", "a", 1261, b"B" * 1000)]
    found = {files["a"] for files in left(*ops, before={}) if files}
    first, both = b"A" * 1261, b"A" * 1261 + b"B" * 1000
    assert found == {b"", first, both, first.ljust(len(both), b"\0"), bytes(len(first)), bytes(len(both))}


def test_overwritten_data_may_be_old() -> None:
    """Each block may be old or new, and the file does not get shorter."""
    found = {files["a"] for files in left(op("write", "a", 0, b"B" * 5000), before=OLD)}
    assert found == {first * 4096 + last * 904 for first in (b"A", b"B") for last in (b"A", b"B")}


def test_a_truncation_may_be_lost_although_an_earlier_write_survives() -> None:
    """This holds in the model ``posix``, which does not order the two."""
    ops = [op("create", "b"), op("write", "b", 0, b"B" * 10), op("create", "b")]
    assert {"b": b"B" * 10} in left(*ops, before={}, model="posix")


def test_a_file_that_may_be_torn_in_very_many_ways_is_sampled() -> None:
    """The result says that it is a sample."""
    ops = [op("create", "a"), op("write", "a", 0, b"A" * 40_000)]
    assert not states_after(ops, {}, "ordered").exhaustive
