"""A worker, seen from the process that gives it work: a process that does the work, and that is started anew if an item ends it.

An item that is under way when its process ends is tried once more, in a new process. If that process ends too, the item is lost: the worker says
how it was lost, and goes on with the next item. So no item is lost because a machine, or another item, ended a process once.

Work, items and results are pickled by the callers. So a worker can be kept by a process that has imported neither torch nor an engine.
"""

from __future__ import annotations

import contextlib
import enum
import signal
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Protocol

from ckpt_harness.campaigns.pools.base import PoolError
from ckpt_harness.campaigns.pools.outcomes import Failed, Lost, Outcome
from ckpt_harness.worlds.interruption import only_waiting

_STARTS = 2
"""How often a process may end before it has begun to work; one that was idle for long ends by itself."""


class WorkerProcess(Protocol):
    """A process that does work; :func:`ckpt_harness.campaigns.pools.serving.serve` runs in it.

    Attributes:
        connection: where it takes work and sends results.
        sentinel: a descriptor that is readable once the process has ended.
    """

    connection: Connection
    sentinel: int

    def kill(self) -> str:
        """Kills the process if it has not ended, and removes what it left. Returns how it ended, such as ``ended by SIGSEGV``."""

    def close(self) -> None:
        """Lets the process end by itself, and kills it if it does not."""


class Stage(enum.Enum):
    """What a process says of its work beside the outcomes."""

    BEGUN = "the work is prepared"
    ENDED = "all items are done"


class Worker:
    """Does work that it is given, chunk by chunk.

    Args:
        start: starts a process for the worker.
    """

    def __init__(self, start: Callable[[], WorkerProcess]) -> None:
        self._start = start
        self._process: WorkerProcess | None = None
        self._work = b""
        self._items: Sequence[bytes] = ()
        self._next = 0
        self._suspect = -1
        self._begun = False
        self._starts = 0
        self.busy = False

    @property
    def usable(self) -> bool:
        """Whether the process of the worker runs."""
        return self._process is not None and not wait([self._process.sentinel], 0)

    def give(self, work: bytes, items: Sequence[bytes]) -> None:
        """Gives an idle worker something to do.

        Args:
            work: a pickled :class:`ckpt_harness.campaigns.pools.base.Work`.
            items: pickled items.
        """
        self._work, self._items, self._next, self._suspect, self._starts = work, items, 0, -1, 0
        self.busy = True
        self._send()

    def hear(self) -> list[Outcome]:
        """Takes what the process has sent, without waiting; :func:`ready` says when there is something.

        Raises:
            PoolError: the process ends before it begins to work, and so does the next.
        """
        assert self._process is not None
        outcomes: list[Outcome] = []
        ended = bool(wait([self._process.sentinel], 0))  # asked first, so that everything that it sent can be read below
        try:
            while self.busy and self._process.connection.poll():
                outcomes += self._taken(self._process.connection.recv())
        except (EOFError, OSError):
            ended = True
        if self.busy and ended:
            outcomes += self._go_on_after(self._process.kill())
        return outcomes

    def waitables(self) -> list[Connection | int]:
        """What becomes readable when the process has sent something, or has ended."""
        return [] if self._process is None else [self._process.connection, self._process.sentinel]

    def close(self) -> None:
        """Ends an idle worker."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def kill(self) -> None:
        """Ends the worker, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _send(self) -> None:
        """Sends the items that are not done yet to the process."""
        self._begun = False
        if self._process is None:
            self._process = self._start()
        with contextlib.suppress(OSError):  # it has ended, which the next call of hear() finds
            self._process.connection.send((self._work, self._next, list(self._items[self._next :])))

    def _taken(self, message: Outcome | Stage) -> Iterable[Outcome]:
        if isinstance(message, Stage):
            self._begun = True
            self.busy = message is not Stage.ENDED
            return ()
        self._next += 1
        self.busy = not isinstance(message, Failed)
        return (message,)

    def _go_on_after(self, how: str) -> Iterable[Outcome]:
        """The process has ended: starts another for what is left, without an item that has ended two."""
        self._process = None
        lost: list[Outcome] = []
        if not self._begun:
            self._starts += 1
            if self._starts == _STARTS:
                self.busy = False
                raise PoolError(f"a worker process {how} before it began to work, {_STARTS} times in succession; its output says why")
        elif self._suspect == self._next:
            lost.append(Lost(self._next, f"{how}, twice in succession"))
            self._next += 1
        else:
            self._suspect = self._next
        self.busy = self._next < len(self._items)
        if self.busy:
            self._send()
        return lost


def ending(status: int) -> str:
    """How a process ended, in words.

    Args:
        status: as ``subprocess.Popen.returncode``.

    Example:
        >>> ending(-9), ending(3)
        ('ended by SIGKILL', 'ended with status 3')
    """
    return f"ended by {signal.Signals(-status).name}" if -status in list(signal.Signals) else f"ended with status {status}"


def ready(workers: Iterable[Worker], patience: float | None = None) -> list[Worker]:
    """Waits until there is something to hear from a worker.

    Args:
        workers: busy workers.
        patience: seconds to wait at most.

    Returns:
        The workers from which there is something to hear.
    """
    heard = {waitable: worker for worker in workers for waitable in worker.waitables()}
    with only_waiting():
        spoken = wait(list(heard), patience)
    return list(dict.fromkeys(heard[waitable] for waitable in spoken))  # type: ignore[index]  # it returns what it is given
