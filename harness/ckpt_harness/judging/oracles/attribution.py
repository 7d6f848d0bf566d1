"""The oracle about blame: which ranks and which errors a ``CheckpointException`` names."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.errors import quoted
from ckpt_harness.history import SOME_ERROR, ErrorRecord
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.oracles.base import judged
from ckpt_harness.judging.verdict import Judgement

_NO_ANSWER = ("hung", "dead", "unknown")
"""Outcomes that blame no rank: they are for ``bounded`` to judge."""


def attribution(evidence: Evidence) -> Iterator[Judgement]:
    """A CheckpointException on every live rank names exactly the failed ranks with the original errors, and nothing fails without a fault."""
    for expectation in evidence.forecast.expectations:
        if not expectation.exact or evidence.masked(expectation):
            continue
        reasons = []
        for rank, outcome in evidence.of(expectation).items():
            wrong = _misattributed_apart(expectation, rank, outcome) if expectation.apart else misattributed(expectation, outcome)
            if wrong:
                reasons.append(f"rank {rank}: {wrong}")
        yield judged("attribution", expectation, reasons)


def _misattributed_apart(expectation: Expectation, rank: int, outcome: Outcome) -> str:
    """As :func:`misattributed`, for ranks that learn nothing of each other: a failed rank owes its own error and no other."""
    own = expectation.failures.get(expectation.ranks.index(rank))
    if own is None:
        return misattributed(expectation, outcome) if expectation.ending is Ending.SUCCEEDS else ""
    if outcome.kind in _NO_ANSWER:
        return ""
    if outcome.error is not None and own in (SOME_ERROR, outcome.error):
        return ""
    return f"{outcome} instead of raising its own {own}"


def misattributed(expectation: Expectation, outcome: Outcome) -> str:
    """What is wrong with the error that one rank received.

    Args:
        expectation: what the operation had to lead to; SUCCEEDS or FAILS.
        outcome: how the operation ended on the rank.

    Returns:
        The difference in words, or "" if there is none. A rank that hangs is for ``bounded`` to judge.

    Example:
        >>> misattributed(Expectation("save[1]", (0, 1), Ending.FAILS), Outcome("returned"))
        'reported success'
    """
    if outcome.kind in _NO_ANSWER:
        return ""
    if expectation.ending is Ending.SUCCEEDS:
        return f"failed although no fault was injected that fails: {outcome}" if outcome.kind == "raised" else ""
    if outcome.kind == "returned":
        return "reported success"
    assert outcome.error is not None, "an outcome of kind 'raised' holds the error"
    if outcome.error.failures is None:
        return f"raised {outcome.error} instead of a CheckpointException"
    difference = _difference(expectation, outcome.error, set(outcome.error.failures))
    return f"CheckpointException does not match the plan: {difference}" if difference else ""


def _difference(expectation: Expectation, raised: ErrorRecord, blamed: set[int]) -> str:
    """How a ``CheckpointException`` differs from what was injected; "" if it does not."""
    injected = set(expectation.failures)
    fewer = expectation.maskable and blamed and blamed < injected  # the engine has made the other failures good
    if blamed != injected and not fewer:
        return f"it blames ranks {sorted(blamed)}; faults were injected on ranks {sorted(injected)}"
    assert raised.failures is not None, "the caller has looked"
    for rank in sorted(blamed):
        reported, owed = raised.failures[rank], expectation.failures[rank]
        if owed not in (SOME_ERROR, reported):
            return f"for rank {rank} it reports {reported}; injected was {owed}{_details(reported, owed)}"
    if raised.message:
        return f"its text does not mention every failed rank and error: {quoted(raised.message, 200)}"
    if expectation.step and raised.step != expectation.step and not expectation.lasting:
        return f"it reports protocol step {raised.step!r}; the fault was in step {expectation.step!r}"
    return ""


def _details(reported: ErrorRecord, injected: ErrorRecord) -> str:
    """Which attributes of two errors of one type differ."""
    if reported.type_name != injected.type_name:
        return ""
    names = [name for name in ("errno", "message", "args") if getattr(reported, name) != getattr(injected, name)]
    return f" (different {', '.join(names) or 'cause'})"
