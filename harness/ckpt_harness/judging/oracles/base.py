"""How the oracles write down what is wrong: one judgement from a list of reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ckpt_harness.errors import cut
from ckpt_harness.judging.evidence import Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Expectation
from ckpt_harness.judging.verdict import Judgement, Verdict

LONGEST = 190
"""Characters of a reason: with the oracle's name before it, a line of a report stays readable. The report shows every outcome in full."""


_SHOWN = 3
"""Differences that a line of a report quotes of one load."""


@dataclass(frozen=True)
class Differences:
    """What came back wrong from one load, or on one rank. A line of a report quotes the first of them; an entry of the register looks at each.

    Attributes:
        where: such as ``loaded on 2 rank(s)``; "" if the differences say it themselves.
        each: the differences.

    Example:
        >>> print(Differences("rank 1", ("a: NaN", "b: NaN", "c: NaN", "d: NaN")))
        rank 1: a: NaN; b: NaN; c: NaN
    """

    where: str
    each: tuple[str, ...]

    def __str__(self) -> str:
        return self._at(self.where, "; ".join(self.each[:_SHOWN]))

    def one_by_one(self) -> list[str]:
        """Each difference, with the place where it was seen."""
        return [self._at(self.where, difference) for difference in self.each]

    @staticmethod
    def _at(where: str, text: str) -> str:
        return f"{where}: {text}" if where else text


Reason = str | Differences
"""What is wrong: one thing in words, or several differences in one place."""


def answers_of(oracle: str, answers: Iterable[Judgement]) -> Iterator[Judgement]:
    """What an oracle says, judgement by judgement. If it breaks, what it said before counts, and UNKNOWN follows, which is no pass.

    Args:
        oracle: the oracle's name.
        answers: what it says.

    Example:
        >>> def purity():
        ...     yield Judgement("purity", Verdict.VIOLATED)
        ...     raise KeyError("a")
        >>> [(answer.verdict.name, answer.reason) for answer in answers_of("purity", purity())]
        [('VIOLATED', ''), ('UNKNOWN', "the oracle crashed: KeyError: 'a'")]
    """
    try:
        yield from answers
    except Exception as error:  # noqa: BLE001  (whatever breaks in an oracle, the result is no pass)
        yield Judgement(oracle, Verdict.UNKNOWN, one_line([f"the oracle crashed: {type(error).__name__}: {error}"]))


def judged(oracle: str, expectation: Expectation, reasons: Iterable[Reason], verdict: Verdict = Verdict.VIOLATED) -> Judgement:
    """What an oracle says of an operation: ``verdict`` if there is any reason, else HOLDS.

    Args:
        oracle: name of the oracle.
        expectation: what the operation had to lead to.
        reasons: what is wrong.
        verdict: the verdict if there is any reason.

    Example:
        >>> from ckpt_harness.judging.expectation import Ending
        >>> owed = Expectation("save[1]", (0, 1), Ending.SUCCEEDS)
        >>> judged("bounded", owed, ["rank 1 hung"]).verdict.name
        'VIOLATED'
    """
    return _judgement(oracle, list(reasons), verdict, expectation.operation, expectation.ranks)


def judged_place(oracle: str, operation: str, storage: StorageEvidence, reasons: Iterable[Reason]) -> Judgement:
    """What an oracle says of what an operation left on storage: VIOLATED if there is any reason, else HOLDS.

    Args:
        oracle: name of the oracle.
        operation: such as ``save[1]``.
        storage: what the operation left.
        reasons: what is wrong.
    """
    return _judgement(oracle, list(reasons), Verdict.VIOLATED, operation, storage.ranks)


def _judgement(oracle: str, reasons: Sequence[Reason], verdict: Verdict, operation: str, ranks: tuple[int, ...]) -> Judgement:
    each: list[str] = []
    for reason in reasons:
        each += [reason] if isinstance(reason, str) else reason.one_by_one()
    return Judgement(oracle, verdict if reasons else Verdict.HOLDS, one_line(map(str, reasons)), operation, ranks, reasons=tuple(each))


def one_line(reasons: Iterable[str]) -> str:
    """The reasons that fit into :data:`LONGEST` characters, joined, and the number of the others.

    Example:
        >>> one_line(["rank 0 hung", "rank 1 raised KeyError('x')"])
        "rank 0 hung; rank 1 raised KeyError('x')"
        >>> len(one_line(["x" * 500])) <= LONGEST
        True
    """
    lines = [" ".join(reason.split()) for reason in reasons]
    text = "; ".join(lines)
    if len(text) <= LONGEST:
        return text
    if len(lines) == 1:
        return cut(text, LONGEST)
    shown: list[str] = []
    room = LONGEST - len("; and 1000 more")
    for line in lines:
        if shown and len("; ".join([*shown, line])) > room:
            break
        shown.append(cut(line, room))
    rest = len(lines) - len(shown)
    return "; ".join(shown) + (f"; and {rest} more" if rest else "")


def listed(outcomes: Mapping[int, Outcome]) -> list[str]:
    """How each rank ended, in words.

    Example:
        >>> listed({1: Outcome("returned"), 0: Outcome("dead")})
        ['rank 0 dead', 'rank 1 returned']
    """
    return [f"rank {rank} {outcome}" for rank, outcome in sorted(outcomes.items())]
