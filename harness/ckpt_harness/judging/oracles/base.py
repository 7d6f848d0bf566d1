"""How the oracles write down what they found: one judgement from a list of reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckpt_harness.judging.evidence import Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Expectation
from ckpt_harness.judging.verdict import Judgement, Verdict

LONGEST = 190
"""Characters of a reason: with the oracle's name before it, a line of a report stays readable. The report shows every outcome in full."""


def judged(
    oracle: str, expectation: Expectation, reasons: Iterable[str], verdict: Verdict = Verdict.VIOLATED, each: Iterable[str] = ()
) -> Judgement:
    """What an oracle says of an operation: ``verdict`` if there is any reason, else HOLDS.

    Args:
        oracle: name of the oracle.
        expectation: what the operation had to lead to.
        reasons: what is wrong, as the line of a report is to quote it.
        verdict: the verdict if there is any reason.
        each: each thing that is wrong for itself, if a reason sums up several.

    Example:
        >>> from ckpt_harness.judging.expectation import Ending
        >>> owed = Expectation("save[1]", (0, 1), Ending.SUCCEEDS)
        >>> judged("bounded", owed, ["rank 1 hung"]).verdict.name
        'VIOLATED'
    """
    found = list(reasons)
    return Judgement(
        oracle,
        verdict if found else Verdict.HOLDS,
        one_line(found),
        expectation.operation,
        expectation.ranks,
        reasons=tuple(each) or tuple(found),
    )


def judged_place(oracle: str, operation: str, storage: StorageEvidence, reasons: Iterable[str], each: Iterable[str] = ()) -> Judgement:
    """What an oracle says of what an operation left on storage: VIOLATED if there is any reason, else HOLDS; arguments as of :func:`judged`."""
    found = list(reasons)
    return Judgement(
        oracle, Verdict.VIOLATED if found else Verdict.HOLDS, one_line(found), operation, storage.ranks, reasons=tuple(each) or tuple(found)
    )


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
    shown: list[str] = []
    room = LONGEST - len("; and 1000 more")
    for line in lines:
        if shown and len("; ".join([*shown, line])) > room:
            break
        shown.append(_cut(line, room))
    rest = len(lines) - len(shown)
    return "; ".join(shown) + (f"; and {rest} more" if rest else "")


def _cut(text: str, limit: int) -> str:
    """The text without its middle, if it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def listed(outcomes: Mapping[int, Outcome]) -> list[str]:
    """How each rank ended, in words.

    Example:
        >>> listed({1: Outcome("returned"), 0: Outcome("dead")})
        ['rank 0 dead', 'rank 1 returned']
    """
    return [f"rank {rank} {outcome}" for rank, outcome in sorted(outcomes.items())]
