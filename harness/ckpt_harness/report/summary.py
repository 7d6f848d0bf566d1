"""The sum of a campaign: verdicts counted, cells covered, findings gathered, and the exit status."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ckpt_harness.campaigns.fault_space import Cell, Coverage
from ckpt_harness.cases.record import Record
from ckpt_harness.faults.effects import FailFuture, Raise
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict

_PLAIN = (Raise(), FailFuture())
"""Effects of plain errors."""

EXIT = {Verdict.HOLDS: 0, Verdict.VIOLATED: 1, Verdict.VACUOUS: 3, Verdict.UNKNOWN: 3}
"""Exit status by the worst verdict; 2 is for usage errors."""


class Square(NamedTuple):
    """A square of the matrix.

    Attributes:
        operation: the kind of operation.
        site: where the fault was.
        ranks: size of the world.
        rank: the rank that the fault struck.
        plain: True for a plain error, False for all other errors and effects.
    """

    operation: OperationKind
    site: str
    ranks: int
    rank: int
    plain: bool


@dataclass
class Summary:
    """Everything that a report shows of a campaign.

    Attributes:
        register: the known findings.
        coverage: the fault space; None where the campaign did not discover one.
        records: all records, in the order in which they came.
        squares: square -> how many cases of each verdict have their first fault there, over all occurrences and coordinators.
        known: finding id -> the records that showed the finding.
    """

    register: Register
    coverage: Coverage | None = None
    records: list[Record] = field(default_factory=list)
    squares: dict[Square, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    known: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    _covered: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """Adds the record of a case."""
        self.records.append(record)
        self._covered |= set(record.covered)
        for name in record.known:
            self.known[name].append(record)
        case = record.case
        mark = "KNOWN" if record.known and record.verdict is Verdict.HOLDS else record.verdict.name
        for fault in case.plan.faults[:1]:
            for rank in replace(case, plan=FaultPlan((fault,))).bind().plan.faults[0].ranks:
                plain = fault.effect in _PLAIN and not fault.after
                self.squares[Square(case.operation, fault.site, case.ranks, rank, plain)][mark] += 1
                if self.coverage is not None and record.verdict is not Verdict.VACUOUS:
                    self.coverage.hit.add((replace(case, plan=FaultPlan()), Cell(fault.site, rank, fault.nth)))

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many cases came to each verdict; known findings count as HOLDS."""
        return Counter(record.verdict for record in self.records)

    def bad(self) -> list[Record]:
        """The records that count against the run: the worst first, and among equals the simplest plan first."""
        return sorted((record for record in self.records if record.verdict is not Verdict.HOLDS), key=_simplicity)

    def gone(self) -> list[str]:
        """Findings that this run should have shown and did not. They may be fixed."""
        return sorted(self._covered - set(self.known))

    def exit_status(self) -> int:
        """The exit status of the command.

        Returns:
            0 if every claim holds or its violation is known; 1 if a claim is violated, or a finding that was recorded for the installed version did
            not show; 3 if a case never fired, or has no verdict.
        """
        worst = Verdict.worst(record.verdict for record in self.records)
        if worst is Verdict.VIOLATED or any(self.register.recorded_here(name) for name in self.gone()):
            return 1
        return EXIT[worst]


def _simplicity(record: Record) -> tuple[object, ...]:
    """Orders records by their cases alone: the order in which they came differs between runs with several workers."""
    case, plan = record.case, str(record.case.plan)
    return (-record.verdict, len(case.plan), case.ranks, case.coordinator, len(plan), plan, case.operation)


def distinct(records: Iterable[Record]) -> list[tuple[Record, int]]:
    """One record for each distinct way to go wrong: the same sites and the same oracles, whatever the effect and the rank.

    Args:
        records: in the order of preference.

    Returns:
        Pairs of a record and the number of records that went wrong in the same way.
    """
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        sites = tuple(fault.site for fault in record.case.plan)
        oracles = tuple(complaint.partition(":")[0] for complaint in record.complaints)
        groups.setdefault((record.case.operation, sites, oracles), []).append(record)
    return [(group[0], len(group)) for group in groups.values()]
