"""Oracles about how the calls ended: in time, alike on all ranks, with every planned fault, and well again once the faults are healed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.oracles.base import judged, listed, one_line
from ckpt_harness.judging.verdict import Judgement, Verdict


def bounded(evidence: Evidence) -> Iterator[Judgement]:
    """Every rank returns promptly, without help from the group's timeout, unless the plan stalls a rank.

    UNKNOWN where the outcome of a rank is not known, or where a rank ended after the timeout in real seconds: it may only have been slow.
    """
    for expectation in evidence.forecast.expectations:
        outcomes = evidence.of(expectation)
        unknown = {rank: outcome for rank, outcome in outcomes.items() if outcome.kind == "unknown"}
        missing = [rank for rank in expectation.ranks if rank not in outcomes]
        if unknown or missing:
            reasons = _with_lost_errors(evidence, unknown) or [f"no outcome from ranks {missing}"]
            yield judged("bounded", expectation, reasons, Verdict.UNKNOWN)
        elif expectation.exact:
            yield _in_time(evidence, expectation, outcomes)


def _in_time(evidence: Evidence, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> Judgement:
    """Whether all ranks ended before the timeout. Where time is real, a rank that ended late is no evidence against the engine."""
    due = evidence.timeout + expectation.delayed
    lost = {rank: outcome for rank, outcome in outcomes.items() if outcome.kind in ("hung", "dead")}
    late = {rank: outcome for rank, outcome in outcomes.items() if outcome.finished_at >= due}
    if evidence.in_turns or lost:
        return judged("bounded", expectation, _with_lost_errors(evidence, {**lost, **late}))
    slow = [f"rank {rank} {outcome} after {outcome.finished_at:.0f} real seconds" for rank, outcome in sorted(late.items())]
    return judged("bounded", expectation, slow, Verdict.UNKNOWN)


def _with_lost_errors(evidence: Evidence, outcomes: Mapping[int, Outcome]) -> list[str]:
    """How each rank ended, in words, and the first error on the rank that reached nobody: it may be why the rank waits."""
    lost: dict[int, str] = {}
    for event in evidence.history:
        if event.kind in ("escaped", "lost"):
            lost.setdefault(event.rank, f"; error lost on {event.detail}")
    return [f"{text}{lost.get(rank, '')}" for rank, text in zip(sorted(outcomes), listed(outcomes), strict=True)]


def agreement(evidence: Evidence) -> Iterator[Judgement]:
    """All ranks fail or all ranks succeed, operation by operation; where a rank is lost, no other rank succeeds."""
    for expectation in evidence.forecast.expectations:
        if not expectation.agreement:
            continue
        live = {rank: outcome for rank, outcome in evidence.of(expectation).items() if outcome.kind not in ("dead", "unknown")}
        if expectation.ending is Ending.STALLS:
            returned = {rank: outcome for rank, outcome in live.items() if outcome.kind == "returned"}
            yield judged("agreement", expectation, [f"success although a rank was lost: {text}" for text in listed(returned)])
        else:
            differ = len({outcome.kind for outcome in live.values()}) > 1
            yield judged("agreement", expectation, listed(live) if differ else [])


def fired(evidence: Evidence) -> Iterator[Judgement]:
    """Every planned fault that could fire did; otherwise the case shows nothing.

    A missing fault makes the case VACUOUS, an error inside the harness makes it UNKNOWN.
    """
    if evidence.internal_errors:
        errors = dict.fromkeys(f"error inside the harness: {error}" for error in evidence.internal_errors)
        yield Judgement("fired", Verdict.UNKNOWN, one_line(errors), reasons=tuple(errors))
        return
    due = {pair for expectation in evidence.forecast.expectations for pair in expectation.must_fire}
    missed, unreachable = due - evidence.fired, evidence.forecast.unreachable - evidence.fired
    reasons = [f"{text} never fired on rank {rank}" for text, rank in sorted(missed) if text not in evidence.optional]
    reasons += [f"{text} matches no call of rank {rank}" for text, rank in sorted(unreachable) if text not in evidence.optional]
    yield Judgement("fired", Verdict.VACUOUS if reasons else Verdict.HOLDS, one_line(reasons))


def recovery(evidence: Evidence) -> Iterator[Judgement]:
    """Once the fault is healed, the same ranks and the same group succeed with the same storage objects."""
    for expectation in evidence.forecast.expectations:
        outcomes = evidence.retried(expectation)
        if not outcomes:
            continue
        failed = {rank: outcome for rank, outcome in outcomes.items() if outcome.kind != "returned"}
        if failed:
            unknown = all(outcome.kind == "unknown" for outcome in failed.values())
            reasons = [f"the retry failed: {text}" for text in listed(failed)]
            yield judged("recovery", expectation, reasons, Verdict.UNKNOWN if unknown else Verdict.VIOLATED)
        else:
            yield judged("recovery", expectation, [f"after the retry: {text}" for text in evidence.retry_mismatches])
