"""Messages between rank 0 and the other ranks, in addition to those of :mod:`ckpt_harness.worlds.processes.messages`."""

from __future__ import annotations

from typing import NamedTuple


class Recall(NamedTuple):
    """Report the unfinished collectives in torch's flight recorder."""


class Recalled(NamedTuple):
    """The answer to :class:`Recall`: a line for each collective."""

    lines: tuple[str, ...]


class Finish(NamedTuple):
    """There are no more cases. Exit with ``status`` after rank 0 has exited."""

    status: int


class Finishing(NamedTuple):
    """The answer to :class:`Finish`: this rank will exit with that status."""


class Ping(NamedTuple):
    """Report your time."""


class Pong(NamedTuple):
    """The answer to :class:`Ping`: this host's monotonic clock, in seconds."""

    at: float


class Gone(NamedTuple):
    """A rank sends this to itself when rank 0 has closed the connection."""
