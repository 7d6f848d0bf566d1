"""Delays that make the collectives of two calls meet on real ranks, where they met on simulated ranks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.effects import Delay
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.history import History
from ckpt_harness.jobs.binding import BoundJob
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.judging.crossing import crossed

_SET_UP = "writer.set_up_storage_writer"
"""The last call of a rank ahead of the first collective of a save."""


def depends_on_order(bound: BoundJob, evidence: JobEvidence) -> bool:
    """Whether what comes of a job depends on which of several calls first gets to its collectives."""
    return any(len(calls) > 1 and _crossed(evidence, calls) for calls in _together(bound, evidence))


def delays(bound: BoundJob, evidence: JobEvidence) -> list[Struck]:
    """Returns the delays: an async save is late on each rank where another call came to its first collective before it.

    Where all ranks had the same order, and the calls met later, the async save is late on the last rank.

    Args:
        bound: the job.
        evidence: what was observed of it.
    """
    late: dict[tuple[str, int], Struck] = {}
    for calls in _together(bound, evidence):
        for first, second in itertools.combinations(calls, 2):
            if first.startswith("async_save") and _crossed(evidence, [first, second]):
                ranks = evidence.single[first].forecast.expectations[0].ranks
                behind = [rank for rank in ranks if _comes_second(evidence.single[first].history, rank, first, second)]
                for rank in behind if 0 < len(behind) < len(ranks) else ranks[-1:]:
                    late[first, rank] = _delay(first, rank)
    return list(late.values())


def _together(bound: BoundJob, evidence: JobEvidence) -> Iterator[Sequence[str]]:
    """The calls that were under way at once on one process group."""
    for cluster in bound.clusters:
        names = [bound.calls[index].call for index in cluster if bound.calls[index].call in evidence.single]
        for _, together in itertools.groupby(names, key=lambda name: id(evidence.single[name])):
            yield list(together)


def _crossed(evidence: JobEvidence, calls: Sequence[str]) -> bool:
    single = evidence.single[calls[0]]
    return crossed(single.history, single.forecast.expectations[0].ranks, calls)


def _comes_second(history: History, rank: int, first: str, second: str) -> bool:
    """Whether the first of two calls came to its first collective after the second did, on a rank."""
    collectives = [event for event in history.of_rank(rank) if event.kind == "enter" and event.site.startswith("pg.")]
    return [call for call in dict.fromkeys(event.operation for event in collectives) if call in (first, second)] == [second, first]


def _delay(save: str, rank: int) -> Struck:
    operation = OperationRef("async_save", int(save.partition("[")[2].rstrip("]")))
    return Struck(Fault(_SET_UP, (rank,), Delay(1.0), operation=operation), (rank,))
