"""A file system that fails where the plan says so, below a real storage writer or reader.

DCP's file system storages reach the disk through their attribute ``fs``, a ``FileSystemBase``. So do storages that are built on fsspec, S3 connectors
and others. :class:`FaultyFileSystem` takes the place of that attribute. Each method is one line per site, then the wrapped file system's own method.
``os.fsync`` is no method of a ``FileSystemBase``; it is replaced while a ``FaultyFileSystem`` is in use (see :mod:`ckpt_harness.injection.fsync`).

Not modelled: memory maps, ``truncate`` and ``writelines`` of a stream, writes to a stream's descriptor that bypass the stream, and ``os.sync`` of a rank
that has no stream open.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

from torch.distributed.checkpoint.filesystem import FileSystemBase

from ckpt_harness.errors import PlanError, quoted
from ckpt_harness.faults.effects import BitFlip, Effect, Misdirect, StaleRead, Truncate, ZeroFill
from ckpt_harness.injection.arrival import Arrival
from ckpt_harness.injection.fsync import watching_syncs
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.local_disk import AnyPath, LocalDisk, file_name
from ckpt_harness.injection.results import damaged
from ckpt_harness.injection.streams import FaultyStream
from ckpt_harness.injection.wrapper import Wrapper, passing_on

_DAMAGES = (BitFlip, ZeroFill, Truncate)
_WHOLE_FILE = (*_DAMAGES, Misdirect, StaleRead)
"""Effects that, at ``fs.create_stream``, strike a file as a whole."""


def watch_disk(storage: Any, faults: Injector) -> None:
    """Puts a faulty file system below a storage writer or reader, if the injector watches the disk.

    Raises:
        PlanError: the plan has a fault at a disk site, and the storage has no ``FileSystemBase`` in its attribute ``fs``.
    """
    if not faults.watches_disk:
        return
    inner = getattr(storage, "fs", None)
    if not isinstance(inner, FileSystemBase):
        fault = next((fault for fault in faults.plan if fault.at.side == "fs"), None)
        if fault is not None:
            raise PlanError(f"fault {fault}: {type(storage).__name__} has no file system to strike; its attribute 'fs' is {quoted(inner)}, no FileSystemBase")
    elif not isinstance(inner, FaultyFileSystem):
        storage.fs = FaultyFileSystem.sharing(inner, faults)
    elif inner._faults is not faults:
        # Another async save with the same storage: its calls are not those of the async save before.
        below = inner._inner if faults.shares_counts_with(inner._faults) else inner
        storage.fs = FaultyFileSystem.sharing(below, faults)


@passing_on(FileSystemBase)
class FaultyFileSystem(Wrapper, FileSystemBase):
    r"""A file system whose calls, and the bytes read and written, fail where the plan says so.

    Use it to test a storage below its own code: put it in the place of the storage's attribute ``fs``.

    Args:
        inner: any ``FileSystemBase``.
        plan: the faults, or their text, in which the prefix ``fs.`` may be left out; empty for a wrapper that injects nothing.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no file system.

    Example:
        >>> import tempfile
        >>> from torch.distributed.checkpoint.filesystem import FileSystem
        >>> fs = FaultyFileSystem(FileSystem(), "write@0=tornwrite(2)")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with fs.create_stream(f"{folder}/file", "wb") as stream:
        ...         _ = stream.write(b"abcd")
        ...     with fs.create_stream(f"{folder}/file", "rb") as stream:
        ...         stream.read()
        b'ab\x00\x00'
        >>> [firing.fault for firing in fs.fired]
        ['fs.write@0=tornwrite(2)']
    """

    _side: ClassVar[str] = "fs"
    _needs: ClassVar[str] = "create_stream"

    def _wrap(self, inner: Any, faults: Injector) -> None:
        super()._wrap(inner, faults)
        object.__setattr__(self, "_disk", LocalDisk(faults))
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
        return bool(self._query("fs.exists", path, self._inner.exists, stale=False))

    def ls(self, path: AnyPath) -> list[str]:
        return cast("list[str]", self._query("fs.ls", path, self._inner.ls, stale=[]))

    def _call(self, site: str, path: AnyPath, function: Callable[[], None]) -> None:
        self._faults.around(self._faults.arrive(site, file_name(path)), function)

    def _query(self, site: str, path: AnyPath, function: Callable[[AnyPath], Any], stale: Any) -> Any:
        """Calls a method that looks at a path; ``stale`` is its answer from before anything was written."""
        arrival = self._faults.arrive(site, file_name(path))
        if isinstance(arrival.effect_before, StaleRead):
            self._faults.fire(arrival)
            return stale
        return self._faults.around(arrival, function, path)

    @contextlib.contextmanager
    def create_stream(self, path: AnyPath, mode: str) -> Iterator[Any]:
        arrival = self._faults.arrive("fs.create_stream", file_name(path))
        effect, writing = arrival.effect_before, _writes(mode)
        instead = None
        if isinstance(effect, StaleRead) and not writing:
            self._faults.fire(arrival)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if isinstance(effect, Misdirect):
            path = self._misdirected(path, arrival)
        elif isinstance(effect, _DAMAGES):
            self._faults.fire(arrival)
            instead = None if writing else damaged(self._content(path), effect)
        if isinstance(effect, _WHOLE_FILE):
            arrival = arrival.without_fault()
        with self._opened(path, mode, arrival, instead) as stream:
            yield stream
        if writing and isinstance(effect, _DAMAGES):
            self._spoil(path, effect)

    @contextlib.contextmanager
    def _opened(self, path: AnyPath, mode: str, arrival: Arrival, instead: bytes | None) -> Iterator[Any]:
        """A stream to a file, or to the bytes ``instead``."""
        writing = _writes(mode)
        with contextlib.ExitStack() as stack:

            def enter() -> Any:
                if instead is not None:
                    return io.BytesIO(instead)
                new = "w" in mode or "x" in mode or ("a" in mode and not self._inner.exists(path))
                inner = stack.enter_context(self._inner.create_stream(path, mode))
                if new:
                    self._disk.note("create", path)
                return self._disk.below_buffer(inner, path) if writing else inner

            stream = FaultyStream(self._faults.around(arrival, enter), self._faults, self._disk, path, writing=writing)
            stack.callback(stream.end)
            try:
                yield stream
            except (Exception, SystemExit, KeyboardInterrupt):  # not where a rank dies: the content of its buffer is lost
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

    def _misdirected(self, path: AnyPath, arrival: Arrival) -> AnyPath:
        """The file that is opened in place of ``path``: its neighbour. Without a neighbour the fault does not fire, and the path stays."""
        neighbour = self._neighbour(path)
        if neighbour is None:
            return path
        self._faults.fire(arrival)
        return neighbour

    def _neighbour(self, path: AnyPath) -> AnyPath | None:
        """The next file of the directory by name, or the first after the last; None if there is no other file."""
        parent = os.fspath(path).rpartition("/")[0]
        others = sorted(name for name in map(file_name, self._inner.ls(parent)) if name != file_name(path))
        following = [name for name in others if name > file_name(path)] or others
        return self._inner.concat_path(parent, following[0]) if following else None


def _writes(mode: str) -> bool:
    """Whether a file opened in this mode can be written."""
    return "r" not in mode or "+" in mode
