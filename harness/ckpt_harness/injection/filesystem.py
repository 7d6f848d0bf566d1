"""A file system that fails, and is watched, below a real storage writer or reader: one line a site, then the inner file system's own method.

DCP's file system storages reach the disk through their attribute ``fs``, a ``FileSystemBase``; so do those built on fsspec, S3 connectors and others.
:class:`FaultyFileSystem` stands there. ``os.fsync`` has no place in that interface, so it is replaced while such file systems are in use; it passes on
whatever is not theirs.

What is written goes through a buffer like the one that the inner file system's own stream has, so that a full disk is met where a real one is: mostly in
a later flush or close.

Not modelled: memory maps, ``truncate`` and ``writelines`` of a stream, descriptors that an engine writes to behind the stream's back, and ``os.sync``
of a rank that has no stream open.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, cast

from torch.distributed.checkpoint.filesystem import FileSystemBase

from ckpt_harness.disk.journal import Kind
from ckpt_harness.errors import PlanError
from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.effects import BitFlip, Effect, Misdirect, NoSpace, ShortWrite, StaleRead, TornWrite, Truncate, ZeroFill
from ckpt_harness.injection.fsync import watching_syncs
from ckpt_harness.injection.injector import Arrival, Injector
from ckpt_harness.injection.wrapper import Wrapper, passing_on

_WHOLE_FILE = (BitFlip, ZeroFill, Truncate, Misdirect, StaleRead)
"""Effects that strike a file as a whole, at ``fs.create_stream``."""

AnyPath = str | os.PathLike[str]


def watch_disk(storage: Any, faults: Injector) -> None:
    """Puts a faulty file system below a storage writer or reader, if the injector watches the disk.

    Raises:
        PlanError: the plan strikes the disk, and the storage has no such seam.
    """
    if not faults.watches_disk:
        return
    inner = getattr(storage, "fs", None)
    if not isinstance(inner, FileSystemBase):
        disk = next((fault for fault in faults.plan if fault.at.side == "fs"), None)
        if disk is not None:
            raise PlanError(f"fault {disk}: {type(storage).__name__} has no file system to strike: its attribute 'fs' is {inner!r}, no FileSystemBase")
    elif not (isinstance(inner, FaultyFileSystem) and inner._faults is faults):
        storage.fs = FaultyFileSystem.sharing(inner, faults)


@passing_on(FileSystemBase)
class FaultyFileSystem(Wrapper, FileSystemBase):
    """A file system whose calls, and the bytes that pass, fail where the plan says so.

    Args:
        inner: any file system of DCP's.
        plan: the faults, or their text, in which the ``fs.`` prefix may be left out; empty for a transparent wrapper.
        rank: the caller's rank in the world, where neither a process group nor the launcher says it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: a plan that is malformed, or that could never act in this wrapper and world.
        UsageError: ``inner`` is no file system.
    """

    _side: ClassVar[str] = "fs"
    _needs: ClassVar[str] = "create_stream"

    def _wrap(self, inner: Any, faults: Injector) -> None:
        super()._wrap(inner, faults)
        object.__setattr__(self, "_disk", _Disk(faults))
        watching_syncs(self._disk)

    def mkdir(self, path: AnyPath) -> None:
        def make() -> None:
            missing = self._disk.missing(path)
            self._inner.mkdir(path)
            for directory in missing:
                self._disk.note("mkdir", directory)

        self._call("fs.mkdir", path, make)

    def rename(self, path: AnyPath, new_path: AnyPath) -> None:
        def rename() -> None:
            self._inner.rename(path, new_path)
            self._disk.note("rename", path, to=new_path)

        self._call("fs.rename", path, rename)

    def rm_file(self, path: AnyPath) -> None:
        def remove() -> None:
            self._inner.rm_file(path)
            self._disk.note("unlink", path)

        self._call("fs.rm_file", path, remove)

    def exists(self, path: AnyPath) -> bool:
        return bool(self._asked("fs.exists", path, self._inner.exists, False))

    def ls(self, path: AnyPath) -> list[str]:
        return cast("list[str]", self._asked("fs.ls", path, self._inner.ls, []))

    def _call(self, site: str, path: AnyPath, function: Callable[[], None]) -> None:
        self._faults.around(self._faults.arrive(site, _name(path)), function)

    def _asked(self, site: str, path: AnyPath, function: Callable[[AnyPath], Any], before: Any) -> Any:
        """Calls what asks about a path; ``before`` is the answer while nothing has been written."""
        arrival = self._faults.arrive(site, _name(path))
        if isinstance(_effect(arrival), StaleRead):
            self._faults.fire(arrival)
            return before
        return self._faults.around(arrival, function, path)

    @contextlib.contextmanager
    def create_stream(self, path: AnyPath, mode: str) -> Iterator[Any]:
        arrival = self._faults.arrive("fs.create_stream", _name(path))
        effect = _effect(arrival)
        if not isinstance(effect, _WHOLE_FILE):
            with self._opened(path, mode, arrival) as stream:
                yield stream
            return
        passed, instead, writing = arrival._replace(fault=None), None, _writes(mode)
        if isinstance(effect, StaleRead):
            if not writing:
                self._faults.fire(arrival)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        elif isinstance(effect, Misdirect):
            neighbour = self._neighbour(path)
            if neighbour is not None:
                self._faults.fire(arrival)
                path = neighbour
        else:
            self._faults.fire(arrival)
            instead = None if writing else damaged(self._content(path), effect)
        with self._opened(path, mode, passed, instead) as stream:
            yield stream
        if writing and isinstance(effect, (BitFlip, ZeroFill, Truncate)):
            self._spoil(path, effect)

    @contextlib.contextmanager
    def _opened(self, path: AnyPath, mode: str, arrival: Arrival, instead: bytes | None = None) -> Iterator[Any]:
        """A stream to a file; or, in its place, to other bytes."""
        writing = _writes(mode)
        with contextlib.ExitStack() as stack:

            def enter() -> Any:
                if instead is not None:
                    return io.BytesIO(instead)
                new = "w" in mode or "x" in mode or ("a" in mode and not self._inner.exists(path))
                inner = stack.enter_context(self._inner.create_stream(path, mode))
                if new:
                    self._disk.note("create", path)
                return self._disk.buffered(inner, path) if writing else inner

            stream = _Stream(self._faults.around(arrival, enter), self._faults, self._disk, path, writing=writing)
            stack.callback(stream.end)
            try:
                yield stream
            except (Exception, SystemExit, KeyboardInterrupt):  # not where a rank dies: what it had buffered is lost
                stream.leave()
                raise
            stream.close()

    def _spoil(self, path: AnyPath, effect: Effect) -> None:
        """Damages a file that has been written."""
        content = self._content(path)
        self._disk.spoil(path, 0, content)
        spoiled = damaged(content, effect)
        with self._inner.create_stream(path, "wb") as stream:
            stream.write(spoiled)
        self._disk.note("create", path)
        self._disk.note("write", path, data=spoiled)

    def _content(self, path: AnyPath) -> bytes:
        with self._inner.create_stream(path, "rb") as stream:
            return bytes(stream.read())

    def _neighbour(self, path: AnyPath) -> AnyPath | None:
        """The next file of the directory, by name and round; None if there is no other."""
        parent = os.fspath(path).rpartition("/")[0]
        others = sorted(name for name in map(_name, self._inner.ls(parent)) if name != _name(path))
        following = [name for name in others if name > _name(path)] or others
        return self._inner.concat_path(parent, following[0]) if following else None


class _Disk:
    """What a rank's files have below their streams: the room that is left for them, and the journal.

    Args:
        faults: the injector.
    """

    def __init__(self, faults: Injector) -> None:
        self.faults = faults
        self._full: dict[int, list[_Room]] = {}
        self._paths: dict[str, str] = {}  # as the system names it -> as it was given
        self._given: set[str] = set()
        self._open: dict[int, tuple[int, _Stream]] = {}

    def note(self, kind: Kind, path: AnyPath, *, offset: int = 0, data: bytes = b"", to: AnyPath = "") -> None:
        """Tells the journal, if there is one, of what the calling rank has done."""
        for given in (os.fspath(path), os.fspath(to)):
            if given and given not in self._given:
                self._given.add(given)
                self._paths |= {os.path.realpath(known): known for known in (given, str(Path(given).parent))}
        if self.faults.journal is not None:
            self.faults.journal.add(self.faults.rank(), kind, os.fspath(path), offset=offset, data=data, to=os.fspath(to))

    def spoil(self, path: AnyPath, offset: int, intended: bytes) -> None:
        """Tells the journal of damage."""
        if self.faults.journal is not None:
            self.faults.journal.spoil(os.fspath(path), offset, intended)

    def missing(self, path: AnyPath) -> list[Path]:
        """The directories that making ``path`` and its parents would make, the highest first."""
        return [one for one in reversed([Path(path), *Path(path).parents]) if not one.exists()]

    def opened(self, stream: _Stream) -> None:
        """A stream that has a descriptor is open for writing."""
        with contextlib.suppress(OSError, AttributeError):  # io.UnsupportedOperation is an OSError
            self._open[stream.fileno()] = self.faults.rank(), stream

    def closed(self, stream: _Stream) -> None:
        """It is open no more."""
        self._open = {number: (rank, one) for number, (rank, one) in self._open.items() if one is not stream}

    def open_file(self, descriptor: int) -> _Stream | None:
        """See :class:`ckpt_harness.injection.fsync.Disk`, as for the next two."""
        return self._open[descriptor][1] if descriptor in self._open and not self.faults.over else None

    def open_files(self) -> list[_Stream]:
        return [] if self.faults.over else [stream for rank, stream in self._open.values() if rank == self.faults.rank()]

    def sync_path(self, path: str, sync: Callable[[], None]) -> bool:
        given = self._paths.get(path)
        if self.faults.over or given is None:
            return False
        self.durable(self.faults.arrive("fs.fsync", _name(given)), given, sync)
        return True

    def durable(self, arrival: Arrival, path: AnyPath, sync: Callable[[], None]) -> None:
        """Lets ``sync`` make a file or directory durable, unless the plan says otherwise."""

        def act() -> None:
            sync()
            self.note("fsync", path)

        self.faults.around(arrival, act)

    def fill(self, arrival: Arrival, effect: NoSpace) -> None:
        """From now on the calling rank's disk is full."""
        rooms = self._full.setdefault(arrival.rank, [])
        if all(room.arrival.fault != arrival.fault for room in rooms):
            rooms.append(_Room(arrival, effect.after_bytes))

    def reach(self, path: AnyPath, offset: int, data: Any, write: Callable[[Any], int | None]) -> int:
        """Writes bytes that leave the process, as many as fit.

        Raises:
            OSError: none do.
        """
        view = memoryview(data).cast("B")
        room = self._room(path)
        if room is not None and len(view) > room.left:
            if not room.fired:
                room.fired = True
                self.faults.fire(room.arrival)
            if not room.left:
                raise zoo.of_system("ENOSPC")
            view = view[: room.left]
        written = write(view)
        count = len(view) if written is None else written
        if room is not None:
            room.left -= count
        self.note("write", path, offset=offset, data=bytes(view[:count]))
        return count

    def _room(self, path: AnyPath) -> _Room | None:
        rank = self.faults.rank()
        if self.faults.healed(rank):
            return None
        return next((room for room in self._full.get(rank, ()) if room.arrival.fault is not None and room.arrival.fault.is_about(_name(path))), None)

    def buffered(self, stream: Any, path: AnyPath) -> Any:
        """A stream whose bytes are seen where they leave the process, and not where they enter its buffer."""
        if self.faults.journal is None and not any(isinstance(fault.effect, NoSpace) for fault in self.faults.plan):
            return stream
        if type(stream) is io.BufferedWriter and isinstance(stream.raw, io.FileIO):
            return io.BufferedWriter(_Raw(self, path, stream), getattr(stream.raw, "_blksize", io.DEFAULT_BUFFER_SIZE))
        return _Unbuffered(self, path, stream)


class _Room:
    """What is left of a full disk."""

    def __init__(self, arrival: Arrival, left: int) -> None:
        self.arrival, self.left, self.fired = arrival, left, False


class _Raw(io.RawIOBase):
    """An operating system's file, below a buffer of the process's."""

    def __init__(self, disk: _Disk, path: AnyPath, stream: io.BufferedWriter) -> None:
        self._disk, self._path, self._stream = disk, path, stream
        self._file = cast("io.FileIO", stream.raw)

    def write(self, data: Any) -> int:
        return self._disk.reach(self._path, self._file.tell(), data, self._file.write)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        super().close()
        self._stream.close()


class _Unbuffered:
    """A stream whose every write is taken to leave the process."""

    def __init__(self, disk: _Disk, path: AnyPath, stream: Any) -> None:
        self._disk, self._path, self._stream = disk, path, stream

    def write(self, data: Any) -> int:
        return self._disk.reach(self._path, self._stream.tell(), data, self._stream.write)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Stream:
    """An open file.

    Args:
        inner: the inner file system's stream.
        faults: the injector.
        disk: what is below.
        path: of the file.
        writing: whether it is written.
    """

    def __init__(self, inner: Any, faults: Injector, disk: _Disk, path: AnyPath, *, writing: bool) -> None:
        self._inner, self._faults, self._disk, self._path, self._writing = inner, faults, disk, path, writing
        self._closed = self._over = False
        if writing:
            disk.opened(self)

    def end(self) -> None:
        """From now on calls pass unseen: what is left of them are finalizers, which run whenever the garbage collector does."""
        self._over = True
        self._disk.closed(self)

    def leave(self) -> None:
        """Writes what the buffer holds, as a file does that an error leaves; the engine made no such call, so no fault strikes."""
        if isinstance(self._inner, io.BufferedWriter) and isinstance(self._inner.raw, _Raw):
            self._inner.close()

    def write(self, data: Any) -> Any:
        arrival = self._arrive("write")
        effect = _effect(arrival)
        if isinstance(effect, NoSpace):
            self._disk.fill(arrival, effect)
            arrival = arrival._replace(fault=None)
        elif isinstance(effect, ShortWrite):
            self._faults.fire(arrival)
            kept = memoryview(data).cast("B")[: effect.keep_bytes]
            self._inner.write(kept)
            return len(kept)
        elif isinstance(effect, (TornWrite, BitFlip, ZeroFill)):
            self._faults.fire(arrival)
            intended = bytes(memoryview(data).cast("B"))
            self._disk.spoil(self._path, self._inner.tell(), intended)
            return self._inner.write(damaged(intended, effect))
        return self._faults.around(arrival, self._inner.write, data)

    def read(self, size: int | None = -1) -> bytes:
        return self._read(lambda: self._inner.read(-1 if size is None else size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._read(lambda: self._inner.readline(-1 if size is None else size))

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _read(self, read: Callable[[], bytes]) -> bytes:
        arrival = self._arrive("read")
        effect = _effect(arrival)
        if isinstance(effect, (BitFlip, ZeroFill, Truncate)):
            data = self._faults.around(arrival._replace(fault=None), read)
            self._faults.fire(arrival)
            return damaged(data, effect)
        return self._faults.around(arrival, read)

    def flush(self) -> None:
        if self._over:
            self._inner.flush()
        else:
            self._faults.around(self._arrive("flush"), self._flush)

    def _flush(self) -> None:
        self._inner.flush()
        if self._writing:
            self._disk.note("flush", self._path)

    def sync(self, sync: Callable[[], None]) -> None:
        """Lets ``sync`` make the file durable."""
        self._disk.durable(self._arrive("fsync"), self._path, sync)

    def close(self) -> None:
        if not (self._closed or self._over):
            self._faults.around(self._arrive("close"), self._inner.close)
            self._closed = True
            self._disk.closed(self)  # its descriptor may be given to another file now
            if self._writing:
                self._disk.note("close", self._path)

    def _arrive(self, method: str) -> Arrival:
        return self._faults.arrive(f"fs.{method}", _name(self._path))

    def __enter__(self) -> _Stream:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def damaged(data: bytes, effect: Effect) -> bytes:
    """What is left of bytes that an effect damages."""
    if isinstance(effect, BitFlip):
        spoiled = bytearray(data)
        if spoiled:
            spoiled[effect.byte % len(spoiled)] ^= 1
        return bytes(spoiled)
    if isinstance(effect, Truncate):
        return data[: effect.keep_bytes]
    kept = effect.keep_bytes if isinstance(effect, TornWrite) else 0
    return data[:kept] + bytes(max(0, len(data) - kept))


def _effect(arrival: Arrival) -> Effect | None:
    """What strikes a call on its way in."""
    return None if arrival.fault is None or arrival.fault.after else arrival.fault.effect


def _writes(mode: str) -> bool:
    """Whether a file that is opened so may be written."""
    return "r" not in mode or "+" in mode


def _name(path: AnyPath) -> str:
    """The last part of a path, or of a key of an object store."""
    return PurePosixPath(os.fspath(path)).name
