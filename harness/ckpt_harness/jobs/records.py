"""What a running job notes about each of its operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckpt_harness.cases.async_saves import Begun
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.history import ErrorRecord, Event
from ckpt_harness.jobs.evidence import Loaded, Seen
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.trace import Trace

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
        started: rank -> when the rank began it, in seconds of the world's time.
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
    started: dict[int, float] = field(default_factory=dict)
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
        begun: rank -> the save as it was begun.
        waiting: the ranks that have begun to wait for it.
        endings: rank -> how it ended.
    """

    after: int = 0
    begun: dict[int, Begun] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    endings: dict[int, RankEnding] = field(default_factory=dict)


@dataclass
class LifeRecord:
    """What is known of a life once its world is over.

    Attributes:
        events: call -> what happened in it: the position in the history of the life, and the event.
        fired: (text of the fault, rank, call) of each fault that fired.
    """

    events: dict[str, list[tuple[int, Event]]] = field(default_factory=dict)
    fired: set[tuple[str, int, str]] = field(default_factory=set)
