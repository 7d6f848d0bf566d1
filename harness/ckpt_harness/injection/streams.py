"""Open files whose reads, writes, flushes, syncs and closes fail where the plan says so.

Not modelled: ``truncate`` and ``writelines`` of a stream, and memory maps.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from ckpt_harness.faults.effects import BitFlip, NoSpace, ShortWrite, TornWrite, Truncate, ZeroFill
from ckpt_harness.injection.arrival import Arrival
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.local_disk import AnyPath, LocalDisk, RawFile, file_name
from ckpt_harness.injection.results import damaged


class FaultyStream:
    """An open file.

    Args:
        inner: the stream of the wrapped file system.
        faults: the injector.
        disk: what lies below the file.
        path: of the file.
        writing: whether the file is open for writing.
    """

    def __init__(self, inner: Any, faults: Injector, disk: LocalDisk, path: AnyPath, *, writing: bool) -> None:
        self._inner, self._faults, self._disk, self._path, self._writing = inner, faults, disk, path, writing
        self._closed = self._over = False
        if writing:
            disk.opened(self, inner)

    def end(self) -> None:
        """Lets all later calls pass without a fault: they come from finalizers, which run whenever the garbage collector does."""
        self._over = True
        self._disk.closed(self)

    def leave(self) -> None:
        """Writes the content of the buffer, as the end of a ``with`` block does after an error. The engine makes no call, so no fault strikes."""
        if isinstance(self._inner, io.BufferedWriter) and isinstance(self._inner.raw, RawFile):
            self._inner.close()

    def write(self, data: Any) -> Any:
        arrival = self._arrive("write")
        effect = arrival.effect_before
        if isinstance(effect, NoSpace):
            self._disk.fill(arrival, effect)
            arrival = arrival.without_fault()
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
        effect = arrival.effect_before
        if isinstance(effect, (BitFlip, ZeroFill, Truncate)):
            data = self._faults.around(arrival.without_fault(), read)
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
        """Makes the file durable with ``sync``, unless the plan decides otherwise."""
        self._disk.make_durable(self._arrive("fsync"), self._path, sync)

    def close(self) -> None:
        if self._closed or self._over:
            return
        self._faults.around(self._arrive("close"), self._inner.close)
        self._closed = True
        self._disk.closed(self)  # the operating system may give the descriptor to another file now
        if self._writing:
            self._disk.note("close", self._path)

    def _arrive(self, method: str) -> Arrival:
        return self._faults.arrive(f"fs.{method}", file_name(self._path))

    def __enter__(self) -> FaultyStream:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
