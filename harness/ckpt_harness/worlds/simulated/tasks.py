"""What runs in a world: one task a thread, what it waits for, and who could end that wait."""

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
    """Raised in a parked thread when its world is over, so that the thread can end. Never seen by a verdict."""


class Claim(enum.Enum):
    """Who can end a wait."""

    OWNED = "owned"
    """Only a task or an event of this scheduler."""
    IDLE = "idle"
    """As good as nobody: a worker that waits for work, and that no rank waits for."""
    SHARED = "shared"
    """Perhaps something outside, perhaps another task of the rank that still waits for an event of this scheduler."""
    OUTSIDE = "outside"
    """Only something outside the world: no other task of the rank is left that could."""


class Waiting:
    """What a parked task waits for.

    Attributes:
        what: name of the operation, such as ``gather`` or ``sleep``.
        claim: who can end it, or a function that finds out when it matters, given the task.
        tell: for an operation with peers: its description and the ranks it waits for, as of now.
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
    """What a task is doing."""

    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    DEAD = "dead"
    DONE = "done"


DeadlineKind = Literal["event", "poll", "timer"]
"""``event``: virtual time jumps to it. ``poll``: the timeout of a wait that the outside may end; it passes in real time.
``timer``: of a collective; it cannot save anybody from a deadlock."""


class Task:
    """One thread of one rank.

    Attributes:
        index: position in order of creation, which is the same in every run.
        rank: the rank it belongs to.
        main: whether it runs the rank's body.
        thread: the native thread, once started.
        joiners: tasks that wait for this one to end.
        stale: whether what its thread knows of its rank must be made anew before it runs on.
    """

    __slots__ = (
        "baton",
        "deadline",
        "deadline_kind",
        "expired",
        "index",
        "joiners",
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
        self.joiners: list[Task] = []
        self.thread: threading.Thread | None = None

    @property
    def claim(self) -> Claim:
        """Who can end what this task waits for."""
        if self.waiting is None:
            return Claim.OWNED
        claim = self.waiting.claim
        return claim if isinstance(claim, Claim) else claim(self)


def current_task() -> Task | None:
    """The task that the calling thread is, or None for a thread of no world."""
    return getattr(_local, "task", None)


def become(task: Task | None) -> None:
    """Makes the calling thread ``task``, or nobody's again."""
    _local.task = task
