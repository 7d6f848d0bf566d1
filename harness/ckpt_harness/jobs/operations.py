"""What a job can do, as values: each operation with its text.

An operation is written as a word, then its arguments, then its options: ``save a planner=caching``. ``docs/reference/jobs.md`` lists them.
:mod:`ckpt_harness.jobs.text` reads the text back.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ckpt_harness.errors import UsageError, quoted, unknown
from ckpt_harness.faults.calling import EXECUTORS, STAGINGS, Executor
from ckpt_harness.faults.sites import OperationKind

LATEST = "latest"
"""In place of the name of a place: the place that the job resumes from."""
ALL = "all"
"""In place of the name of an object: every object."""
MOST_RANKS = 1024
"""The largest number of ranks of a job."""
LARGEST = 999_999
"""The largest number of any other kind in the text of an operation."""

_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_RESERVED = frozenset({LATEST, ALL})

Entries = Literal["all", "part"]
ENTRIES: tuple[Entries, ...] = ("all", "part")
"""What a load asks for: all entries of the state, or every second entry at its top level."""

AsyncGroup = Literal["shared", "own"]
ASYNC_GROUPS: tuple[AsyncGroup, ...] = ("shared", "own")
"""The process group of an async save: that of all other operations, or one of its own."""

RENEWABLE = ("writer", "reader", "planner", "stager", "group", ALL)
"""The objects that ranks keep from operation to operation, and that ``renew`` replaces."""

ASPECTS = ("keys", "shapes", "dtype")
"""What ``change`` changes of a workload's state."""


@dataclass(frozen=True)
class Operation:
    """What all ranks of a job do next. Each kind is a class of its own; arguments come before options, which are keyword-only.

    Attributes:
        word: the first word of the text.
        kind: the kind of engine call that the operation makes; None for an operation that calls no engine by itself.
    """

    word: ClassVar[str]
    kind: ClassVar[OperationKind | None] = None

    def __str__(self) -> str:
        words = [self.word]
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if each.kw_only:
                words += [] if value == each.default else [f"{each.name}={value}"]
            elif value != each.default:
                words.append(str(value))
        return " ".join(words)


@dataclass(frozen=True)
class Save(Operation):
    """All ranks save, and wait until the save has ended.

    Attributes:
        place: where to; a place that holds a checkpoint already is overwritten.
        coordinator: the rank, within its group, that coordinates.
        planner: the kind of planner.

    Raises:
        UsageError: a field has a value that no operation can have.

    Example:
        >>> str(Save("a", coordinator=1))
        'save a coordinator=1'
    """

    word = "save"
    kind = "save"

    place: str
    coordinator: int = field(default=0, kw_only=True)
    planner: str = field(default="default", kw_only=True)

    def __post_init__(self) -> None:
        check_place(self.place)
        _check_number("coordinator", self.coordinator, 0, MOST_RANKS - 1)
        _check_word("planner", self.planner)


@dataclass(frozen=True)
class AsyncSave(Operation):
    """All ranks begin to save in the background. The save ends at a ``wait`` or, without one, when its ranks end.

    Attributes:
        place: where to.
        planner: the kind of planner.
        staging: what copies the state; see :data:`ckpt_harness.faults.calling.STAGINGS`.
        executor: what uploads: a ``thread`` or a ``process``.
        group: the process group: that of all other operations (``shared``), or its ``own``.

    Raises:
        UsageError: a field has a value that no operation can have.
    """

    word = "async"
    kind = "async_save"

    place: str
    planner: str = field(default="default", kw_only=True)
    staging: str = field(default="writer", kw_only=True)
    executor: Executor = field(default="thread", kw_only=True)
    group: AsyncGroup = field(default="shared", kw_only=True)

    def __post_init__(self) -> None:
        check_place(self.place)
        _check_word("planner", self.planner)
        _check_choice("staging", self.staging, tuple(STAGINGS))
        _check_choice("executor", self.executor, EXECUTORS)
        _check_choice("group", self.group, ASYNC_GROUPS)


@dataclass(frozen=True)
class Wait(Operation):
    """All ranks wait until async saves have ended that are under way.

    Attributes:
        place: the async saves to this place; "" for all async saves.
    """

    word = "wait"

    place: str = ""

    def __post_init__(self) -> None:
        if self.place:
            check_place(self.place)


@dataclass(frozen=True)
class Load(Operation):
    """All ranks load.

    Attributes:
        place: where from; ``latest`` stands for the newest place that holds a commit marker, as each rank finds it.
        ranks: fresh ranks that load in place of the ranks of the job, which stand still; 0 for the ranks of the job.
        entries: what the load asks for; see :data:`ENTRIES`.
        coordinator: the rank, within its group, that coordinates.
        planner: the kind of planner.

    Raises:
        UsageError: a field has a value that no operation can have.

    Example:
        >>> str(Load("latest", ranks=1))
        'load latest ranks=1'
    """

    word = "load"
    kind = "load"

    place: str
    ranks: int = field(default=0, kw_only=True)
    entries: Entries = field(default="all", kw_only=True)
    coordinator: int = field(default=0, kw_only=True)
    planner: str = field(default="default", kw_only=True)

    def __post_init__(self) -> None:
        if self.place != LATEST:
            check_place(self.place)
        _check_number("ranks", self.ranks, 0, MOST_RANKS)
        _check_choice("entries", self.entries, ENTRIES)
        _check_number("coordinator", self.coordinator, 0, MOST_RANKS - 1)
        _check_word("planner", self.planner)


@dataclass(frozen=True)
class Retry(Operation):
    """All ranks do the last save, async save or load again: with the same objects, at the same place. The state of a save has new values."""

    word = "retry"


@dataclass(frozen=True)
class Continue(Operation):
    """No rank waits for others before the next operation.

    Everywhere else, ranks go on together once the operation has ended on all of them. Here each rank goes on as soon as its own operation has ended: so
    does a trainer that has caught an error which no other rank saw.
    """

    word = "continue"


@dataclass(frozen=True)
class Restart(Operation):
    """All ranks end, and new ranks begin. Async saves that are under way are finished first, as when a Python program ends.

    Attributes:
        ranks: the new number of ranks; 0 for as many as before.
        way: the new call style; "" for that of before.
        engine: the new engine, which must read what the engine before has written; "" for that of before.

    Raises:
        UsageError: a field has a value that no operation can have.

    Example:
        >>> str(Restart(3, way="no_dist"))
        'restart 3 way=no_dist'
    """

    word = "restart"

    ranks: int = 0
    way: str = field(default="", kw_only=True)
    engine: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        _check_number("ranks", self.ranks, 0, MOST_RANKS)
        for name in ("way", "engine"):
            if getattr(self, name):
                _check_word(name, getattr(self, name))


@dataclass(frozen=True)
class Heal(Operation):
    """All faults end: none strikes an operation that begins later. An async save that is under way keeps its faults."""

    word = "heal"


@dataclass(frozen=True)
class Prune(Operation):
    """Removes the oldest places that hold a commit marker.

    Attributes:
        keep: how many of the newest stay.
    """

    word = "prune"

    keep: int

    def __post_init__(self) -> None:
        _check_number("keep", self.keep, 1, LARGEST)


@dataclass(frozen=True)
class Change(Operation):
    """The state of the ranks gets another structure. Its values change with every save anyway.

    Attributes:
        to: ``keys``, ``shapes`` or ``dtype``, for the same workload with one entry changed; or the name of another workload.

    Example:
        >>> str(Change("nested"))
        'change nested'
    """

    word = "change"

    to: str

    def __post_init__(self) -> None:
        _check_word("change", self.to)


@dataclass(frozen=True)
class Renew(Operation):
    """Objects that ranks keep from operation to operation are made anew before they are used again.

    Attributes:
        what: one of :data:`RENEWABLE`.
    """

    word = "renew"

    what: str

    def __post_init__(self) -> None:
        _check_choice("renew", self.what, RENEWABLE)


OPERATIONS: dict[str, type[Operation]] = {
    kind.word: kind for kind in (Save, AsyncSave, Wait, Load, Retry, Continue, Restart, Heal, Prune, Change, Renew)
}
"""First word of the text -> class of the operation."""


def check_place(place: str) -> None:
    """Refuses a text that cannot be the name of a place.

    Raises:
        UsageError: the message shows the value.

    Example:
        >>> check_place("../a")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.UsageError: place '../a'; valid: up to 40 letters, digits, `_`, `.` and `-`, but not latest or all
    """
    if not isinstance(place, str) or place in _RESERVED or not _PLACE.fullmatch(place):
        raise UsageError(f"place {quoted(place)}; valid: up to 40 letters, digits, `_`, `.` and `-`, but not {LATEST} or {ALL}")


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} {quoted(value)}; valid: {least} to {most}")


def _check_choice(name: str, value: Any, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UsageError(unknown(name, value, valid))


def _check_word(name: str, value: Any) -> None:
    """Refuses a value that could not be read back from the text. Whether it is the name of anything is checked when the job is bound."""
    if not isinstance(value, str) or not value or not _WORD.fullmatch(value):
        raise UsageError(f"{name} {quoted(value)}; valid: a name without spaces and `;`")


_WORD = re.compile(r"[^\s;=]+")

