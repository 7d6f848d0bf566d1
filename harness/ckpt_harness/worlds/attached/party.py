"""The ranks of a launcher that run a case together, seen from rank 0."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from ckpt_harness.errors import HarnessError
from ckpt_harness.worlds.attached import clocks
from ckpt_harness.worlds.attached.messages import Ping, Pong, Recall, Recalled
from ckpt_harness.worlds.processes import messages
from ckpt_harness.worlds.processes.messages import Form, Job, Settle, Settled
from ckpt_harness.worlds.processes.warm_ranks import Terms

SETTLE_LIMIT = 300.0
"""Seconds within which a rank must answer, join a group, or get ready for another case. Generous, since a busy host cannot be replaced."""


class Party:
    """The ranks of a case; an implementation of :class:`ckpt_harness.worlds.processes.warm_ranks.Ranks`.

    Args:
        terms: size and timeout of the process group.
        connections: the connections to the ranks, in rank order.
        elsewhere: the ranks that do not share the clock of rank 0.
    """

    def __init__(self, terms: Terms, connections: list[Connection], elsewhere: list[int]) -> None:
        self.terms, self.connections = terms, connections
        self._elsewhere = elsewhere
        self._ahead: dict[int, float] = {}

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank. The death of a rank is noticed when its messages are received, not here."""
        if isinstance(message, Job):
            message = dataclasses.replace(message, started=message.started + self._ahead.get(rank, 0.0))
        with contextlib.suppress(OSError):
            messages.send(self.connections[rank], message)

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Does nothing: the processes belong to the launcher, and may be on another host."""

    def stopped(self, rank: int) -> bool:
        """Returns False: this is unknown for a process that may be on another host."""
        return False

    def ended(self, rank: int) -> bool:
        """Returns False: the end of a process is noticed by its closed connection only."""
        return False

    def form(self, store: str) -> None:
        """Forms the process group, if the terms ask for a group, and compares clocks.

        Args:
            store: prefix of the group's keys in the launcher's store.
        """
        file = None if self.terms.timeout is None else store
        for rank in range(self.terms.size):
            self.send(rank, Form(rank, self.terms.size, file, self.terms.timeout or 0.0))
        self._gather(Settled)
        for rank in self._elsewhere:
            samples = [clocks.ask(functools.partial(self._time, rank), time.monotonic) for _ in range(clocks.SAMPLES)]
            self._ahead[rank] = clocks.offset(samples)

    def _time(self, rank: int) -> float:
        self.send(rank, Ping())
        pong: Pong = self._gather(Pong, [rank])[rank]
        return pong.at

    def settle(self) -> None:
        """Ends the case on all ranks, and waits for their acknowledgement."""
        for rank in range(self.terms.size):
            self.send(rank, Settle(0))
        self._gather(Settled)

    def recall(self, ranks: list[int]) -> dict[int, tuple[str, ...]]:
        """Returns the unfinished collectives in the flight recorders of some ranks: rank -> lines."""
        for rank in ranks:
            self.send(rank, Recall())
        return {rank: answer.lines for rank, answer in self._gather(Recalled, ranks).items()}

    def _gather(self, kind: type[Any], ranks: list[int] | None = None) -> dict[int, Any]:
        """Receives a message of a kind from each rank. Other messages belong to a finished case, and are dropped."""
        answers: dict[int, Any] = {}
        missing = {self.connections[rank]: rank for rank in (range(self.terms.size) if ranks is None else ranks)}
        deadline = time.monotonic() + SETTLE_LIMIT
        while missing:
            ready = wait(list(missing), max(0.0, deadline - time.monotonic()))
            if not ready:
                silent = ", ".join(map(str, sorted(missing.values())))
                raise Lost(f"ranks of the launcher did not answer for {SETTLE_LIMIT:g} s: {silent}")
            for connection in ready:
                assert isinstance(connection, Connection)
                message = received(missing[connection], connection)
                if isinstance(message, Settled) and message.why:
                    raise HarnessError(f"rank {missing[connection]} of the launcher: {message.why}")
                if isinstance(message, kind):
                    answers[missing.pop(connection)] = message
        return answers


class Lost(HarnessError):
    """A rank has ended, or does not answer. No case can run any more."""


def received(rank: int, connection: Connection) -> Any:
    """Receives a message of a rank.

    Raises:
        Lost: the rank has ended. The launcher then ends all ranks.
    """
    try:
        return messages.receive(connection)
    except EOFError:
        raise lost(rank) from None


def lost(rank: int) -> Lost:
    """Returns the error for a rank that has ended."""
    return Lost(f"rank {rank} of the launcher is lost: it has ended, or its host has failed; no case can run any more")
