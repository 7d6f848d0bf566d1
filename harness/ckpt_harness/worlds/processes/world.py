"""N ranks as processes, their hangs seen from evidence, their deaths real."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.history import Event
from ckpt_harness.worlds.base import Faults, RankResult, Wait
from ckpt_harness.worlds.processes import messages
from ckpt_harness.worlds.processes.crew import Crews, Ranks, Terms, shared
from ckpt_harness.worlds.processes.evidence import Evidence, Stopped
from ckpt_harness.worlds.processes.forkserver import ENVIRONMENT
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
    Reply,
    Stopping,
    Thread,
    Where,
)

_QUIET = 0.04
"""Seconds without news before ranks are asked where they are, and between two such looks."""
_SLOWEST = 0.3
"""Most seconds between looks while something visibly goes on."""
_ANSWER_LIMIT = 1.0
"""Seconds that a rank has to say where it is; one that takes longer is busy."""


class ProcessWorld:
    """Runs ranks as processes, forked from a server that has torch loaded, and kept warm from one run to the next.

    Each rank is in a process group of all ranks (gloo, meeting at a file), with one torch thread. A rank whose body has ended, by returning or
    raising, stays alive until all have: its peers are not told by a closed connection. A rank is hung when no rank of the world makes progress
    and it sits in a collective, in a wait or in SIGSTOP; this shows within a second, whatever the group's timeout. Where a rank has died, though,
    those whose part is over are ended before anybody is called hung, as under a launcher, and the closed connections tell the rest. After
    a run in which a rank hung, died or was stopped, all ranks are replaced: what is left of their group is of no use.

    Args:
        size: number of ranks, at least 1.
        timeout: of each collective, in seconds.
        group: whether each rank finds an initialised process group of all ranks.
        external_limit: seconds to wait for a rank that neither ends nor is seen to hang before the outcome is "unknown". It runs from the last
            sign of life; a delay by injection is one.
        crews: who keeps the ranks; by default one owner for the whole process.

    Raises:
        UsageError: for a value that cannot be used.

    Not modelled: the network between hosts (ranks talk over the loopback interface); other backends than gloo; a hang of which a thread that keeps
    polling is part, as with a wait in slices of time, is "unknown", never "hung"; a rank that hangs is stopped while the judge looks, so timers
    of collectives no longer fire in it; for whom a rank waits is told from who is not in the same collective. Where a plan stalls a rank, the
    simulated world lets the timers of its peers fire in virtual time, and they raise; here verdicts do not wait for timers, and they are hung.
    It also keeps ranks that failed because of a death, so that who waits for one of them is hung there, and told by its connection here.
    """

    def __init__(
        self,
        size: int,
        *,
        timeout: float = 20.0,
        group: bool = True,
        external_limit: float = 60.0,
        crews: Crews | None = None,
    ) -> None:
        if not isinstance(size, int) or not 1 <= size <= _MOST:
            raise UsageError(f"size must be a number of ranks from 1 to {_MOST}, got {size!r}")
        if timeout <= 0 or external_limit <= 0:
            raise UsageError(f"timeout and external_limit must be positive seconds, got {timeout!r} and {external_limit!r}")
        self.size = size
        self._terms = Terms(size, timeout if group else None)
        self._external_limit = external_limit
        self._crews = crews

    def run(
        self,
        body: Callable[..., Any],
        *args: Any,
        faults: Faults | None = None,
        judge: Callable[[Sequence[RankResult]], None] | None = None,
        hear: Callable[[Event], None] | None = None,
        answer: Callable[[int, Any], Any] | None = None,
    ) -> Sequence[RankResult]:
        """Calls ``body(*args)`` on every rank; see :class:`ckpt_harness.worlds.base.World`. All that is passed to ranks must pickle.

        Args:
            body: a function of a module.
            args: its arguments.
            faults: consulted at every collective, by a copy on each rank.
            judge: called with the results while hung ranks are still there, stopped.
            hear: called with each event that a rank reports, as it happens.
            answer: called with a rank and what it asks for (:meth:`ckpt_harness.worlds.processes.rank.Rank.ask`); gives the reply.

        Raises:
            UsageError: what should be sent to the ranks, or what they return, does not pickle.
            HarnessError: the ranks could not begin, or the forkserver is lost.
        """
        job = job_of(body, work_of(body, args, faults))
        crews = shared() if self._crews is None else self._crews
        crew = crews.take(self._terms)
        try:
            run = Run(crew, self._external_limit, hear, answer)
            results = run.results(dataclasses.replace(job, started=time.monotonic()))
            if any(one.outcome == "dead" for one in results):
                crew.server.check()
            if judge is not None:
                run.freeze()
                judge(results)
        except BaseException:
            crews.discard(crew)
            raise
        crews.give_back(crew, reusable=not run.disturbed)
        return results

    def meet(self, action: Callable[[], None]) -> None:
        """Called by a rank: waits until every rank is here; see :class:`ckpt_harness.worlds.base.World`."""
        from ckpt_harness.worlds.processes.rank import here

        here().meet(action)

    def __reduce__(self) -> tuple[Any, ...]:
        from ckpt_harness.worlds.processes.rank import WorldHere

        return WorldHere, (self.size,)


_MOST = 128
"""Ranks of a world: what one message to the forkserver can carry, and more than one machine runs well."""


def work_of(body: Callable[..., Any], args: tuple[Any, ...], faults: Faults | None) -> bytes:
    """What a rank is to do, as it is sent.

    Raises:
        UsageError: it does not pickle.
    """
    try:
        return pickle.dumps((body, args, faults), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        name = getattr(body, "__qualname__", repr(body))
        raise UsageError(f"body {name!r} and its arguments must pickle, as functions of a module do, to reach other processes: {error}") from error


def job_of(body: Callable[..., Any], work: bytes) -> Job:
    """The message that has ranks do ``work``, where this process does its own.

    Raises:
        UsageError: it has no working directory any more.
    """
    name = str(getattr(body, "__module__", None))
    file = getattr(sys.modules.get(name), "__file__", None)
    environment = {**os.environ, **ENVIRONMENT}
    try:
        directory = os.getcwd()  # noqa: PTH109  (sent as text)
    except FileNotFoundError as error:
        raise UsageError("the working directory of this process is gone, so ranks cannot share it") from error
    return Job(time.monotonic(), tuple(sys.path), file if name == "__main__" else None, (name, file), directory, environment, work)


class Run:
    """One call of a world's ``run``: listens to its ranks until they have ended, or are seen to hang.

    Attributes:
        disturbed: whether a rank did not end by itself.
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
        """Sends the job, and listens until every rank has ended or nothing goes on."""
        self._started = job.started
        for rank in range(self._crew.terms.size):
            self._crew.send(rank, job)
        self._listen()
        self.disturbed = any(one.outcome not in ("returned", "raised") for one in self._results.values())
        return [self._results[rank] for rank in range(self._crew.terms.size)]

    def freeze(self) -> None:
        """Stops the ranks that hang, so that they stay as they are while somebody looks at what they left."""
        for rank, result in self._results.items():
            if result.outcome in ("hung", "unknown"):
                self._signal(rank, signal.SIGSTOP)

    def _signal(self, rank: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._crew.signal(rank, number)

    # -- listening

    def _listen(self) -> None:
        heard, pause = time.monotonic(), _QUIET
        while self._open:
            found = None if self._news(pause) else self._look()
            now = time.monotonic()
            if found is None:
                heard, pause = now, _QUIET
                self._evidence.forget()
                continue
            state = self._evidence.add(found, self._stopped)
            if self._evidence.asleep():
                heard = now
            if state == "stuck" and self._let_go():
                self._evidence.forget()
                continue
            if state == "stuck" or now - heard > self._limit:
                self._give_up("hung" if state == "stuck" else "unknown")
                return
            pause = min(2 * pause, _SLOWEST) if state == "busy" else _QUIET

    def _let_go(self) -> bool:
        """Where a rank has died, ends those whose part is over, as a launcher would: whoever waits for them is told by its connection.

        How their bodies ended does not matter: one may catch the error that it was told, and return.

        Returns:
            Whether there was one to end.
        """
        if not any(one.outcome == "dead" for one in self._results.values()):
            return False
        over = {rank for rank, one in self._results.items() if one.outcome in ("returned", "raised")} | set(self._met)
        going = over - self._gone
        for rank in going:
            self._signal(rank, signal.SIGKILL)
        self._gone |= going
        return bool(going) and len(self._gone) < self._crew.terms.size

    def _news(self, seconds: float) -> bool:
        """Waits for a message, or for the moment to continue a stopped rank; True if there was one."""
        due = min((one.until for one in self._stopped.values()), default=math.inf)
        ready = wait(list(self._open), max(0.0, min(seconds, due - time.monotonic())))
        news = False
        for connection in ready:
            assert isinstance(connection, Connection)
            news = not isinstance(self._receive(connection), Answer) or news
        for rank in [rank for rank, one in self._stopped.items() if one.until <= time.monotonic()]:
            del self._stopped[rank]
            self._signal(rank, signal.SIGCONT)
            news = True
        return news

    def _look(self) -> dict[int, tuple[Thread, ...] | None] | None:
        """Asks every rank where it is; None if there was news meanwhile."""
        self._looks += 1
        held = {rank for rank in self._stopped if self._crew.stopped(rank)}
        found: dict[int, tuple[Thread, ...] | None] = dict.fromkeys(self._open.values())
        missing = {rank for rank in found if rank not in held}  # one that is about to be stopped may not get to answer
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
            if self._crew.ended(rank):  # a process that it started has its socket, and keeps it open
                self._end_of(rank)
                return None
            if self._crew.stopped(rank):  # by somebody else, and as good as by us
                self._stopped.setdefault(rank, Stopped("SIGSTOP", "a line that is not known", math.inf))
        for rank in held:
            found[rank] = ()
        return found

    def _receive(self, connection: Connection) -> Any:
        """Takes one message of a rank; None if it is dead."""
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
        if isinstance(message, Happened):
            if self._hear is not None:
                self._hear(message.event)
        elif isinstance(message, Ended):
            self._end(connection, _result(rank, message))
        elif isinstance(message, Ask):
            self._crew.send(rank, Reply(None if self._answer is None else self._answer(rank, message.message)))
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
            raise HarnessError(f"rank {rank} could not begin: {message.why}")

    # -- ends

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _end_of(self, rank: int) -> None:
        """A process has ended: of itself, or by our doing after its part was over."""
        wait = self._evidence.wait(rank, self._crew.terms.size) if rank in self._gone else None
        self._end(self._crew.connections[rank], RankResult(rank, "hung" if rank in self._gone else "dead", wait=wait, finished_at=self._now()))

    def _end(self, connection: Connection, result: RankResult) -> None:
        del self._open[connection]
        self._stopped.pop(result.rank, None)
        self._results[result.rank] = result

    def _give_up(self, outcome: Literal["hung", "unknown"]) -> None:
        for connection, rank in list(self._open.items()):
            where = self._evidence.wait(rank, self._crew.terms.size) or Wait("nothing that shows", "a line that is not known")
            self._end(connection, RankResult(rank, outcome, wait=where, finished_at=self._now()))


def _result(rank: int, ended: Ended) -> RankResult:
    value: Any = None
    try:
        value = pickle.loads(ended.payload) if ended.payload is not None else None
    except Exception as error:
        if ended.outcome == "returned":
            raise UsageError(f"what the body returned on rank {rank} cannot be unpickled: {error}") from error
    if ended.outcome == "raised":
        return RankResult(rank, "raised", error=value, record=ended.record, finished_at=ended.at, left=ended.left)
    if ended.payload is None:
        raise UsageError(f"what the body returned on rank {rank} cannot be pickled, so it cannot reach this process")
    return RankResult(rank, "returned", value=value, finished_at=ended.at, left=ended.left)
