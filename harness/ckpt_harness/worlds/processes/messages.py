"""The messages between a world and its ranks. Each message is a frame on the socket between them, and arrives whole or not at all."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from ckpt_harness.history import ErrorRecord, Event

Doing = Literal["runs", "sleeps", "outside", "meets", "waits"]


# -- to a rank


@dataclass(frozen=True)
class Form:
    """Become this rank, and join the process group. The answer is :class:`Settled`, when all ranks have joined.

    Attributes:
        rank: the number of the rank.
        size: the size of the world.
        store: the file of the process group's store; None for no group.
        timeout: the timeout of the group, in seconds.
    """

    rank: int
    size: int
    store: str | None
    timeout: float


@dataclass(frozen=True)
class Job:
    """Run a body.

    Attributes:
        started: when the case began, on the machine's monotonic clock.
        path: the sender's ``sys.path``.
        main: file of the sender's ``__main__`` module, if that module defines the body.
        module: name of the module that defines the body, and its file, if it has a file.
        directory: the sender's working directory.
        environment: the sender's environment variables.
        work: pickled (body, arguments, faults).
    """

    started: float
    path: tuple[str, ...]
    main: str | None
    module: tuple[str, str | None]
    directory: str
    environment: dict[str, str]
    work: bytes


class Where(NamedTuple):
    """Report where your threads are. The answer has the same ``number``."""

    number: int


class Settle(NamedTuple):
    """Get ready for another job. ``number`` is the same on all ranks; the ranks verify this with a collective."""

    number: int


class Reply(NamedTuple):
    """The reply to a request; the rank continues."""

    value: Any


class Act(NamedTuple):
    """All ranks have arrived at the meeting, and this rank was the last: run the action."""


class Welcome(NamedTuple):
    """To a process that joins a rank.

    Attributes:
        rank: the number of the rank.
        started: as in :class:`Job`.
    """

    rank: int
    started: float


# -- from a rank


class Happened(NamedTuple):
    """An event. It is sent before the rank continues."""

    event: Event


class Ask(NamedTuple):
    """A request of the body to the caller of :meth:`ProcessWorld.run`; the rank waits for the reply."""

    message: Any


class Note(NamedTuple):
    """A report of the body to the caller of :meth:`ProcessWorld.run`; the rank goes on at once. Any of its threads may send it."""

    message: Any


class Meet(NamedTuple):
    """This rank has arrived at a meeting, and waits for the others."""


class Acted(NamedTuple):
    """The meeting's action has ended."""


class Stopping(NamedTuple):
    """This process is about to stop (SIGSTOP).

    Attributes:
        seconds: after how many seconds to continue it; ``inf`` for never.
        why: the fault that stops it.
        source: the source line at which it stops.
    """

    seconds: float
    why: str
    source: str


class Thread(NamedTuple):
    """What a thread of a rank does.

    Attributes:
        doing: ``runs``; ``sleeps`` (an injected delay); ``outside`` (in a system call that a timer or something outside the world may end); ``meets``
            (waits for all ranks to join a process group); or ``waits`` (in a collective, or for a lock).
        what: what the thread waits for.
        source: the innermost source line outside the harness and torch's wrappers.
        direct: whether it waits for other ranks or in an injected hang; False if it waits for a thread of its own rank.
        switches: counts of the thread's context switches; if they have not changed, the thread has not run.
        among: the ranks of the group in whose collective it waits; empty if that is not known.
    """

    doing: Doing
    what: str
    source: str
    direct: bool
    switches: tuple[int, ...]
    among: tuple[int, ...] = ()


class Answer(NamedTuple):
    """The answer to :class:`Where`: the threads of the job, main thread first."""

    number: int
    threads: tuple[Thread, ...]


class Ended(NamedTuple):
    """The body has ended.

    Attributes:
        outcome: ``returned`` or ``raised``.
        payload: the pickled value or exception; None if it cannot be pickled.
        record: the exception as data.
        at: when it ended, in seconds of the world's time.
        left: threads and processes of the body that are still running.
        left_open: files that the body has left open; see :attr:`ckpt_harness.worlds.base.RankResult.left_open`.
    """

    outcome: Literal["returned", "raised"]
    payload: bytes | None
    record: ErrorRecord | None
    at: float
    left: tuple[str, ...] = ()
    left_open: tuple[str, ...] | None = None


class Settled(NamedTuple):
    """The rank is ready for a job if ``why`` is ""; otherwise ``why`` is the reason why not."""

    why: str


class Broken(NamedTuple):
    """The rank could not start the job; ``why`` is the reason."""

    why: str


def send(connection: Connection, message: Any) -> None:
    """Sends a message."""
    connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def receive(connection: Connection) -> Any:
    """Waits for a message.

    Raises:
        EOFError: the other side has closed the connection.
    """
    try:
        return pickle.loads(connection.recv_bytes())
    except OSError as error:  # a reset connection, or an end in the middle of a frame
        raise EOFError(str(error)) from error
