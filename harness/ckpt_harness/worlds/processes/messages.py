"""What a world and its ranks say to one another; each is one frame on the socket between them, whole or not at all."""

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
    """Be this rank. The answer, when all of its group are, is :class:`Settled`.

    Attributes:
        rank: of the rank.
        size: of the world.
        store: file to make a process group with; None for no group.
        timeout: of the group, in seconds.
    """

    rank: int
    size: int
    store: str | None
    timeout: float


@dataclass(frozen=True)
class Job:
    """Run this.

    Attributes:
        started: when the case began, on the machine's monotonic clock.
        path: ``sys.path`` of whoever sends the job.
        main: file of the sender's ``__main__``, where the body is defined there.
        module: name of the module that defines the body, and its file, if it has one.
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
    """Say where your threads are. ``number`` comes back with the answer."""

    number: int


class Settle(NamedTuple):
    """Get ready for another job. ``number`` is the same on all ranks, and they check that with one another."""

    number: int


class Reply(NamedTuple):
    """What was asked for: go on, with this."""

    value: Any


class Act(NamedTuple):
    """All ranks have come to the meeting, and you came last."""


class Welcome(NamedTuple):
    """To a process that joins a rank.

    Attributes:
        rank: of the rank.
        started: as in :class:`Job`.
    """

    rank: int
    started: float


# -- from a rank


class Happened(NamedTuple):
    """An event; it is sent before the rank goes on."""

    event: Event


class Ask(NamedTuple):
    """A question of the body's to whoever runs the world; the rank waits for the reply."""

    message: Any


class Meet(NamedTuple):
    """Here, and waiting for the others."""


class Acted(NamedTuple):
    """The meeting's action is over."""


class Stopping(NamedTuple):
    """About to stop.

    Attributes:
        seconds: when to be continued; ``inf`` for never.
        why: the fault.
        source: the line that it struck.
    """

    seconds: float
    why: str
    source: str


class Thread(NamedTuple):
    """What a thread of a rank does.

    Attributes:
        doing: ``runs``; ``sleeps`` by injection; is ``outside``, in a system call that something outside or a timer may end; ``meets``, to
            form a process group, which goes on only when all ranks do; or ``waits``, in a collective or on a lock.
        what: what it waits for.
        source: the innermost line that says something to a reader.
        direct: whether it waits for other ranks, or by injection for nothing, and not for a thread of its own rank.
        switches: how often it was given the processor up to now; a thread that ran since has another count.
        among: ranks of the world in the group whose collective it waits in; none where that is not known.
    """

    doing: Doing
    what: str
    source: str
    direct: bool
    switches: tuple[int, ...]
    among: tuple[int, ...] = ()


class Answer(NamedTuple):
    """To :class:`Where`: the threads that the job runs on, its main thread first."""

    number: int
    threads: tuple[Thread, ...]


class Ended(NamedTuple):
    """The body is over.

    Attributes:
        outcome: ``returned`` or ``raised``.
        payload: the pickled value or exception; None if it cannot be pickled.
        record: the exception as data.
        at: seconds of the world's time.
        left: what of the body goes on.
    """

    outcome: Literal["returned", "raised"]
    payload: bytes | None
    record: ErrorRecord | None
    at: float
    left: tuple[str, ...] = ()


class Settled(NamedTuple):
    """Whether the rank can take a job; ``why`` not, in words, or "" if it can."""

    why: str


class Broken(NamedTuple):
    """The rank could not even begin the job; ``why`` in words."""

    why: str


def send(connection: Connection, message: Any) -> None:
    """Sends one message."""
    connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def receive(connection: Connection) -> Any:
    """Waits for one message.

    Raises:
        EOFError: the other side is gone.
    """
    try:
        return pickle.loads(connection.recv_bytes())
    except OSError as error:  # a reset connection, or an end in the middle of a frame
        raise EOFError(str(error)) from error
