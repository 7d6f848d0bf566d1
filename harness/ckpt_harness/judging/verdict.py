"""Verdicts: what an oracle says of a case."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Verdict(enum.IntEnum):
    """The worst wins. "Known" and "not claimed" are annotations, not verdicts."""

    HOLDS = 0
    VACUOUS = 1
    UNKNOWN = 2
    VIOLATED = 3

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        """The worst of some verdicts; HOLDS if there are none."""
        return max(verdicts, default=Verdict.HOLDS)


@dataclass(frozen=True)
class Judgement:
    """What one oracle says.

    Attributes:
        oracle: its name.
        verdict: what it found.
        reason: the evidence, for everything but HOLDS.
        operation: the operation it is about, or "".
        ranks: the ranks whose operation it was; none where it is about all of them.
        known: id of the register's entry that describes this violation, or None.
        claimed: False where the engine does not claim what the oracle checks.
    """

    oracle: str
    verdict: Verdict
    reason: str = ""
    operation: str = ""
    ranks: tuple[int, ...] = ()
    known: str | None = None
    claimed: bool = True

    def is_about(self, operation: str, ranks: Iterable[int]) -> bool:
        """Whether it is about an operation of some ranks."""
        return operation == self.operation and (not self.ranks or not set(self.ranks).isdisjoint(ranks))

    @property
    def counts(self) -> Verdict:
        """The verdict as the run's result sees it: a known finding and an unclaimed oracle hold."""
        return Verdict.HOLDS if self.known is not None or not self.claimed else self.verdict
