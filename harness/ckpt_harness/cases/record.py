"""What is kept of a case: plain data that crosses processes and is written as one JSON line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

SCHEMA = 1
"""Version of the JSON lines; a reader refuses others."""


@dataclass(frozen=True)
class Record:
    """A case and what came of it.

    Attributes:
        case: the case.
        verdict: the worst that counts.
        expected: how the operation had to end, in words.
        outcomes: how it ended on each rank, in rank order, in words.
        complaints: one line for each judgement that counts against the case.
        known: ids of the findings that it showed.
        covered: ids of the findings that it could have shown.
        seconds: real time that it took.
        registers: register files whose findings were marked, beside the findings that ship with the harness.
    """

    case: Case
    verdict: Verdict
    expected: str
    outcomes: tuple[str, ...]
    complaints: tuple[str, ...]
    known: tuple[str, ...]
    covered: tuple[str, ...]
    seconds: float
    registers: tuple[str, ...] = ()

    def replay_line(self) -> str:
        """The shell line that runs the case again, and comes to the same verdict."""
        return self.case.replay_line(self.registers)

    @classmethod
    def of(cls, result: CaseResult, covered: set[str], seconds: float) -> Record:
        """What is kept of ``result``."""
        part = {rank for one in result.expectations for rank in one.ranks}
        return cls(
            case=result.case,
            verdict=result.verdict,
            expected="; ".join(result.owed()),
            outcomes=tuple(str(result.outcomes.get(rank, "no outcome" if rank in part else "takes no part")) for rank in range(result.case.ranks)),
            complaints=tuple(result.complaints()),
            known=result.known,
            covered=tuple(sorted(covered)),
            seconds=seconds,
            registers=result.registers,
        )

    def to_json(self) -> dict[str, Any]:
        """One line of a report, readable without the harness."""
        case = dataclasses.asdict(dataclasses.replace(self.case, plan=FaultPlan()))
        rest = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in ("case", "verdict", "registers")}
        return {
            "schema": SCHEMA,
            "case": {**case, "plan": str(self.case.plan)},
            "verdict": self.verdict.name,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in rest.items()},
            "replay": self.replay_line(),
        }
