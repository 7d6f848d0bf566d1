"""Whether simulated ranks and processes show the same results of the same cases, record by record.

The verdict, every complaint, the known findings, the expectation, and how each rank ended must agree, word for word, as long as no rank is lost.

A plan may take a rank out of a collective: the rank dies, hangs or stops, or the collective itself fails on it. Then its peers wait in vain, and worlds
differ in what ends the wait. On simulated ranks, the timers of collectives fire in virtual time, and the peers raise. Among processes, a verdict does
not wait for timers: the peers hang, or raise the error of a closed connection. Even then, the worlds must agree that no peer succeeded, which ranks died,
and what each ``CheckpointException`` said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import Record
from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects import Exit, Hang, Kill, NeverComplete, Stop
from ckpt_harness.faults.plan import FaultPlan, check_simulable

_LOST = (Hang, Kill, Stop, Exit, NeverComplete)


class Difference(NamedTuple):
    """A case that the worlds do not agree on.

    Attributes:
        simulated: its record on simulated ranks.
        real: its record on processes.
        what: the names of what differs, such as ``verdict`` or ``rank 1``.
    """

    simulated: Record
    real: Record
    what: tuple[str, ...]


def simulated_twins(cases: Iterable[Case]) -> list[Case]:
    """The cases that simulated ranks can run, in world ``simulated``.

    Args:
        cases: cases of any world.
    """
    return [replace(case, world="simulated") for case in cases if _simulable(case.plan)]


def _simulable(plan: FaultPlan) -> bool:
    try:
        check_simulable(plan)
    except PlanError:
        return False
    return True


def comparable(record: Record) -> dict[str, object]:
    """What must be equal in every world: name -> value.

    Args:
        record: of a case in one of the worlds.
    """
    loses_a_rank = any(isinstance(fault.effect, _LOST) or fault.at.side == "pg" for fault in record.case.plan)
    shown: dict[str, object] = {
        "verdict": record.verdict,
        "complaints": len(record.complaints),
        "known": record.known,
        "owed": record.expected,
    }
    for rank, outcome in enumerate(record.outcomes):
        shown[f"rank {rank}"] = _without_what_ends_a_wait(outcome) if loses_a_rank else outcome
    return shown


def _without_what_ends_a_wait(outcome: str) -> str:
    kind, _, rest = outcome.partition(" ")
    return "waits in vain" if kind in ("hung", "raised") and not rest.startswith("CheckpointException") else outcome


def differing(record: Record, other: Record) -> tuple[str, ...]:
    """The names of what two records of a case show differently; empty if they agree.

    Args:
        record: of the case in one world.
        other: of the case in another world.
    """
    first, second = comparable(record), comparable(other)
    return tuple(name for name in first if first[name] != second.get(name))


def differences(records: Sequence[Record]) -> tuple[int, list[Difference]]:
    """Compares the records of simulated ranks with the records of processes.

    Args:
        records: of cases in either world, in any order.

    Returns:
        The number of cases that ran in both worlds, and the cases that differ, in the order of ``records``.
    """
    of_processes = {replace(record.case, world="simulated"): record for record in records if record.case.world == "processes"}
    compared = 0
    found = []
    for record in records:
        if record.case.world == "simulated" and record.case in of_processes:
            compared += 1
            real = of_processes[record.case]
            what = differing(record, real)
            if what:
                found.append(Difference(record, real, what))
    return compared, found
