"""The result of a case: how the operation had to end, how it ended, and the verdict; and all of that in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ckpt_harness.cases import printed
from ckpt_harness.cases.case import SETTINGS, Case
from ckpt_harness.errors import OracleViolation, without_middle
from ckpt_harness.history import History
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Expectation
from ckpt_harness.judging.verdict import Judgement, Verdict

_LONGEST = 1000
"""Characters of a line of an explanation: an error message may be a megabyte long."""


@dataclass(frozen=True)
class CaseResult:
    """The result of a case.

    Attributes:
        case: the case, settled.
        evidence: how each operation had to end, and what was observed.
        judgements: what each oracle says, with known findings marked.
        history: what happened on each rank, in order.
        registers: register files whose findings were marked, beside the findings that ship with the harness.
        printed: what the engine printed, if a command has caught it.
    """

    case: Case
    evidence: Evidence
    judgements: tuple[Judgement, ...]
    history: History
    registers: tuple[str, ...] = ()
    printed: str = ""

    def replay_line(self) -> str:
        """Returns the shell line that runs the case again, and comes to the same verdict."""
        return self.case.replay_line(self.registers)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict that counts: known findings and oracles that the engine does not claim count as HOLDS."""
        return Verdict.worst(judgement.counts for judgement in self.judgements)

    @property
    def known(self) -> tuple[str, ...]:
        """Ids of the known findings that this case shows, sorted."""
        return tuple(sorted({judgement.known for judgement in self.judgements if judgement.known is not None}))

    @property
    def expectation(self) -> Expectation:
        """How the first operation had to end, for the first group."""
        return self.evidence.forecast.expectations[0]

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """How the first operation had to end, group by group."""
        first = self.expectation.operation
        return tuple(expectation for expectation in self.evidence.forecast.expectations if expectation.operation == first)

    @property
    def outcomes(self) -> Mapping[int, Outcome]:
        """How the first operation ended: rank -> outcome, for the ranks that took part."""
        return self.evidence.outcomes.get(self.expectation.operation, {})

    def owed(self) -> list[str]:
        """Returns in words how each operation had to end, one line for each group. Ranks in ``failures`` are ranks within the group."""
        expectations = self.evidence.forecast.expectations
        name_operation = len({expectation.operation for expectation in expectations}) > 1
        name_ranks = len(self.expectations) > 1
        lines = []
        for expectation in expectations:
            operation = f"{expectation.operation}: " if name_operation else ""
            ranks = f"ranks {', '.join(map(str, expectation.ranks))}: " if name_ranks else ""
            lines.append(f"{operation}{ranks}{_in_words(expectation)}")
        return lines

    def endings(self, rank: int) -> list[str]:
        """Returns in words how each operation ended on a rank that took part."""
        lines = []
        for operation, outcomes in self.evidence.outcomes.items():
            prefix = f"{operation}: " if len(self.evidence.outcomes) > 1 else ""
            lines.append(f"{prefix}{outcomes.get(rank, 'no outcome')}")
        return lines

    def complaints(self) -> list[str]:
        """Returns one line for each judgement that counts against the case."""
        counting = [judgement for judgement in self.judgements if judgement.counts is not Verdict.HOLDS]
        return [f"{judgement.oracle} {judgement.verdict.name}: {judgement.reason}" for judgement in counting]

    def explain(self) -> str:
        """Returns what went wrong, how each operation had to end and how it ended on each rank; the last line replays the case."""
        lines = [f"{self.verdict.name}: {str(self.case.plan) or 'no fault at all'}", *self.complaints(), self._setting()]
        lines += [f"owed: {text}" for text in self.owed()]
        for expectation in self.expectations:
            for rank in expectation.ranks:
                lines += [f"rank {rank}: {text}" for text in self.endings(rank)]
        lines += printed.shown(self.printed)
        shown = [without_middle(line, _LONGEST) for line in lines]
        return "\n".join([*shown, self.replay_line()])

    def _setting(self) -> str:
        """The line of an explanation that describes the case without its plan."""
        case = self.case
        parts = [
            f"in {self.expectation.operation} on {case.ranks} rank(s)",
            f"coordinator {case.coordinator}",
            f"engine {case.engine}",
            f"workload {case.workload}",
        ]
        parts += [f"{name} {getattr(case, name)}" for name in ("world", *SETTINGS) if getattr(case, name) != getattr(Case, name)]
        return ", ".join([*parts, f"seed {case.seed}"])

    def check(self) -> None:
        """Insists that every claim holds, or that its violation is a known finding.

        Raises:
            OracleViolation: the message is :meth:`explain`.
        """
        __tracebackhide__ = True
        if self.verdict is not Verdict.HOLDS:
            raise OracleViolation(self.explain())


def _in_words(expectation: Expectation) -> str:
    text = expectation.ending.value
    if expectation.step:
        text += f" in {expectation.step!r}"
    if expectation.failures:
        named = ", ".join(f"rank {rank}: {error}" for rank, error in expectation.failures.items())
        text += f" naming {{{named}}}"
    return text
