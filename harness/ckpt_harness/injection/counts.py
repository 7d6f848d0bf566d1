"""How often each site was reached: in memory, or in a file once a wrapper has been pickled into another process."""

from __future__ import annotations

import _thread
import collections
import contextlib
import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Counts:
    """Counters by key, and a log of short records.

    A process-based async save pickles the storage writer for every request. Counts in memory would start anew in each copy. So from the first pickling
    on, the original and its copies share an append-only file.

    Example:
        >>> counts = Counts()
        >>> counts.next("writer.finish"), counts.next("writer.finish", "writer.reset")
        ([1], [2, 1])
    """

    def __init__(self) -> None:
        # A raw lock: while it is held, no simulated rank hands over to another. Reentrant, since the garbage collector may run a finalizer meanwhile
        # that flushes a file of a faulty file system.
        self._lock = _thread.RLock()
        self._counter: collections.Counter[str] = collections.Counter()
        self._log: list[list[Any]] = []
        self._path: str | None = None

    def next(self, *keys: str) -> list[int]:
        """Adds one to each key.

        Returns:
            The new count of each key, from 1.
        """
        with self._lock:
            if self._path is None:  # the usual case, without the cost of a file
                return self._add(keys)
            with self._fresh():
                numbers = self._add(keys)
                self._write(*(["count", key] for key in keys))
                return numbers

    def _add(self, keys: Sequence[str]) -> list[int]:
        counter = self._counter
        for key in keys:
            counter[key] += 1
        return [counter[key] for key in keys]

    def log(self, record: list[Any]) -> None:
        """Keeps a record of JSON scalars."""
        with self._lock, self._fresh():
            self._log.append(record)
            self._write(["log", *record])

    def logged(self) -> list[list[Any]]:
        """The records kept so far, by the original and all its copies."""
        with self._lock, self._fresh():
            return list(self._log)

    @contextlib.contextmanager
    def _fresh(self) -> Iterator[None]:
        """While the counts live in a file: locks the file, and reads the entries that other copies wrote."""
        if self._path is None:
            yield
            return
        import fcntl

        try:
            shared = Path(self._path).open("r+", encoding="utf-8")  # noqa: SIM115  (closed by the with statement below)
        except FileNotFoundError:  # the original has ended and removed the file: this copy continues alone, from its last state
            self._path = None
            yield
            return
        with shared as self._file:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._counter.clear()
            self._log.clear()
            for line in self._file:
                kind, *rest = json.loads(line)
                if kind == "count":
                    self._counter[rest[0]] += 1
                else:
                    self._log.append(rest)
            yield

    def _write(self, *lines: list[Any]) -> None:
        if self._path is not None:
            self._file.writelines(json.dumps(line) + "\n" for line in lines)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            if self._path is None:
                self._move_to_file()
            return {"path": self._path, "counter": self._counter.copy(), "log": list(self._log)}

    def _move_to_file(self) -> None:
        handle, self._path = tempfile.mkstemp(prefix="ckpt-harness-counts-")
        os.close(handle)
        weakref.finalize(self, _remove, self._path, os.getpid())
        with Path(self._path).open("w", encoding="utf-8") as self._file:
            for key, count in self._counter.items():
                self._write(*[["count", key]] * count)
            for record in self._log:
                self._write(["log", *record])

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]  # a lock cannot be pickled, so every copy creates one
        self._path, self._counter, self._log = state["path"], state["counter"], state["log"]


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy must not remove the file of the original
        Path(path).unlink(missing_ok=True)
