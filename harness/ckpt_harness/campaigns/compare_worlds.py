"""Whether simulated ranks and processes show the same of the same cases, record by record.

What must agree: the verdict, every complaint, the known findings, what was owed, and how each rank ended: word for word, as long as no rank is lost.

Where a plan takes a rank out of a collective (it dies, hangs or stops, or the collective itself fails on it), its peers wait in vain, and worlds differ
in what ends that: in simulated ranks the timers of collectives fire in virtual time, and they raise; among processes a verdict does not wait for timers,
and they are hung, or told by a closed connection in the backend's own words. That either way nobody succeeded, who died, and what a
``CheckpointException`` said, must agree there too.
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
        real: and on processes.
        what: the names of what differs, such as ``verdict`` or ``rank 1``.
    """

    simulated: Record
    real: Record
    what: tuple[str, ...]


def simulated_twins(cases: Iterable[Case]) -> list[Case]:
    """Those of ``cases`` that simulated ranks can run, as they run them."""
    return [replace(case, world="simulated") for case in cases if _simulable(case.plan)]


def _simulable(plan: FaultPlan) -> bool:
    try:
        check_simulable(plan)
    except PlanError:
        return False
    return True


def shown(record: Record) -> dict[str, object]:
    """What of a record is the same in every world, by name."""
    lost = any(isinstance(fault.effect, _LOST) or fault.at.side == "pg" for fault in record.case.plan)
    endings = {f"rank {rank}": _in_vain(told) if lost else told for rank, told in enumerate(record.outcomes)}
    return {"verdict": record.verdict, "complaints": len(record.complaints), "known": record.known, "owed": record.expected, **endings}


def _in_vain(told: str) -> str:
    kind, _, rest = told.partition(" ")
    return "waits in vain" if kind in ("hung", "raised") and not rest.startswith("CheckpointException") else told


def differing(one: Record, other: Record) -> tuple[str, ...]:
    """The names of what two records of a case show differently; none, if they agree."""
    first, second = shown(one), shown(other)
    return tuple(name for name in first if first[name] != second.get(name))


def differences(records: Sequence[Record]) -> tuple[int, list[Difference]]:
    """Compares the records of simulated ranks with those of processes.

    Returns:
        How many cases ran in both, and those that differ, in the order of ``records``.
    """
    real = {replace(record.case, world="simulated"): record for record in records if record.case.world == "processes"}
    both = [(record, real[record.case]) for record in records if record.case.world == "simulated" and record.case in real]
    compared = (Difference(one, other, differing(one, other)) for one, other in both)
    return len(both), [difference for difference in compared if difference.what]
