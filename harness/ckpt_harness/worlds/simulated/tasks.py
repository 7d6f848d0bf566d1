"""Tasks: the threads of a world, what each waits for, and what could end that wait."""

from __future__ import annotations

import enum
import threading
from _thread import LockType, allocate_lock
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ckpt_harness.worlds.simulated.scheduler import Scheduler

_local = threading.local()


class Unwind(BaseException):
    """Raised in a parked thread when its world has ended, so that the thread ends. No verdict depends on it."""


class Claim(enum.Enum):
    """What can end a wait."""

    OWNED = "owned"
    """Only a task or an event of this scheduler."""
    IDLE = "idle"
    """Nothing needs to: an idle worker thread that no rank waits for."""
    SHARED = "shared"
    """Either something outside the world, or another task of the rank, which itself waits for an event of this scheduler."""
    OUTSIDE = "outside"
    """Only something outside the world: no other task of the rank could."""


class Waiting:
    """What a parked task waits for.

    Attributes:
        what: name of the operation, such as ``gather`` or ``sleep``.
        claim: what can end the wait, or a function of the task that finds out when needed.
        tell: for a collective: returns its description and the ranks that it currently waits for.
    """

    __slots__ = ("claim", "tell", "what")

    def __init__(
        self,
        what: str,
        claim: Claim | Callable[[Task], Claim] = Claim.OWNED,
        tell: Callable[[], tuple[str, tuple[int, ...]]] | None = None,
    ) -> None:
        self.what = what
        self.claim = claim
        self.tell = tell


class State(enum.Enum):
    """The state of a task."""

    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    DEAD = "dead"
    DONE = "done"


DeadlineKind = Literal["event", "poll", "timer"]
"""Kinds of deadlines. ``event``: virtual time jumps to it. ``poll``: the timeout of a wait that something outside may end; it passes in real time.
``timer``: the timeout of a collective; it does not prevent the proof of a deadlock."""


class Task:
    """A thread of a rank.

    Attributes:
        index: position in the order of creation, which is the same in every run.
        rank: the rank that it belongs to.
        main: whether it runs the rank's body.
        thread: the native thread, once started.
        joiners: tasks that wait for the end of this task.
        lost_error: whether an error on the thread reached nobody.
        stale: whether the thread-local state of its rank must be set again before it runs on.
    """

    __slots__ = (
        "baton",
        "deadline",
        "deadline_kind",
        "expired",
        "index",
        "joiners",
        "lost_error",
        "main",
        "rank",
        "real_deadline",
        "scheduler",
        "stale",
        "state",
        "thread",
        "waiting",
    )

    def __init__(self, scheduler: Scheduler, index: int, rank: int, main: bool) -> None:
        self.scheduler, self.index, self.rank, self.main = scheduler, index, rank, main
        self.baton: LockType = allocate_lock()
        self.baton.acquire()
        self.state = State.READY
        self.waiting: Waiting | None = None
        self.deadline: float | None = None
        self.real_deadline = 0.0
        self.deadline_kind: DeadlineKind = "event"
        self.expired = False
        self.stale = False
        self.lost_error = False
        self.joiners: list[Task] = []
        self.thread: threading.Thread | None = None

    @property
    def claim(self) -> Claim:
        """What can end this task's wait."""
        if self.waiting is None:
            return Claim.OWNED
        claim = self.waiting.claim
        return claim if isinstance(claim, Claim) else claim(self)


def current_task() -> Task | None:
    """Returns the task of the calling thread, or None for a thread outside all worlds."""
    return getattr(_local, "task", None)


def become(task: Task | None) -> None:
    """Assigns ``task`` to the calling thread; None: no task."""
    _local.task = task
