"""The world of processes: N ranks as processes, with observed hangs and real deaths."""

from __future__ import annotations

import dataclasses
import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.history import Event
from ckpt_harness.worlds.base import Faults, RankResult
from ckpt_harness.worlds.processes.forkserver import ENVIRONMENT
from ckpt_harness.worlds.processes.listening import Run
from ckpt_harness.worlds.processes.messages import Job
from ckpt_harness.worlds.processes.warm_ranks import Crews, Terms, shared


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
            from the last sign of progress; an injected delay counts as progress. Seconds in which ranks wait for a processor do not count. A run
            takes at most twenty times this limit, however much its ranks report.
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
