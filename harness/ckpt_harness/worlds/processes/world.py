"""The world of processes: N ranks as processes, with observed hangs and real deaths."""

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

from ckpt_harness.errors import HarnessError, UsageError, quoted
from ckpt_harness.history import Event
from ckpt_harness.worlds.base import Faults, RankResult, Wait
from ckpt_harness.worlds.fair_clock import FairClock
from ckpt_harness.worlds.processes import messages
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
from ckpt_harness.worlds.processes.warm_ranks import Crews, Ranks, Terms, shared

_QUIET = 0.04
"""Seconds without a message before ranks are asked where they are, and between two such looks."""
_SLOWEST = 0.3
"""Longest time between looks, in seconds, while ranks visibly make progress."""
_ANSWER_LIMIT = 1.0
"""Seconds within which a rank should report where it is; a rank that takes longer is busy."""


class ProcessWorld:
    """Runs ranks as processes. They are forked from a server that has loaded torch, and reused from run to run.

    Each rank is a member of a process group of all ranks (gloo, with a file store) and has a single torch thread.

    - *A rank ends.* When its body has returned or raised, the process stays alive until all bodies have ended, so that no closed connection informs
      the other ranks.
    - *A rank hangs.* A rank is hung if no rank of the world makes progress and the rank is in a collective, in a wait or stopped by SIGSTOP. This is
      observed within a second, regardless of the group's timeout.
    - *A rank dies.* Then ranks whose bodies have ended are killed, as a launcher would, before any rank is called hung. Their closed connections
      inform the ranks that wait for them.

    After a run in which a rank hung, died or was stopped, all ranks are replaced, since their process group is broken.

    Args:
        size: the number of ranks, at least 1.
        timeout: timeout of each collective, in seconds.
        group: whether each rank starts inside an initialised process group of all ranks.
        external_limit: seconds to wait for a rank that neither ends nor is observed to hang, before the outcome is "unknown". The time is counted
            from the last sign of progress; an injected delay counts as progress. Seconds in which ranks wait for a processor do not count.
        crews: the owner of the processes; by default, a single owner for the whole process.

    Raises:
        UsageError: an argument is invalid.

    Not modelled:
        - The network between hosts: ranks communicate over the loopback interface.
        - Backends other than gloo.
        - Hangs in which a thread polls, for example in waits with a short timeout: their outcome is "unknown", never "hung".
        - Timers of collectives that fire late: a hung rank is stopped while the judge looks.
        - The exact ranks that a collective waits for: the report lists the ranks that are not in the same collective.

    Differences from the simulated world: if a plan stalls a rank, the simulated world lets the timers of the other ranks fire in virtual time, and they
    raise; here no verdict waits for timers, and these ranks are hung. The simulated world also keeps ranks alive that failed because another rank
    died, so ranks that wait for them hang there; here they get a closed connection.
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
            raise UsageError(f"size must be a number of ranks from 1 to {_MOST}, got {quoted(size)}")
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
        """Calls ``body(*args)`` on every rank; see :class:`ckpt_harness.worlds.base.World`.

        Args:
            body: a function at module level. It is pickled, like all arguments.
            args: the arguments of the body.
            faults: consulted before every collective; each rank has its own copy.
            judge: called with the results while hung ranks still exist; they are stopped.
            hear: called with each event that a rank reports, when it happens.
            answer: called with the rank and the message of each request by :meth:`ckpt_harness.worlds.processes.rank.Rank.ask`; returns the reply.

        Raises:
            UsageError: the body, an argument or a returned value cannot be pickled.
            HarnessError: the ranks could not start, or the forkserver has ended.
        """
        job = job_of(body, work_of(body, args, faults))
        crews = shared() if self._crews is None else self._crews
        crew = crews.take(self._terms)
        try:
            run = Run(crew, self._external_limit, hear, answer)
            results = run.results(dataclasses.replace(job, started=time.monotonic()))
            if any(result.outcome == "dead" for result in results):
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
        """Waits until every rank has called this method; see :class:`ckpt_harness.worlds.base.World`."""
        from ckpt_harness.worlds.processes.rank import here

        here().meet(action)

    def __reduce__(self) -> tuple[Any, ...]:
        from ckpt_harness.worlds.processes.rank import WorldHere

        return WorldHere, (self.size,)


_MOST = 128
"""The largest number of ranks: the limit of a message to the forkserver, and more than a single machine runs well."""


def work_of(body: Callable[..., Any], args: tuple[Any, ...], faults: Faults | None) -> bytes:
    """Pickles the work of a rank.

    Raises:
        UsageError: the body or an argument cannot be pickled.
    """
    try:
        return pickle.dumps((body, args, faults), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        name = getattr(body, "__qualname__", repr(body))
        raise UsageError(f"body {quoted(name)} and its arguments must pickle to reach the ranks; use a function at module level: {error}") from error


def job_of(body: Callable[..., Any], work: bytes) -> Job:
    """Returns the message by which ranks run ``work``, with the environment and the working directory of this process.

    Raises:
        UsageError: the working directory no longer exists.
    """
    name = str(getattr(body, "__module__", None))
    file = getattr(sys.modules.get(name), "__file__", None)
    environment = {**os.environ, **ENVIRONMENT}
    try:
        directory = os.getcwd()  # noqa: PTH109  (sent as text)
    except FileNotFoundError as error:
        raise UsageError("the working directory of this process no longer exists, and ranks start in it") from error
    return Job(time.monotonic(), tuple(sys.path), file if name == "__main__" else None, (name, file), directory, environment, work)


class Run:
    """A call of a world's ``run``: listens to the ranks until they have ended or are observed to hang.

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
        heard, pause = clock.now(), _QUIET
        while self._open:
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
            raise HarnessError(f"rank {rank} could not start: {message.why}")

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

    def _give_up(self, outcome: Literal["hung", "unknown"]) -> None:
        for connection, rank in list(self._open.items()):
            where = self._evidence.wait(rank, self._crew.terms.size) or Wait("an unknown wait", "an unknown line")
            self._end(connection, RankResult(rank, outcome, wait=where, finished_at=self._now()))


def _result(rank: int, ended: Ended) -> RankResult:
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
