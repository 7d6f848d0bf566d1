"""The attached world: ranks that a launcher started."""

from __future__ import annotations

import dataclasses
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.history import Event
from ckpt_harness.worlds.attached.party import Party, lost
from ckpt_harness.worlds.attached.serving import here
from ckpt_harness.worlds.base import Faults, RankResult
from ckpt_harness.worlds.processes.listening import Run
from ckpt_harness.worlds.processes.rank import WorldHere
from ckpt_harness.worlds.processes.warm_ranks import Terms
from ckpt_harness.worlds.processes.world import job_of, work_of


class AttachedWorld:
    """Runs bodies on ranks that a launcher (torchrun, SLURM, torch elastic) started, on one host or several.

    Rank 0 makes the world and runs it, inside :func:`ckpt_harness.worlds.attached.together`; the other ranks serve. Each run has a fresh process group
    of the first ``size`` ranks, with the backend gloo, or ``cpu:gloo,cuda:nccl`` if there are GPUs. Hangs are observed, as in
    :class:`ckpt_harness.worlds.processes.ProcessWorld`: a thread of each rank observes the other threads of its process, and reports over a connection
    that is separate from the process group. After the verdict, hung ranks are released, so that the same processes can run the next case:
    injected hangs end, and gloo's connections are closed. They cannot be killed instead, since a launcher ends all ranks when it loses any.

    Args:
        size: the number of ranks, at most that of the launcher.
        timeout: timeout of each collective, in seconds.
        group: whether each rank starts inside an initialised process group of all ranks.
        external_limit: seconds to wait for a rank that neither ends nor is observed to hang, before the outcome is "unknown".

    Raises:
        UsageError: an argument is invalid.

    Not modelled:
        - The death of a rank, and a stop without end: the launcher's job would not survive.
        - A frozen state for the judge: hung ranks run on while it looks, so timers of collectives may fire. Messages that they send then are ignored.
        - Release from a lock: a body that waits for a lock for ever is left behind on its thread.
        - Hangs on a GPU: while NCCL works, a rank that waits for the GPU looks as if it computes, so its outcome is "unknown" after the limit, not
          "hung". The same holds for a wait for a lock that a thread of CUDA might release.
        - Exact time across hosts: clocks are compared before each case. If the error exceeds the time of a message, events on different hosts are
          ordered wrongly.

    ``monitored_barrier`` is not used, since it would interfere with the engine. After a hang, the history contains the unfinished collectives in torch's
    flight recorder. Each group leaves a few small keys in the launcher's store. The limits of the world of processes apply here too.
    """

    def __init__(self, size: int, *, timeout: float = 20.0, group: bool = True, external_limit: float = 60.0) -> None:
        most = here().size
        if not isinstance(size, int) or not 1 <= size <= most:
            raise UsageError(f"size must be from 1 to {most}, the number of ranks that the launcher started, got {quoted(size)}")
        if timeout <= 0 or external_limit <= 0:
            raise UsageError(f"timeout and external_limit must be positive seconds, got {timeout!r} and {external_limit!r}")
        self.size = size
        self._terms = Terms(size, timeout if group else None)
        self._external_limit = external_limit

    def run(
        self,
        body: Callable[..., Any],
        *args: Any,
        faults: Faults | None = None,
        judge: Callable[[Sequence[RankResult]], None] | None = None,
        hear: Callable[[Event], None] | None = None,
        answer: Callable[[int, Any], Any] | None = None,
    ) -> Sequence[RankResult]:
        """Calls ``body(*args)`` on every rank, like :class:`ckpt_harness.worlds.processes.ProcessWorld`.

        Args:
            body: a function of a module that all hosts can import.
            args: the arguments of the body.
            faults: consulted before every collective; each rank has its own copy.
            judge: called with the results before hung ranks are released. It may run another kind of world.
            hear: called with each event that a rank reports, when it happens.
            answer: called with the rank and the message of each request of a body; returns the reply.

        Raises:
            UsageError: the body, an argument or a returned value cannot be pickled; or the ranks are busy.
            HarnessError: a rank could not start, or has ended.
        """
        job = dataclasses.replace(job_of(body, work_of(body, args, faults)), main=None)  # all ranks of a launcher run the same program
        with here().party(self._terms) as party:
            results = _Run(party, self._external_limit, hear, answer).results(dataclasses.replace(job, started=time.monotonic()))
            if hear is not None:
                _recall(party, results, hear)
            if judge is not None:
                judge(results)
        return results

    def meet(self, action: Callable[[], None]) -> None:
        """Waits until every rank has called this method; see :class:`ckpt_harness.worlds.base.World`."""
        WorldHere(self.size).meet(action)

    def __reduce__(self) -> tuple[Any, ...]:
        return WorldHere, (self.size,)


def check_shared(directory: Path) -> None:
    """Checks that all ranks of the launcher can see the files of rank 0 in ``directory``.

    Raises:
        UsageError: a rank cannot see them.
    """
    with tempfile.NamedTemporaryFile(dir=directory, prefix="seen-by-") as token:
        results = AttachedWorld(here().size, group=False).run(_sees, token.name)
    blind = [f"rank {result.rank} on {result.value[1]}" for result in results if result.value is None or not result.value[0]]
    if blind:
        shown = ", ".join(blind[:3]) + (f" and {len(blind) - 3} more" if len(blind) > 3 else "")
        raise UsageError(f"{shown} cannot see {quoted(str(directory))} of rank 0; valid: TMPDIR in a directory that all hosts share")


def _sees(file: str) -> tuple[bool, str]:
    return Path(file).exists(), socket.gethostname()


class _Run(Run):
    """A run in which no rank may die."""

    def _end(self, connection: Connection, result: RankResult) -> None:
        super()._end(connection, result)
        if result.outcome == "dead":
            raise lost(result.rank)


def _recall(party: Party, results: Sequence[RankResult], hear: Callable[[Event], None]) -> None:
    """Adds the unfinished collectives in torch's flight recorder on hung ranks to the history."""
    hung = {result.rank: result for result in results if result.outcome in ("hung", "unknown")}
    for rank, lines in party.recall(list(hung)).items():
        for line in lines:
            hear(Event(hung[rank].finished_at, rank, "recorder", detail=line))
