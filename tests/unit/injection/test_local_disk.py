"""The disk below the open files: full disks, and the journal."""

from __future__ import annotations

import contextlib
import errno
import io
from pathlib import Path
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from disk_doubles import faulty, journalled, state, write
from torch.distributed.checkpoint.filesystem import FileSystem

from ckpt_harness import FaultyStorageWriter
from ckpt_harness._torch import FLUSHES_BEFORE_FSYNC
from ckpt_harness.disk.journal import Journal, files_after
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.injection.filesystem import FaultyFileSystem
from ckpt_harness.injection.injector import Injector

pytestmark = [pytest.mark.usefixtures("silence"), pytest.mark.filterwarnings("ignore::UserWarning")]

BIG = b"0123456789" * 10_000
"""More than a buffer holds."""


@pytest.mark.parametrize("room", [0, 1, 8191, 8192, 50_000, 99_999])
def test_a_full_disk_stores_the_bytes_that_fit(tmp_path: Path, room: int) -> None:
    """No byte more: the rest fails with ENOSPC, in this file and in the next file."""
    fs = faulty(f"write@0=nospace({room})")
    for name in ("first", "second"):
        with pytest.raises(OSError, match="No space left") as caught:
            write(fs, tmp_path / name, *(BIG[start : start + 5000] for start in range(0, len(BIG), 5000)))
        assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "first").read_bytes() == BIG[:room]
    assert (tmp_path / "second").stat().st_size == 0
    assert len(fs.fired) == 1


def test_a_disk_with_enough_space_refuses_nothing(tmp_path: Path) -> None:
    """The fault does not fire then."""
    fs = faulty(f"write@0=nospace({len(BIG)})")
    write(fs, tmp_path / "file", BIG)
    assert ((tmp_path / "file").read_bytes(), fs.fired) == (BIG, ())


def test_a_full_disk_fails_the_close_after_small_writes(tmp_path: Path) -> None:
    """As on a real disk: ``write`` fills the buffer and succeeds; ``close`` writes the buffer and fails."""
    fs = faulty("write@0=nospace(3)")
    with pytest.raises(OSError, match="No space left"), fs.create_stream(tmp_path / "file", "wb") as stream:
        assert stream.write(b"abcdef") == 6
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_a_stream_without_a_known_buffer_is_full_at_the_write(tmp_path: Path) -> None:
    """Every write to a stream that is no buffered file counts as leaving the process."""

    class InMemory(FileSystem):
        def create_stream(self, path: Any, mode: str) -> Any:
            return _Kept(path, mode)

    class _Kept(io.BytesIO):
        def __init__(self, path: Path, mode: str) -> None:
            super().__init__()
            self.path = path

        def __exit__(self, *_: object) -> None:
            self.path.write_bytes(self.getvalue())

        def close(self) -> None:
            pass

    fs = FaultyFileSystem(InMemory(), "write@0=nospace(3)", rank=0)
    with pytest.raises(OSError, match="No space left"):
        write(fs, tmp_path / "f", b"ab", b"cd", b"ef")
    assert (tmp_path / "f").read_bytes() == b"abc"
    again = FaultyFileSystem(InMemory(), "write@0=nospace(3)", rank=0)
    with pytest.raises(OSError, match="No space left"):
        write(again, tmp_path / "g", b"abcd")  # a stream that is no raw file never reports that it took fewer bytes
    assert (tmp_path / "g").read_bytes() == b"abc"


def test_a_replayed_journal_gives_the_files_on_the_disk(tmp_path: Path) -> None:
    """The journal has DCP's own order, in which an older torch syncs the metadata before its bytes leave the buffer."""
    journal = Journal(tmp_path)
    faults = Injector(FaultPlan(), rank=0, journal=journal)
    dcp.save(state(), storage_writer=FaultyStorageWriter.sharing(dcp.FileSystemWriter(tmp_path / "c"), faults))
    assert files_after(journal.ops) == {f"c/{path.name}": path.read_bytes() for path in (tmp_path / "c").iterdir()}
    kinds = [op.kind for op in journal.ops if "metadata" in op.path]
    assert kinds == ["create", *(("write", "flush", "fsync") if FLUSHES_BEFORE_FSYNC else ("fsync", "write")), "close", "rename"]


def test_the_journal_lists_damage_apart_from_writes(tmp_path: Path) -> None:
    """The writes contain the bytes on the disk; the damage contains the intended bytes."""
    journal = Journal(tmp_path)
    fs = journalled(journal, "fs.write@0#2=zerofill")
    write(fs, tmp_path / "f", b"ab", b"cd")
    assert files_after(journal.ops) == {"f": b"ab\0\0"}
    assert [(damage.path, damage.offset, damage.intended) for damage in journal.damage] == [("f", 2, b"cd")]


def test_a_skipped_mkdir_is_not_in_the_journal(tmp_path: Path) -> None:
    """A directory that was created before the call failed is in the journal."""
    for plan, made in (("skip", []), ("diskerror", []), ("!after=diskerror", ["d"])):
        journal = Journal(tmp_path)
        text = f"fs.mkdir@0{plan}" if plan.startswith("!") else f"fs.mkdir@0={plan}"
        fs = journalled(journal, text)
        with contextlib.suppress(OSError):
            fs.mkdir(tmp_path / "d")
        assert [op.path for op in journal.ops] == made


def test_an_appended_file_is_created_once(tmp_path: Path) -> None:
    """Opening for append creates a new file, and only opens an old file."""
    journal = Journal(tmp_path)
    fs = journalled(journal)
    for part in (b"ab", b"cd"):
        with fs.create_stream(tmp_path / "f", "ab") as stream:
            stream.write(part)
    assert files_after(journal.ops) == {"f": b"abcd"}
    assert [op.kind for op in journal.ops].count("create") == 1
