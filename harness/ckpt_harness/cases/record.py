"""The record of a case: plain data that crosses processes and is written as one JSON line."""

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
    """A case and its result, as plain data.

    Attributes:
        case: the case.
        verdict: the worst verdict that counts.
        expected: how the first operation had to end, in words.
        outcomes: how it ended on each rank, in words, in rank order.
        complaints: one line for each judgement that counts against the case.
        known: ids of the known findings that the case shows.
        covered: ids of the known findings that the case could have shown.
        seconds: real time that the case took.
        registers: register files whose findings were marked, beside the findings that ship with the harness.
        printed: what the engine printed in a case that counts against the run; "" for other cases.
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
    printed: str = ""

    def replay_line(self) -> str:
        """The shell line that runs the case again, and comes to the same verdict."""
        return self.case.replay_line(self.registers)

    @classmethod
    def of(cls, result: CaseResult, covered: set[str], seconds: float) -> Record:
        """Returns the record of a result.

        Args:
            result: the result.
            covered: ids of the known findings that the case could have shown.
            seconds: real time that the case took.
        """
        return cls(
            case=result.case,
            verdict=result.verdict,
            expected="; ".join(result.owed()),
            outcomes=tuple(_outcome(result, rank) for rank in range(result.case.ranks)),
            complaints=tuple(result.complaints()),
            known=result.known,
            covered=tuple(sorted(covered)),
            seconds=seconds,
            registers=result.registers,
            printed="" if result.verdict is Verdict.HOLDS else result.printed,
        )

    def to_json(self) -> dict[str, Any]:
        """Returns one line of a report, which can be read without the harness."""
        case = dataclasses.asdict(dataclasses.replace(self.case, plan=FaultPlan()))
        case["plan"] = str(self.case.plan)
        return {
            "schema": SCHEMA,
            "case": case,
            "verdict": self.verdict.name,
            "expected": self.expected,
            "outcomes": list(self.outcomes),
            "complaints": list(self.complaints),
            "known": list(self.known),
            "covered": list(self.covered),
            "seconds": self.seconds,
            "printed": self.printed,
            "replay": self.replay_line(),
        }


def _outcome(result: CaseResult, rank: int) -> str:
    """How the first operation ended on a rank, in words."""
    if rank in result.outcomes:
        return str(result.outcomes[rank])
    members = {member for expectation in result.expectations for member in expectation.ranks}
    return "no outcome" if rank in members else "takes no part"
