"""What rank 0 and the others say to one another beside what :mod:`ckpt_harness.worlds.processes.messages` has."""

from __future__ import annotations

from typing import NamedTuple


class Recall(NamedTuple):
    """Say what your flight recorder has of the collectives that are not over."""


class Recalled(NamedTuple):
    """To :class:`Recall`: one line a collective."""

    lines: tuple[str, ...]


class Finish(NamedTuple):
    """There are no more cases. Exit with ``status`` once rank 0 has."""

    status: int


class Finishing(NamedTuple):
    """To :class:`Finish`: nothing will change that any more."""


class Ping(NamedTuple):
    """Say what time it is."""


class Pong(NamedTuple):
    """To :class:`Ping`: seconds of this host's monotonic clock."""

    at: float


class Gone(NamedTuple):
    """A rank says to itself: the other end of its connection is closed."""
