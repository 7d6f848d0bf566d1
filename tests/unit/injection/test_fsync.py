"""``os.fsync`` is seen for files and directories of a faulty file system, and for no others."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from disk_doubles import faulty, journalled, sync_path
from torch.distributed.checkpoint.filesystem import FileSystem

from ckpt_harness.disk.journal import Journal
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.injection.filesystem import FaultyFileSystem
from ckpt_harness.injection.fsync import _Syncs
from ckpt_harness.injection.injector import Injector


def test_the_fsync_of_a_directory_is_seen(tmp_path: Path) -> None:
    """It is no method of a file system; calls for directories of other owners pass."""
    journal = Journal(tmp_path)
    fs = journalled(journal, "fs.fsync(d)@0#2=diskerror")
    fs.mkdir(tmp_path / "d")
    (tmp_path / "other").mkdir()
    sync_path(tmp_path / "d")
    sync_path(tmp_path / "other")
    with pytest.raises(OSError, match="Input/output"):
        sync_path(tmp_path / "d")
    assert [str(op) for op in journal.ops] == ["rank 0: mkdir d", "rank 0: fsync d"]


def test_a_case_that_is_over_takes_no_fsync_from_the_next(tmp_path: Path) -> None:
    """Its wrappers may live until they are collected, and the next case may use the same paths."""
    journals = [Journal(tmp_path), Journal(tmp_path)]
    injectors = [Injector(FaultPlan(), rank=0, journal=journal) for journal in journals]
    systems = [FaultyFileSystem.sharing(FileSystem(), injector) for injector in injectors]
    for number, fs in enumerate(systems):
        fs.mkdir(tmp_path / "d" / str(number))
        sync_path(tmp_path / "d")
        injectors[number].end_case()
    synced = [[str(op) for op in journal.ops if op.kind == "fsync"] for journal in journals]
    assert synced == [["rank 0: fsync d"], ["rank 0: fsync d"]]


def test_a_directory_is_known_without_a_journal_too(tmp_path: Path) -> None:
    """Its fsync can fail as soon as the directory exists, without a file in it."""
    fs = faulty("fsync(d)@0=diskerror")
    fs.mkdir(tmp_path / "d")
    with pytest.raises(OSError, match="Input/output error"):
        sync_path(tmp_path / "d")


def test_the_real_fsync_returns_with_the_end_of_the_last_file_system() -> None:
    """Nothing stays replaced. File systems of other tests that are not collected yet stay so meanwhile: their end, too, puts functions back."""
    gc.disable()
    try:
        before = os.fsync
        syncs, fs = _Syncs(), FileSystem()
        syncs.take(fs)  # type: ignore[arg-type]  # no file of this disk is made durable
        assert os.fsync is not before
        del fs
        assert os.fsync is before
    finally:
        gc.enable()


def test_an_fsync_through_another_descriptor_is_seen(tmp_path: Path) -> None:
    """Of a file that was closed and opened again, of a renamed directory, and under the name of a symbolic link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    root = tmp_path / "link"
    journal = Journal(root)
    fs = journalled(journal)
    fs.mkdir(root / "a")
    with fs.create_stream(root / "a" / "f", "wb") as stream:
        stream.write(b"x")
        stream.close()
        sync_path(root / "a")  # its descriptor has the number that the stream had
    sync_path(root / "a" / "f")
    fs.rename(root / "a", root / "b")
    sync_path(root / "b")
    assert [op.path for op in journal.ops if op.kind == "fsync"] == ["a", "a/f", "b"]
