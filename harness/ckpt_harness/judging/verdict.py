"""Verdicts: how an oracle judges a case."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Verdict(enum.IntEnum):
    """How an oracle judges a case; the worst verdict wins. "Known" and "not claimed" are annotations, not verdicts.

    Example:
        >>> Verdict.worst([Verdict.HOLDS, Verdict.UNKNOWN]).name
        'UNKNOWN'
    """

    HOLDS = 0
    """The claim holds."""
    VACUOUS = 1
    """A planned fault never fired: the case shows nothing."""
    UNKNOWN = 2
    """The claim could not be checked."""
    VIOLATED = 3
    """The claim does not hold."""

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        """The worst of several verdicts; HOLDS if there are none."""
        return max(verdicts, default=Verdict.HOLDS)


@dataclass(frozen=True)
class Judgement:
    """What one oracle says.

    Attributes:
        oracle: the oracle's name.
        verdict: the verdict.
        reason: the evidence in one line; "" if the claim holds.
        operation: the operation that is judged, or "".
        ranks: the ranks whose operation is judged; empty for all ranks.
        known: id of the register's entry that describes this violation, or None.
        claimed: whether the engine claims what the oracle checks.
        reasons: each thing that is wrong, in full: ``reason`` quotes only as many as fit into a line.
    """

    oracle: str
    verdict: Verdict
    reason: str = ""
    operation: str = ""
    ranks: tuple[int, ...] = ()
    known: str | None = None
    claimed: bool = True
    reasons: tuple[str, ...] = ()

    def is_about(self, operation: str, ranks: Iterable[int]) -> bool:
        """Whether an operation of any of ``ranks`` is judged."""
        return operation == self.operation and (not self.ranks or not set(self.ranks).isdisjoint(ranks))

    @property
    def counts(self) -> Verdict:
        """The verdict as it counts for the run: a known finding and an unclaimed claim count as HOLDS."""
        return Verdict.HOLDS if self.known is not None or not self.claimed else self.verdict
