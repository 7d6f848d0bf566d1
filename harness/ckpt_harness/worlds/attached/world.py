"""The world of ranks that exist already."""

from __future__ import annotations

import dataclasses
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ckpt_harness.errors import UsageError
from ckpt_harness.history import Event
from ckpt_harness.worlds.attached.company import Party, here, lost
from ckpt_harness.worlds.base import Faults, RankResult
from ckpt_harness.worlds.processes.crew import Terms
from ckpt_harness.worlds.processes.rank import WorldHere
from ckpt_harness.worlds.processes.world import Run, job_of, work_of


class AttachedWorld:
    """Runs bodies on ranks that a launcher started: torchrun, SLURM, torch elastic; on one host or several.

    Rank 0 makes it and runs it, inside :func:`ckpt_harness.worlds.attached.together`; the others serve. Each run has a fresh process group of the first
    ``size`` ranks, of gloo, or where there are GPUs of ``cpu:gloo,cuda:nccl``. Hangs are told from evidence, as in
    :class:`ckpt_harness.worlds.processes.ProcessWorld`: each rank has a thread that looks at the others of its own process, and what it sees travels on
    a connection of the harness's own. Once judged, ranks that hang are let go: an injected hang ends, and gloo's connections are cut, so that the
    same processes can run the next case. Nothing else could be done with them, since a launcher ends all ranks when one is lost.

    Args:
        size: number of ranks, up to those of the launcher.
        timeout: of each collective, in seconds.
        group: whether each rank finds an initialised process group of all ranks.
        external_limit: seconds to wait for a rank that neither ends nor is seen to hang before the outcome is "unknown".

    Raises:
        UsageError: for a value that cannot be used.

    Not modelled: the death of a rank, and a stop without end; these the launcher's job would not survive. A rank that hangs runs on while the judge
    looks, so timers of collectives may fire in it meanwhile; nothing that it says then counts. One that waits on a lock for ever cannot be let go:
    its thread is left where it is. While NCCL works, a rank that waits for the GPU computes, as far as can be seen, and is "unknown" after the limit,
    not "hung"; so is a wait on a lock beside threads of CUDA's, which might release it. Clocks of different hosts are compared before each case; where
    that errs by more than a message of the group takes, what happened on different hosts is put in the wrong order. ``monitored_barrier`` is not used:
    it would stand in the engine's way. What torch's flight recorder has of unfinished collectives is in the history of a case that hung. Each group
    leaves a few small keys in the launcher's store. The other limits of the process world hold here too.
    """

    def __init__(self, size: int, *, timeout: float = 20.0, group: bool = True, external_limit: float = 60.0) -> None:
        most = here().size
        if not isinstance(size, int) or not 1 <= size <= most:
            raise UsageError(f"size must be a number of ranks from 1 to {most}, as many as the launcher started, got {size!r}")
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
        """Calls ``body(*args)`` on every rank; see :class:`ckpt_harness.worlds.processes.ProcessWorld`, which takes the same.

        Args:
            body: a function of a module that all hosts have.
            args: its arguments.
            faults: consulted at every collective, by a copy on each rank.
            judge: called with the results before ranks that hang are let go. It may run another kind of world.
            hear: called with each event that a rank reports, as it happens.
            answer: called with a rank and what it asks for; gives the reply.

        Raises:
            UsageError: what should be sent to the ranks, or what they return, does not pickle; or the ranks are busy.
            HarnessError: a rank could not begin, or is lost.
        """
        job = dataclasses.replace(job_of(body, work_of(body, args, faults)), main=None)  # a launcher's ranks all run the same program
        with here().party(self._terms) as party:
            results = _Run(party, self._external_limit, hear, answer).results(dataclasses.replace(job, started=time.monotonic()))
            if hear is not None:
                _recall(party, results, hear)
            if judge is not None:
                judge(results)
        return results

    def meet(self, action: Callable[[], None]) -> None:
        """Called by a rank: waits until every rank is here; see :class:`ckpt_harness.worlds.base.World`."""
        WorldHere(self.size).meet(action)

    def __reduce__(self) -> tuple[Any, ...]:
        return WorldHere, (self.size,)


def check_shared(directory: Path) -> None:
    """Makes sure that all ranks of the launcher see what rank 0 stores in ``directory``.

    Raises:
        UsageError: some do not, or see another directory of that name.
    """
    with tempfile.NamedTemporaryFile(dir=directory, prefix="seen-by-") as token:
        results = AttachedWorld(here().size, group=False).run(_sees, token.name)
    blind = [f"rank {one.rank} on {one.value[1]}" for one in results if one.value is None or not one.value[0]]
    if blind:
        told = ", ".join(blind)
        raise UsageError(f"{told} cannot see {str(directory)!r}, where rank 0 judges what is stored; valid: TMPDIR in a directory that all hosts share")


def _sees(file: str) -> tuple[bool, str]:
    return Path(file).exists(), socket.gethostname()


class _Run(Run):
    """A run that cannot do without any of its ranks."""

    def _end(self, connection: Connection, result: RankResult) -> None:
        super()._end(connection, result)
        if result.outcome == "dead":
            raise lost(result.rank)


def _recall(party: Party, results: Sequence[RankResult], hear: Callable[[Event], None]) -> None:
    """Asks those that hang for what torch itself knows of it."""
    hung = {one.rank: one for one in results if one.outcome in ("hung", "unknown")}
    for rank, lines in party.recall(list(hung)).items():
        for line in lines:
            hear(Event(hung[rank].finished_at, rank, "recorder", detail=line))
