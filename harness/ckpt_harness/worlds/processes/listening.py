"""Listens to the ranks of a run: what they report, and whether those that report nothing are observed to hang."""

from __future__ import annotations

import contextlib
import math
import pickle
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.history import Event
from ckpt_harness.worlds.base import RankResult, Wait
from ckpt_harness.worlds.fair_clock import FairClock
from ckpt_harness.worlds.interruption import only_waiting
from ckpt_harness.worlds.processes import messages
from ckpt_harness.worlds.processes.evidence import Evidence, Stopped
from ckpt_harness.worlds.processes.messages import (
    Act,
    Acted,
    Answer,
    Ask,
    Broken,
    Ended,
    Happened,
    Job,
    Meet,
    Note,
    Reply,
    Stopping,
    Thread,
    Where,
)
from ckpt_harness.worlds.processes.warm_ranks import Ranks

_QUIET = 0.04
"""Seconds without a message before ranks are asked where they are, and between two such looks."""
_SLOWEST = 0.3
"""Longest time between looks, in seconds, while ranks visibly make progress."""
_LONGEST = 20
"""A run takes at most this many times its limit for ranks that report nothing, however much its ranks report. So a rank that polls is given up."""
_TRIES = 20
"""Looks that may be interrupted by messages before a run is given up without a look."""
_ANSWER_LIMIT = 1.0
"""Seconds within which a rank should report where it is; a rank that takes longer is busy."""


class Run:
    """A call of a world's ``run``: listens to the ranks until they have ended or are observed to hang.

    Args:
        crew: the ranks.
        external_limit: see :class:`ckpt_harness.worlds.processes.ProcessWorld`.
        hear: called with each event that a rank reports.
        answer: called with the rank and the message of each request; returns the reply.

    Attributes:
        disturbed: whether a rank hung, died or was stopped.
    """

    def __init__(
        self,
        crew: Ranks,
        external_limit: float,
        hear: Callable[[Event], None] | None,
        answer: Callable[[int, Any], Any] | None,
    ) -> None:
        self._crew, self._limit, self._hear, self._answer = crew, external_limit, hear, answer
        self._open = {connection: rank for rank, connection in enumerate(crew.connections)}
        self._results: dict[int, RankResult] = {}
        self._stopped: dict[int, Stopped] = {}
        self._met: list[int] = []
        self._gone: set[int] = set()
        self._evidence = Evidence(crew.terms.size)
        self._looks = 0
        self._started = 0.0
        self.disturbed = False

    def results(self, job: Job) -> list[RankResult]:
        """Sends the job and listens until every rank has ended, or no rank makes progress any more."""
        self._started = job.started
        for rank in range(self._crew.terms.size):
            self._crew.send(rank, job)
        self._listen()
        self.disturbed = any(result.outcome not in ("returned", "raised") for result in self._results.values())
        return [self._results[rank] for rank in range(self._crew.terms.size)]

    def freeze(self) -> None:
        """Stops hung ranks (SIGSTOP), so that nothing changes while the judge looks at the storage."""
        for rank, result in self._results.items():
            if result.outcome in ("hung", "unknown"):
                self._signal(rank, signal.SIGSTOP)

    def _signal(self, rank: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._crew.signal(rank, number)

    # -- listening

    def _listen(self) -> None:
        clock = FairClock()
        started = heard = clock.now()
        pause = _QUIET
        while self._open:
            if clock.now() - started > _LONGEST * self._limit:
                self._give_up_where_ranks_are()
                return
            began = time.monotonic()
            observed = None if self._news(pause) else self._look()
            if observed is None:
                heard, pause = clock.now(), _QUIET
                self._evidence.forget()
                continue
            clock.tick(time.monotonic() - began)
            state = self._evidence.add(observed, self._stopped)
            if self._evidence.asleep():
                heard = clock.now()
            if state == "stuck" and self._let_go():
                self._evidence.forget()
                continue
            if state == "stuck" or clock.now() - heard > self._limit:
                self._give_up("hung" if state == "stuck" else "unknown")
                return
            pause = min(2 * pause, _SLOWEST) if state == "busy" else _QUIET

    def _let_go(self) -> bool:
        """If a rank has died, kills the ranks whose bodies have ended, as a launcher would. Ranks that wait for them see closed connections.

        It does not matter whether a body returned or raised: a body may catch the error and return.

        Returns:
            Whether any rank was killed.
        """
        if not any(result.outcome == "dead" for result in self._results.values()):
            return False
        over = {rank for rank, result in self._results.items() if result.outcome in ("returned", "raised")} | set(self._met)
        alive = over - self._gone
        for rank in alive:
            self._signal(rank, signal.SIGKILL)
        self._gone |= alive
        return bool(alive) and len(self._gone) < self._crew.terms.size

    def _news(self, seconds: float) -> bool:
        """Waits for a message, or for the moment to continue a stopped rank; returns whether either came."""
        due = min((stop.until for stop in self._stopped.values()), default=math.inf)
        with only_waiting():
            ready = wait(list(self._open), max(0.0, min(seconds, due - time.monotonic())))
        news = False
        for connection in ready:
            assert isinstance(connection, Connection)
            news = not isinstance(self._receive(connection), Answer) or news
        for rank in [rank for rank, stop in self._stopped.items() if stop.until <= time.monotonic()]:
            del self._stopped[rank]
            self._signal(rank, signal.SIGCONT)
            news = True
        return news

    def _look(self) -> dict[int, tuple[Thread, ...] | None] | None:
        """Asks every rank where its threads are; returns None if another message came meanwhile."""
        self._looks += 1
        held = {rank for rank in self._stopped if self._crew.stopped(rank)}
        found: dict[int, tuple[Thread, ...] | None] = dict.fromkeys(self._open.values())
        missing = {rank for rank in found if rank not in held}  # a rank that is about to stop may not be able to answer
        for rank in missing:
            self._crew.send(rank, Where(self._looks))
        deadline = time.monotonic() + _ANSWER_LIMIT
        while missing and time.monotonic() < deadline:
            for connection in wait(list(self._open), max(0.0, deadline - time.monotonic())):
                assert isinstance(connection, Connection)
                rank, message = self._open[connection], self._receive(connection)
                if not isinstance(message, Answer):
                    return None
                if message.number == self._looks:
                    found[rank] = message.threads
                    missing.discard(rank)
        for rank in missing:
            if self._crew.ended(rank):  # its socket may stay open in a process that it started
                self._end_of(rank)
                return None
            if self._crew.stopped(rank):  # by another process than this one
                self._stopped.setdefault(rank, Stopped("SIGSTOP", "an unknown line", math.inf))
        for rank in held:
            found[rank] = ()
        return found

    def _receive(self, connection: Connection) -> Any:
        """Receives a message of a rank; returns None if the rank is dead."""
        rank = self._open[connection]
        try:
            message = messages.receive(connection)
        except EOFError:
            message = None
            self._end_of(rank)
        else:
            self._take(rank, connection, message)
        return message

    def _take(self, rank: int, connection: Connection, message: Any) -> None:
        """Acts on a message of a rank. A mere :class:`Answer` is for :meth:`_look`."""
        if isinstance(message, Happened):
            if self._hear is not None:
                self._hear(message.event)
        elif isinstance(message, Ended):
            self._end(connection, _result(rank, message))
        elif isinstance(message, (Ask, Note)):
            self._pass_on(rank, message)
        elif isinstance(message, Stopping):
            self._stopped[rank] = Stopped(message.why, message.source, time.monotonic() + message.seconds)
        elif isinstance(message, Meet):
            self._met.append(rank)
            if len(self._met) == self._crew.terms.size:
                self._crew.send(rank, Act())
        elif isinstance(message, Acted):
            met, self._met = self._met, []
            for other in met:
                self._crew.send(other, Reply(None))
        elif isinstance(message, Broken):
            raise HarnessError(f"rank {rank} could not start: {message.why}")

    def _pass_on(self, rank: int, message: Ask | Note) -> None:
        """Passes a request or a report of the body on to the caller of the world's ``run``."""
        reply = None if self._answer is None else self._answer(rank, message.message)
        if isinstance(message, Ask):
            self._crew.send(rank, Reply(reply))

    # -- ends

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _end_of(self, rank: int) -> None:
        """A process has ended: it died, or :meth:`_let_go` killed it after its body had ended."""
        wait = self._evidence.wait(rank, self._crew.terms.size) if rank in self._gone else None
        self._end(self._crew.connections[rank], RankResult(rank, "hung" if rank in self._gone else "dead", wait=wait, finished_at=self._now()))

    def _end(self, connection: Connection, result: RankResult) -> None:
        del self._open[connection]
        self._stopped.pop(result.rank, None)
        self._results[result.rank] = result

    def _give_up_where_ranks_are(self) -> None:
        """Ends the run although ranks report this and that. Tries to find a moment in which they report nothing, to see where they are."""
        for _ in range(_TRIES):
            observed = self._look()
            if observed is not None:
                self._evidence.add(observed, self._stopped)
                break
        self._give_up("unknown")

    def _give_up(self, outcome: Literal["hung", "unknown"]) -> None:
        """Ends the run: no rank that is left makes progress, or none has answered for too long."""
        for connection, rank in list(self._open.items()):
            where = self._evidence.wait(rank, self._crew.terms.size) or Wait("an unknown wait", "an unknown line")
            self._end(connection, RankResult(rank, outcome, wait=where, finished_at=self._now()))


def _result(rank: int, ended: Ended) -> RankResult:
    """The result of a rank from its last message.

    Raises:
        UsageError: the value that the body returned cannot be pickled, or not be unpickled here.
    """
    value: Any = None
    try:
        value = pickle.loads(ended.payload) if ended.payload is not None else None
    except Exception as error:
        if ended.outcome == "returned":
            raise UsageError(f"the value that the body returned on rank {rank} cannot be unpickled: {error}") from error
    if ended.outcome == "raised":
        return RankResult(rank, "raised", error=value, record=ended.record, finished_at=ended.at, left=ended.left, left_open=ended.left_open)
    if ended.payload is None:
        raise UsageError(f"the value that the body returned on rank {rank} cannot be pickled, so it cannot be sent to this process")
    return RankResult(rank, "returned", value=value, finished_at=ended.at, left=ended.left, left_open=ended.left_open)
