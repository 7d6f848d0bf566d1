"""The file system that fails: each effect acts at the call that the plan names, and nothing else changes."""

from __future__ import annotations

import contextlib
import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from disk_doubles import faulty, read, state, write
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystem

from ckpt_harness import FaultyStorageReader, FaultyStorageWriter, inject
from ckpt_harness.disk.journal import Journal
from ckpt_harness.errors import InjectedFault, PlanError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.filesystem import FaultyFileSystem
from ckpt_harness.injection.injector import Injector

pytestmark = [pytest.mark.usefixtures("silence"), pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.mark.parametrize(
    ("site", "act"),
    [
        ("mkdir", lambda fs, path: fs.mkdir(path / "d")),
        ("create_stream", lambda fs, path: write(fs, path / "f", b"x")),
        ("write", lambda fs, path: write(fs, path / "f", b"x")),
        ("flush", lambda fs, path: write(fs, path / "f", b"x", sync=True)),
        ("fsync", lambda fs, path: write(fs, path / "f", b"x", sync=True)),
        ("close", lambda fs, path: write(fs, path / "f", b"x")),
        ("read", lambda fs, path: read(fs, path / "there")),
        ("rename", lambda fs, path: fs.rename(path / "there", path / "g")),
        ("rm_file", lambda fs, path: fs.rm_file(path / "there")),
        ("exists", lambda fs, path: fs.exists(path / "there")),
        ("ls", lambda fs, path: fs.ls(path)),
    ],
)
def test_every_disk_site_fails_where_the_plan_says_so(tmp_path: Path, site: str, act: Callable[[Any, Path], Any]) -> None:
    """With the errno of the plan and the message of the kernel, once; the next call passes."""
    (tmp_path / "there").write_bytes(b"x")
    fs = faulty(f"{site}@0=diskerror(EROFS)")
    with pytest.raises(OSError, match="Read-only file system") as caught:
        act(fs, tmp_path)
    assert caught.value.errno == errno.EROFS
    assert [firing.fault for firing in fs.fired] == [f"fs.{site}@0=diskerror(EROFS)"]
    act(fs, tmp_path)


@pytest.mark.parametrize(
    ("plan", "stored", "returned"),
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
def test_bytes_are_damaged_on_their_way_to_the_disk(tmp_path: Path, plan: str, stored: bytes, returned: list[int]) -> None:
    """Damage is silent, but for a short write: its return value is the number of bytes written."""
    fs = faulty(plan)
    assert write(fs, tmp_path / "file", b"ab", b"cd", b"ef") == returned
    assert (tmp_path / "file").read_bytes() == stored
    assert bool(fs.fired) == ("other" not in plan)


@pytest.mark.parametrize(
    ("plan", "content"),
    [
        ("read@0=bitflip(0)", b"`bcdef"),
        ("read@0=truncate(2)", b"ab"),
        ("read@0=zerofill", bytes(6)),
        ("create_stream@0=truncate(4)", b"abcd"),
        ("create_stream@0=bitflip(7)", b"accdef"),
        ("create_stream@0=misdirect", b"neighbour"),
    ],
)
def test_bytes_are_damaged_on_their_way_back(tmp_path: Path, plan: str, content: bytes) -> None:
    """The file on the disk stays unchanged."""
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "gile").write_bytes(b"neighbour")
    fs = faulty(plan)
    assert read(fs, tmp_path / "file") == content
    assert (tmp_path / "file").read_bytes() == b"abcdef"
    assert fs.fired


def test_a_misdirected_file_lands_on_its_neighbour(tmp_path: Path) -> None:
    """The neighbour is the next file by name, and after the last file the first. Without a neighbour, nothing fires."""
    alone = faulty("create_stream@0=misdirect")
    write(alone, tmp_path / "b", b"mine")
    assert ((tmp_path / "b").read_bytes(), alone.fired) == (b"mine", ())
    fs = faulty("create_stream(c)@0=misdirect")
    write(fs, tmp_path / "c", b"lost")
    assert (tmp_path / "b").read_bytes() == b"lost"
    assert not (tmp_path / "c").exists()


def test_a_stale_read_does_not_see_the_file(tmp_path: Path) -> None:
    """Neither does opening, nor ``exists``, nor ``ls``."""
    (tmp_path / "file").write_bytes(b"abc")
    fs = faulty("create_stream@0=staleread; exists@0=staleread; ls@0=staleread")
    with pytest.raises(FileNotFoundError):
        read(fs, tmp_path / "file")
    assert (fs.exists(tmp_path / "file"), fs.ls(tmp_path)) == (False, [])
    assert (fs.exists(tmp_path / "file"), fs.ls(tmp_path)) == (True, [str(tmp_path / "file")])


def test_a_fault_with_a_pattern_counts_calls_on_matching_files(tmp_path: Path) -> None:
    """Writes to other files in between do not count."""
    fs = faulty("write(b*)@0#2=diskerror")
    write(fs, tmp_path / "a", b"1", b"2", b"3")
    write(fs, tmp_path / "b1", b"1")
    with pytest.raises(OSError, match="Input/output"):
        write(fs, tmp_path / "b2", b"1")


def test_an_empty_plan_changes_neither_calls_nor_bytes(tmp_path: Path) -> None:
    """With and without the wrapper, a save stores the same bytes, and a load reads them."""
    history = History()
    watched = Injector(FaultPlan(), rank=0, history=history, journal=Journal(tmp_path))
    dcp.save(state(), storage_writer=FaultyStorageWriter.sharing(dcp.FileSystemWriter(tmp_path / "w"), watched))
    dcp.save(state(), storage_writer=dcp.FileSystemWriter(tmp_path / "p"))
    data = [(tmp_path / name / "__0_0.distcp").read_bytes() for name in "wp"]
    assert data[0] == data[1]
    loaded = state(0.0)
    dcp.load(loaded, storage_reader=FaultyStorageReader.sharing(dcp.FileSystemReader(tmp_path / "p"), watched))
    assert torch.equal(loaded["weight"], state()["weight"])
    assert {event.site for event in history if event.site.startswith("fs.")} >= {"fs.write", "fs.read", "fs.fsync", "fs.rename"}


def test_the_plan_of_a_storage_writer_may_have_faults_of_its_disk(tmp_path: Path) -> None:
    """The wrapper of the writer wraps its file system too."""
    writer = FaultyStorageWriter(dcp.FileSystemWriter(tmp_path / "c"), "fs.rename@0=diskerror(EIO)", rank=0)
    with pytest.raises(CheckpointException) as caught:
        dcp.save(state(), storage_writer=writer)
    assert caught.value.failures[0][0].errno == errno.EIO
    assert writer.fired


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: FaultyStorageReader(dcp.FileSystemReader(path), "fs.write@0=diskerror"), "FaultyStorageWriter"),
        (lambda path: FaultyFileSystem(FileSystem(), "writer.finish@0=raise"), "has no site"),
    ],
)
def test_a_fault_that_could_never_act_is_refused(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    """The message names the wrapper to use."""
    with pytest.raises(PlanError, match=message):
        make(tmp_path)


def test_a_storage_without_a_file_system_is_refused() -> None:
    """The refusal comes before a call runs."""

    class Elsewhere(dcp.StorageWriter):
        def write_data(self, plan: object, planner: object) -> Any: ...

        reset = set_up_storage_writer = prepare_local_plan = prepare_global_plan = finish = validate_checkpoint_id = None  # type: ignore[assignment]

    with pytest.raises(PlanError, match="Elsewhere has no file system to strike"):
        FaultyStorageWriter(Elsewhere(), "fs.write@0=diskerror", rank=0)


def test_inject_reaches_the_disk_and_restores_the_callers_storage(tmp_path: Path) -> None:
    """The disk of a writer that the caller passes, and of a writer that DCP resolves from an id."""
    writer = dcp.FileSystemWriter(tmp_path / "given")
    fs = writer.fs
    for call in ({"storage_writer": writer}, {"checkpoint_id": str(tmp_path / "resolved")}):
        with inject("save[2]/fs.write(.metadata.tmp)@0=diskerror(ENOSPC)") as faults:
            dcp.save(state(), **call)
            with pytest.raises(CheckpointException) as caught:
                dcp.save(state(), **call)
        assert caught.value.failures[0][0].errno == errno.ENOSPC
        assert [firing.operation for firing in faults.fired] == ["save[2]"]
    assert writer.fs is fs


def test_a_storage_that_saves_twice_in_the_background_is_struck_by_the_faults_of_each_save(tmp_path: Path) -> None:
    """The file system of the first save does not stay below that of the second: a call is one call, and belongs to one save."""
    injector = Injector(FaultPlan.parse("async_save[1]/fs.write@0#1x*=raise; async_save[2]/fs.write@0#2=diskerror"), rank=0)
    storage = dcp.FileSystemWriter(tmp_path)
    for number, expected in ((1, 0), (2, 1)):
        name = injector.begin("async_save", number)
        FaultyStorageWriter.sharing(storage, injector.during(name))
        assert isinstance(storage.fs, FaultyFileSystem)
        assert type(storage.fs._inner) is FileSystem
        written = 0
        with contextlib.suppress(InjectedFault, OSError):
            for _ in range(2):
                write(storage.fs, tmp_path / "f", b"x")
                written += 1
        assert written == expected
        injector.end(name)


def test_a_pickled_file_system_keeps_its_faults(tmp_path: Path) -> None:
    """The process of an async save receives a pickled copy."""
    fs = pickle.loads(pickle.dumps(faulty("write@0=diskerror")))
    with pytest.raises(OSError, match="Input/output"):
        write(fs, tmp_path / "f", b"x")


def test_calls_of_finalizers_are_not_counted(tmp_path: Path) -> None:
    """The garbage collector may call the methods of a closed stream at any time."""
    history = History()
    fs = FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan(), rank=0, history=history))
    with fs.create_stream(tmp_path / "f", "wb") as stream:
        stream.write(b"x")
    calls = len(history.events)
    with pytest.raises(ValueError, match="closed"):
        stream.flush()
    stream.close()
    assert len(history.events) == calls
