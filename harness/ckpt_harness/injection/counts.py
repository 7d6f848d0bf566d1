"""How often each site was reached, kept in memory, or in a file once a wrapper has been pickled into another process."""

from __future__ import annotations

import _thread
import collections
import contextlib
import json
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Counts:
    """Counters by key, and a log of short records.

    Process-based async save pickles the storage writer for every request; counts that lived in memory would start anew in each copy, so from
    the first pickling on, the original and its copies share an append-only file.
    """

    def __init__(self) -> None:
        # A raw lock: it is held for an instant and never across a hand-over, so a simulated world need not schedule it. Reentrant, since the
        # garbage collector may run a finalizer in that instant which flushes a watched file.
        self._lock = _thread.RLock()
        self._counter: collections.Counter[str] = collections.Counter()
        self._log: list[list[Any]] = []
        self._path: str | None = None

    def next(self, *keys: str) -> list[int]:
        """Adds one to each key.

        Returns:
            The new counts, from 1.
        """
        with self._lock, self._fresh():
            self._counter.update(keys)
            self._write(*(["count", key] for key in keys))
            return [self._counter[key] for key in keys]

    def log(self, record: list[Any]) -> None:
        """Keeps a record of JSON scalars."""
        with self._lock, self._fresh():
            self._log.append(record)
            self._write(["log", *record])

    def logged(self) -> list[list[Any]]:
        """The records kept so far, by every copy."""
        with self._lock, self._fresh():
            return list(self._log)

    @contextlib.contextmanager
    def _fresh(self) -> Iterator[None]:
        """While the counts live in a file: holds it locked, and has read what the copies wrote."""
        if self._path is None:
            yield
            return
        import fcntl

        try:
            shared = Path(self._path).open("r+", encoding="utf-8")  # noqa: SIM115  (closed by the with statement below)
        except FileNotFoundError:  # the original is gone and took the file along: this copy goes on alone, from what it knew
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
                handle, self._path = tempfile.mkstemp(prefix="ckpt-harness-counts-")
                os.close(handle)
                weakref.finalize(self, _remove, self._path, os.getpid())
                lines = [["count", key] for key, count in self._counter.items() for _ in range(count)]
                with Path(self._path).open("w", encoding="utf-8") as self._file:
                    self._write(*lines, *(["log", *record] for record in self._log))
            return {"path": self._path, "counter": self._counter.copy(), "log": list(self._log)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]  # the lock cannot be pickled, so every copy makes its own
        self._path, self._counter, self._log = state["path"], state["counter"], state["log"]


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy must not take the file away from the others
        Path(path).unlink(missing_ok=True)
