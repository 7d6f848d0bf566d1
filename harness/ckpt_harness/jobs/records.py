"""What a running job notes about each of its operations."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.history import ErrorRecord, Event
from ckpt_harness.jobs.evidence import Loaded, Seen
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.trace import Trace

Fired = tuple[str, int, str]
"""A fault that fired: its text, the rank, and the call."""

NOTHING_TO_LOAD = Outcome("raised", ErrorRecord.of(FileNotFoundError("there is no checkpoint to load")))
"""How a load of the latest checkpoint ends where there is none: the trainer calls no engine."""


@dataclass
class Record:
    """One operation, as far as it has been done.

    Attributes:
        index: the index of the operation.
        place: the place that it is about; None if there is none.
        prepared: whether some rank has begun it.
        before: place -> what lay there before it; None where nobody could look.
        after: the same, after it.
        outcomes: rank -> how it ended.
        loaded: rank -> what the rank holds after a load that succeeded.
        latest: rank -> the place that the rank took for the latest.
        trace: of a load that faults may strike: the calls that it makes without faults; None if it fails anyway.
        skipped: why it was not done.
    """

    index: int
    place: str | None = None
    prepared: bool = False
    before: Mapping[str, Seen] | None = None
    after: Mapping[str, Seen] | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    loaded: dict[int, Loaded] = field(default_factory=dict)
    latest: dict[int, str | None] = field(default_factory=dict)
    trace: Trace | None = None
    skipped: str = ""


@dataclass
class BackgroundRecord:
    """How an async save ended, as far as it is known.

    Attributes:
        after: the index of the operation during which it ended on the last rank.
        reported: whether any rank has reported how it ended.
        begun: the ranks to which the engine has given futures of it.
        uploaded: rank -> how its future ended, waited for or not.
        waiting: the ranks that have begun to wait for it.
        endings: rank -> how it ended.
    """

    after: int = 0
    reported: bool = False
    begun: set[int] = field(default_factory=set)
    uploaded: dict[int, Outcome] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    endings: dict[int, RankEnding] = field(default_factory=dict)


@dataclass
class LifeRecord:
    """What is known of a life once its world is over.

    Attributes:
        events: call -> what has happened in it, until its evidence is made: a position by which events of several calls are ordered, and the event.
        fired: the faults that fired.
        escaped: (rank, text) of each error that ended a thread.
        left: what went on or lay about once the life had ended; None if a rank was lost.
    """

    events: dict[str, list[tuple[float, Event]]] = field(default_factory=dict)
    fired: set[Fired] = field(default_factory=set)
    escaped: list[tuple[int, str]] = field(default_factory=list)
    left: tuple[str, ...] | None = None


def outcome_of(upload: Future[Any]) -> Outcome:
    """Returns how the future of an async save ended, which is done."""
    error = upload.exception()
    return Outcome("returned") if error is None else Outcome("raised", ErrorRecord.of(error))
