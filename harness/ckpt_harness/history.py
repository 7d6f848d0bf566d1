"""The append-only record of what happened on each rank, and errors as plain data.

A history holds nothing that differs between two runs of the same case: no wall time, uuid, address or absolute path.
Times are the world's own (virtual seconds in the simulated world).
"""

from __future__ import annotations

import errno as errno_names
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MESSAGE_LIMIT = 400
"""Longest message, in characters, that an event quotes; the rest is counted, so that a 1 MB message stays readable."""


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        time: seconds since the world started, in the world's own time.
        rank: the rank it happened on.
        kind: what happened: ``begin`` and ``end`` of an operation, ``enter`` and ``exit`` of a site, ``fault``, ``internal``.
        operation: the operation it happened in, such as ``save[1]``, or "" outside of any.
        site: the site, or "".
        nth: which call of the site on this rank within the operation, from 1; 0 where that means nothing.
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
        message: ``str`` of the exception; for a ``CheckpointException`` only if it does not tell what ``failures`` holds.
        failures: for a ``CheckpointException``, the error of each rank that it names.
        step: for a ``CheckpointException``, the protocol step it reports.
    """

    type_name: str
    args: tuple[str, ...] = ()
    errno: str | None = None
    message: str = ""
    failures: Mapping[int, ErrorRecord] | None = None
    step: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> ErrorRecord:
        """Reads ``error``. A ``CheckpointException`` is known by its ``failures``, so that torch need not be imported."""
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
        """Reads what ``failures`` holds for a rank: by torch's word (error, stack); an engine that broke may hold anything."""
        error = wrapped[0] if isinstance(wrapped, tuple) and wrapped else wrapped
        return cls.of(error) if isinstance(error, BaseException) else cls("<no exception>", message=_safe(repr, wrapped))

    @property
    def short_name(self) -> str:
        """The class name without its module."""
        return self.type_name.rpartition(".")[2]

    def __str__(self) -> str:
        if self.failures is not None:
            told = ", ".join(f"rank {rank}: {error}" for rank, error in sorted(self.failures.items()))
            return f"CheckpointException in {self.step!r} naming {{{told}}}"
        message = self.message
        if len(message) > MESSAGE_LIMIT:
            message = f"{message[:MESSAGE_LIMIT]}... ({len(self.message)} characters)"
        return f"{self.short_name}({message})" if message else self.short_name


SOME_ERROR = ErrorRecord("some error of the storage's own")
"""Stands for whatever the client of an object store makes of what it met."""


def _unnamed(text: str, failures: Mapping[int, ErrorRecord]) -> str:
    """The text of a ``CheckpointException``, if it fails to tell its reader of a rank or an error that ``failures`` holds; else nothing."""
    told = all(str(rank) in text and error.short_name.rpartition(".")[2] in text for rank, error in failures.items())
    return "" if told else text


def _safe(render: Any, value: object) -> str:
    try:
        return str(render(value))
    except Exception as error:  # noqa: BLE001  (an exception class of the user's may not even print, in whatever way)
        return f"<unprintable: {type(error).__name__}>"


@dataclass
class History:
    """What happened, in order. Appending is the only way to change it."""

    events: list[Event] = field(default_factory=list)

    def append(self, event: Event) -> None:
        """Adds an event at the end."""
        self.events.append(event)

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
        """One JSON array a line: the form in which two histories are compared byte for byte."""
        return "".join(json.dumps(list(event), ensure_ascii=True) + "\n" for event in self.events)
