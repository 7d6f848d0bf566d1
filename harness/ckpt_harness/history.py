"""The append-only record of events on each rank, and errors as plain data.

A history contains nothing that differs between two runs of the same case: no wall clock time, UUID, memory address or absolute path. Times are the
world's own; in the simulated world, they are virtual seconds.
"""

from __future__ import annotations

import errno as errno_names
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ckpt_harness.errors import without_middle

MESSAGE_LIMIT = 400
"""Characters of a message that are printed: of a longer message, both ends, and the number of its characters."""


class Event(NamedTuple):
    """One event on one rank.

    Attributes:
        time: seconds since the world started, in the world's own time.
        rank: the rank.
        kind: ``begin`` or ``end`` of an operation; ``enter``, ``exit`` or ``raised`` at a site; ``fault`` for a fault that fires; ``escaped`` for an
            exception that ended a thread; ``lost`` for an exception that a thread pool or a future dropped; ``internal`` for an error of the harness.
        operation: the operation, such as ``save[1]``; "" outside of any.
        site: the site, or "".
        nth: the number of the call among the rank's calls of the site in this operation, from 1; 0 for an event outside of a site.
        detail: text that depends on the kind.
    """

    time: float
    rank: int
    kind: str
    operation: str = ""
    site: str = ""
    nth: int = 0
    detail: str = ""


@dataclass(frozen=True)
class ErrorRecord:
    """An exception as data: comparable, printable, and without frames that keep objects alive.

    Attributes:
        type_name: the class name, with its module unless it is a builtin.
        args: ``repr`` of each argument.
        errno: symbolic errno (``ENOSPC``) of an ``OSError``, or None.
        message: ``str`` of the exception; of a ``CheckpointException`` only if the text omits a rank or an error that ``failures`` contains.
        failures: of a ``CheckpointException``: rank -> the error of the rank.
        step: of a ``CheckpointException``: the protocol step in which it was raised.

    Example:
        >>> print(ErrorRecord.of(OSError(28, "No space left on device")))
        OSError([Errno 28] No space left on device)
    """

    type_name: str
    args: tuple[str, ...] = ()
    errno: str | None = None
    message: str = ""
    failures: Mapping[int, ErrorRecord] | None = None
    step: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> ErrorRecord:
        """The record of ``error``. A ``CheckpointException`` is recognised by its ``failures``, without an import of torch."""
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        found = getattr(error, "failures", None)
        failures, step = None, None
        if kind.__name__ == "CheckpointException" and isinstance(found, Mapping):
            failures = {rank: cls._of_wrapped(wrapped) for rank, wrapped in found.items()}
            step = str(error.args[0]) if error.args else None
        number = getattr(error, "errno", None) if isinstance(error, OSError) else None
        return cls(
            type_name=name,
            args=() if failures is not None else tuple(_safe(repr, argument) for argument in error.args),
            errno=errno_names.errorcode.get(number) if number is not None else None,
            message=_safe(str, error) if failures is None else _unnamed(_safe(str, error), failures),
            failures=failures,
            step=step,
        )

    @classmethod
    def _of_wrapped(cls, wrapped: object) -> ErrorRecord:
        """The record of a value of ``failures``: in torch (error, stack); in a broken engine, any object."""
        error = wrapped[0] if isinstance(wrapped, tuple) and wrapped else wrapped
        return cls.of(error) if isinstance(error, BaseException) else cls("<no exception>", message=_safe(repr, wrapped))

    @property
    def short_name(self) -> str:
        """The class name without its module."""
        return self.type_name.rpartition(".")[2]

    def __str__(self) -> str:
        if self.failures is not None:
            named = ", ".join(f"rank {rank}: {error}" for rank, error in sorted(self.failures.items()))
            return f"CheckpointException in {self.step!r} naming {{{named}}}"
        message = self.message
        if len(message) > MESSAGE_LIMIT:
            message = f"{without_middle(message, MESSAGE_LIMIT)} ({len(self.message)} characters)"
        return f"{self.short_name}({message})" if message else self.short_name


SOME_ERROR = ErrorRecord("some error of the storage's own")
"""Stands for the error that a client of an object store raises for an injected answer: each client has its own."""


def _unnamed(text: str, failures: Mapping[int, ErrorRecord]) -> str:
    """The text of a ``CheckpointException``, if the text omits a rank or an error that ``failures`` contains; else ""."""
    complete = all(str(rank) in text and error.short_name.rpartition(".")[2] in text for rank, error in failures.items())
    return "" if complete else text


def _safe(render: Any, value: object) -> str:
    try:
        return str(render(value))
    except Exception as error:  # noqa: BLE001  (the exception class is the user's, and printing it may fail in any way)
        return f"<unprintable: {type(error).__name__}>"


@dataclass
class History:
    """The events of a case, in order. A history changes only by appending, and where its owner takes the events out.

    Attributes:
        events: the events.
    """

    events: list[Event] = field(default_factory=list)
    _closed: bool = field(default=False, repr=False, compare=False)

    def append(self, event: Event) -> None:
        """Adds an event at the end, unless the history is closed."""
        if not self._closed:
            self.events.append(event)

    def close(self) -> None:
        """Ends the history: events that come later are dropped."""
        self._closed = True

    def taken(self) -> list[Event]:
        """Takes all events out, and returns them: a history that goes on for long need not keep what was looked at.

        Example:
            >>> history = History([Event(0.0, 0, "begin", "save[1]")])
            >>> len(history.taken()), len(history)
            (1, 0)
        """
        taken = self.events[:]
        del self.events[: len(taken)]
        return taken

    def sort_by_time(self) -> None:
        """Puts the events in the order of their times, where they were heard rank by rank; the clocks of one machine agree on the order.

        Example:
            >>> history = History([Event(2.0, 0, "end"), Event(1.0, 1, "begin")])
            >>> history.sort_by_time()
            >>> [event.kind for event in history]
            ['begin', 'end']
        """
        self.events.sort(key=lambda event: event.time)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def of_rank(self, rank: int) -> list[Event]:
        """The events of one rank, in order."""
        return [event for event in self.events if event.rank == rank]

    def of_kind(self, kind: str) -> list[Event]:
        """The events of one kind, in order."""
        return [event for event in self.events if event.kind == kind]

    def to_jsonl(self) -> str:
        """The events as JSON arrays, one per line. Two histories are compared byte for byte in this form."""
        return "".join(json.dumps(list(event), ensure_ascii=True) + "\n" for event in self.events)
