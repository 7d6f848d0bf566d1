"""The file system that fails: each effect does what it says, at the call that the plan names, and nothing else changes."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystem

from ckpt_harness import FaultyStorageReader, FaultyStorageWriter, inject
from ckpt_harness.disk.journal import Journal, files_after
from ckpt_harness.errors import PlanError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.filesystem import FaultyFileSystem
from ckpt_harness.injection.injector import Injector

pytestmark = [pytest.mark.usefixtures("silence"), pytest.mark.filterwarnings("ignore::UserWarning")]

BIG = b"0123456789" * 10_000
"""More than any buffer holds."""


def _faulty(plan: str) -> FaultyFileSystem:
    return FaultyFileSystem(FileSystem(), plan, rank=0)


def _write(fs: Any, path: Path, *parts: bytes, sync: bool = False) -> list[Any]:
    with fs.create_stream(path, "wb") as stream:
        written = [stream.write(part) for part in parts]
        if sync:
            stream.flush()
            os.fsync(stream.fileno())
        return written


def _read(fs: Any, path: Path) -> bytes:
    with fs.create_stream(path, "rb") as stream:
        return bytes(stream.read())


def _state(value: float = 1.0) -> dict[str, Any]:
    return {"weight": torch.full((1000,), value), "epoch": 7}


@pytest.mark.parametrize(
    ("site", "act"),
    [
        ("mkdir", lambda fs, path: fs.mkdir(path / "d")),
        ("create_stream", lambda fs, path: _write(fs, path / "f", b"x")),
        ("write", lambda fs, path: _write(fs, path / "f", b"x")),
        ("flush", lambda fs, path: _write(fs, path / "f", b"x", sync=True)),
        ("fsync", lambda fs, path: _write(fs, path / "f", b"x", sync=True)),
        ("close", lambda fs, path: _write(fs, path / "f", b"x")),
        ("read", lambda fs, path: _read(fs, path / "there")),
        ("rename", lambda fs, path: fs.rename(path / "there", path / "g")),
        ("rm_file", lambda fs, path: fs.rm_file(path / "there")),
        ("exists", lambda fs, path: fs.exists(path / "there")),
        ("ls", lambda fs, path: fs.ls(path)),
    ],
)
def test_every_disk_site_fails_where_the_plan_says_so(tmp_path: Path, site: str, act: Callable[[Any, Path], Any]) -> None:
    """With the errno that the plan names, once, and as the kernel words it; the next call passes."""
    (tmp_path / "there").write_bytes(b"x")
    fs = _faulty(f"{site}@0=diskerror(EROFS)")
    with pytest.raises(OSError, match="Read-only file system") as caught:
        act(fs, tmp_path)
    assert caught.value.errno == errno.EROFS
    assert [one.fault for one in fs.fired] == [f"fs.{site}@0=diskerror(EROFS)"]
    act(fs, tmp_path)


@pytest.mark.parametrize(
    ("plan", "stored", "told"),
    [
        ("write@0#2=shortwrite(1)", b"abcef", [2, 1, 2]),
        ("write@0#2=tornwrite(1)", b"abc\0ef", [2, 2, 2]),
        ("write@0#2=bitflip(1)", b"abceef", [2, 2, 2]),
        ("write@0#2=zerofill", b"ab\0\0ef", [2, 2, 2]),
        ("create_stream@0=truncate(3)", b"abc", [2, 2, 2]),
        ("create_stream@0=bitflip(8)", b"abbdef", [2, 2, 2]),
        ("create_stream@0=zerofill", bytes(6), [2, 2, 2]),
        ("write(other)@0=zerofill", b"abcdef", [2, 2, 2]),
    ],
)
def test_bytes_are_damaged_on_their_way_to_the_disk(tmp_path: Path, plan: str, stored: bytes, told: list[int]) -> None:
    """Silently, but for a short write, whose number the caller is to look at."""
    fs = _faulty(plan)
    assert _write(fs, tmp_path / "file", b"ab", b"cd", b"ef") == told
    assert (tmp_path / "file").read_bytes() == stored
    assert bool(fs.fired) == ("other" not in plan)


@pytest.mark.parametrize(
    ("plan", "read"),
    [
        ("read@0=bitflip(0)", b"`bcdef"),
        ("read@0=truncate(2)", b"ab"),
        ("read@0=zerofill", bytes(6)),
        ("create_stream@0=truncate(4)", b"abcd"),
        ("create_stream@0=bitflip(7)", b"accdef"),
        ("create_stream@0=misdirect", b"neighbour"),
    ],
)
def test_bytes_are_damaged_on_their_way_back(tmp_path: Path, plan: str, read: bytes) -> None:
    """What lies on the disk stays as it is."""
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "gile").write_bytes(b"neighbour")
    fs = _faulty(plan)
    assert _read(fs, tmp_path / "file") == read
    assert (tmp_path / "file").read_bytes() == b"abcdef"
    assert fs.fired


def test_a_misdirected_file_lands_on_its_neighbour(tmp_path: Path) -> None:
    """By name, and round; where there is none, nothing fires."""
    alone = _faulty("create_stream@0=misdirect")
    _write(alone, tmp_path / "b", b"mine")
    assert ((tmp_path / "b").read_bytes(), alone.fired) == (b"mine", ())
    fs = _faulty("create_stream(c)@0=misdirect")
    _write(fs, tmp_path / "c", b"lost")
    assert (tmp_path / "b").read_bytes() == b"lost"
    assert not (tmp_path / "c").exists()


def test_what_is_stale_is_not_there_yet(tmp_path: Path) -> None:
    """Opening says so, and so do exists and ls."""
    (tmp_path / "file").write_bytes(b"abc")
    fs = _faulty("create_stream@0=staleread; exists@0=staleread; ls@0=staleread")
    with pytest.raises(FileNotFoundError):
        _read(fs, tmp_path / "file")
    assert (fs.exists(tmp_path / "file"), fs.ls(tmp_path)) == (False, [])
    assert (fs.exists(tmp_path / "file"), fs.ls(tmp_path)) == (True, [str(tmp_path / "file")])


@pytest.mark.parametrize("room", [0, 1, 8191, 8192, 50_000, 99_999])
def test_a_full_disk_takes_what_fits(tmp_path: Path, room: int) -> None:
    """No byte more, and the rest is refused with ENOSPC, on this file and on the next."""
    fs = _faulty(f"write@0=nospace({room})")
    for name in ("first", "second"):
        with pytest.raises(OSError, match="No space left") as caught:
            _write(fs, tmp_path / name, *(BIG[start : start + 5000] for start in range(0, len(BIG), 5000)))
        assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "first").read_bytes() == BIG[:room]
    assert (tmp_path / "second").stat().st_size == 0
    assert len(fs.fired) == 1


def test_a_disk_that_is_large_enough_refuses_nothing(tmp_path: Path) -> None:
    """And the fault does not fire."""
    fs = _faulty(f"write@0=nospace({len(BIG)})")
    _write(fs, tmp_path / "file", BIG)
    assert ((tmp_path / "file").read_bytes(), fs.fired) == (BIG, ())


def test_small_writes_meet_a_full_disk_when_their_buffer_is_written(tmp_path: Path) -> None:
    """As on a real one: write() says yes, and closing the file says no."""
    fs = _faulty("write@0=nospace(3)")
    with pytest.raises(OSError, match="No space left"), fs.create_stream(tmp_path / "file", "wb") as stream:
        assert stream.write(b"abcdef") == 6
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_faults_are_counted_over_the_files_that_they_are_about(tmp_path: Path) -> None:
    """The second write to a file of that name, whatever went to others in between; without a pattern, the second write of all."""
    fs = _faulty("write(b*)@0#2=diskerror")
    _write(fs, tmp_path / "a", b"1", b"2", b"3")
    _write(fs, tmp_path / "b1", b"1")
    with pytest.raises(OSError, match="Input/output"):
        _write(fs, tmp_path / "b2", b"1")


def test_an_empty_plan_changes_neither_calls_nor_bytes(tmp_path: Path) -> None:
    """Watched or not, a save stores the same, and a load gets it."""
    history = History()
    watched = Injector(FaultPlan(), rank=0, history=history, journal=Journal(tmp_path))
    dcp.save(_state(), storage_writer=FaultyStorageWriter.sharing(dcp.FileSystemWriter(tmp_path / "w"), watched))
    dcp.save(_state(), storage_writer=dcp.FileSystemWriter(tmp_path / "p"))
    data = [(tmp_path / name / "__0_0.distcp").read_bytes() for name in "wp"]
    assert data[0] == data[1]
    loaded = _state(0.0)
    dcp.load(loaded, storage_reader=FaultyStorageReader.sharing(dcp.FileSystemReader(tmp_path / "p"), watched))
    assert torch.equal(loaded["weight"], _state()["weight"])
    assert {event.site for event in history if event.site.startswith("fs.")} >= {"fs.write", "fs.read", "fs.fsync", "fs.rename"}


def test_the_journal_says_what_is_on_the_disk(tmp_path: Path) -> None:
    """Replaying it gives the files; and the metadata's fsync comes before its bytes, as DCP calls it."""
    journal = Journal(tmp_path)
    faults = Injector(FaultPlan(), rank=0, journal=journal)
    dcp.save(_state(), storage_writer=FaultyStorageWriter.sharing(dcp.FileSystemWriter(tmp_path / "c"), faults))
    assert files_after(journal.ops) == {f"c/{path.name}": path.read_bytes() for path in (tmp_path / "c").iterdir()}
    kinds = [op.kind for op in journal.ops if "metadata" in op.path]
    assert kinds == ["create", "fsync", "write", "close", "rename"]


def test_damage_is_kept_apart_from_what_happened(tmp_path: Path) -> None:
    """The journal has what reached the disk, and beside it what should have."""
    journal = Journal(tmp_path)
    fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan.parse("fs.write@0#2=zerofill"), rank=0, journal=journal))
    _write(fs, tmp_path / "f", b"ab", b"cd")
    assert files_after(journal.ops) == {"f": b"ab\0\0"}
    assert [(one.path, one.offset, one.intended) for one in journal.damage] == [("f", 2, b"cd")]


def test_the_fsync_of_a_directory_is_seen(tmp_path: Path) -> None:
    """It has no call of its own in the interface; others' descriptors are let be."""
    journal = Journal(tmp_path)
    fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan.parse("fs.fsync(d)@0#2=diskerror"), rank=0, journal=journal))
    fs.mkdir(tmp_path / "d")
    elsewhere = tmp_path / "e"
    elsewhere.mkdir()
    for directory, fails in ((tmp_path / "d", False), (elsewhere, False), (tmp_path / "d", True)):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            if fails:
                with pytest.raises(OSError, match="Input/output"):
                    os.fsync(descriptor)
            else:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    assert [str(op) for op in journal.ops] == ["rank 0: mkdir d", "rank 0: fsync d"]


def test_a_case_that_is_over_takes_no_fsync_from_the_next(tmp_path: Path) -> None:
    """Its wrappers may live on until they are collected, and the next case may have the same paths."""
    journals = [Journal(tmp_path), Journal(tmp_path)]
    injectors = [Injector(FaultPlan(), rank=0, journal=journal) for journal in journals]
    systems = [FaultyFileSystem.sharing(FileSystem(), injector) for injector in injectors]
    for number, fs in enumerate(systems):
        fs.mkdir(tmp_path / "d" / str(number))
        descriptor = os.open(tmp_path / "d", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        injectors[number].end_case()
    assert [[str(op) for op in journal.ops if op.kind == "fsync"] for journal in journals] == [["rank 0: fsync d"], ["rank 0: fsync d"]]


def test_a_directory_is_known_without_a_journal_too(tmp_path: Path) -> None:
    """As soon as it was made, though no file is in it: its fsync can fail."""
    fs = _faulty("fsync(d)@0=diskerror")
    fs.mkdir(tmp_path / "d")
    descriptor = os.open(tmp_path / "d", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_fsync_is_the_systems_own_again_when_nobody_watches(tmp_path: Path) -> None:
    """The replacement goes with the last file system."""
    gc.collect()
    before = os.fsync
    fs = _faulty("write@0=diskerror?")
    assert os.fsync is not before
    del fs
    gc.collect()
    assert os.fsync is before


def test_a_wrapper_takes_faults_of_its_disk(tmp_path: Path) -> None:
    """A storage writer's own plan may reach below it."""
    writer = FaultyStorageWriter(dcp.FileSystemWriter(tmp_path / "c"), "fs.rename@0=diskerror(EIO)", rank=0)
    with pytest.raises(CheckpointException) as caught:
        dcp.save(_state(), storage_writer=writer)
    assert caught.value.failures[0][0].errno == errno.EIO
    assert writer.fired


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: FaultyStorageReader(dcp.FileSystemReader(path), "fs.write@0=diskerror"), "FaultyStorageWriter"),
        (lambda path: FaultyFileSystem(FileSystem(), "writer.finish@0=raise"), "has no site"),
    ],
)
def test_a_fault_that_could_never_act_is_refused(tmp_path: Path, make: Callable[[Path], object], told: str) -> None:
    """With where it can be injected."""
    with pytest.raises(PlanError, match=told):
        make(tmp_path)


def test_a_storage_without_a_file_system_is_refused() -> None:
    """Before anything runs."""

    class Elsewhere(dcp.StorageWriter):
        def write_data(self, plan: object, planner: object) -> Any: ...

        reset = set_up_storage_writer = prepare_local_plan = prepare_global_plan = finish = validate_checkpoint_id = None  # type: ignore[assignment]

    with pytest.raises(PlanError, match="Elsewhere has no file system to strike"):
        FaultyStorageWriter(Elsewhere(), "fs.write@0=diskerror", rank=0)


def test_inject_reaches_the_disk_and_leaves_the_callers_storage_as_it_was(tmp_path: Path) -> None:
    """Of a writer that is given, and of one that DCP resolves from an id."""
    writer = dcp.FileSystemWriter(tmp_path / "given")
    fs = writer.fs
    for call in ({"storage_writer": writer}, {"checkpoint_id": str(tmp_path / "resolved")}):
        with inject("save[2]/fs.write(.metadata.tmp)@0=diskerror(ENOSPC)") as faults:
            dcp.save(_state(), **call)
            with pytest.raises(CheckpointException) as caught:
                dcp.save(_state(), **call)
        assert caught.value.failures[0][0].errno == errno.ENOSPC
        assert [one.operation for one in faults.fired] == ["save[2]"]
    assert writer.fs is fs


def test_a_pickled_file_system_keeps_its_faults(tmp_path: Path) -> None:
    """As the process of an async save gets it."""
    fs = pickle.loads(pickle.dumps(_faulty("write@0=diskerror")))
    with pytest.raises(OSError, match="Input/output"):
        _write(fs, tmp_path / "f", b"x")


def test_finalizers_pass_unseen(tmp_path: Path) -> None:
    """A stream whose file is closed counts no calls: the garbage collector makes them whenever it likes."""
    history = History()
    fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan(), rank=0, history=history))
    with fs.create_stream(tmp_path / "f", "wb") as stream:
        stream.write(b"x")
    calls = len(history.events)
    with pytest.raises(ValueError, match="closed"):
        stream.flush()
    stream.close()
    assert len(history.events) == calls


def test_other_file_systems_are_watched_too(tmp_path: Path) -> None:
    """Where a stream is no buffered file, every write is taken to reach the disk."""

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
        _write(fs, tmp_path / "f", b"ab", b"cd", b"ef")
    assert (tmp_path / "f").read_bytes() == b"abc"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_what_is_synced_past_its_stream_is_seen(tmp_path: Path) -> None:
    """A file that was closed and is opened again, directories under their new names, and all of it by way of a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    root = tmp_path / "link"
    journal = Journal(root)
    fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan(), rank=0, journal=journal))
    fs.mkdir(root / "a")
    with fs.create_stream(root / "a" / "f", "wb") as stream:
        stream.write(b"x")
        stream.close()
        _sync(root / "a")  # a descriptor with the number that the stream had
    _sync(root / "a" / "f")
    fs.rename(root / "a", root / "b")
    _sync(root / "b")
    assert [op.path for op in journal.ops if op.kind == "fsync"] == ["a", "a/f", "b"]


def test_a_skipped_mkdir_is_not_in_the_journal(tmp_path: Path) -> None:
    """What was not made did not happen; what was made and then failed did."""
    for plan, made in (("skip", []), ("diskerror", []), ("!after=diskerror", ["d"])):
        journal = Journal(tmp_path)
        text = f"fs.mkdir@0{plan}" if plan.startswith("!") else f"fs.mkdir@0={plan}"
        fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan.parse(text), rank=0, journal=journal))
        with contextlib.suppress(OSError):
            fs.mkdir(tmp_path / "d")
        assert [op.path for op in journal.ops] == made


def test_files_that_grow_are_made_once(tmp_path: Path) -> None:
    """Appending to a new file makes it, to an old one it does not."""
    journal = Journal(tmp_path)
    fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan(), rank=0, journal=journal))
    for part in (b"ab", b"cd"):
        with fs.create_stream(tmp_path / "f", "ab") as stream:
            stream.write(part)
    assert files_after(journal.ops) == {"f": b"abcd"}
    assert [op.kind for op in journal.ops].count("create") == 1
