"""Oracles about what goes on in the background: the futures of async saves, staging, and what outlives the operations."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.faults.effects import FailFuture, Raise
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Expectation
from ckpt_harness.judging.oracles.base import judged, judged_place
from ckpt_harness.judging.verdict import Judgement


def futures(evidence: Evidence) -> Iterator[Judgement]:
    """Every future that an async save returned completes, and says the truth."""
    for expectation in evidence.forecast.expectations:
        by_rank = evidence.futures.get(expectation.operation, {})
        if not by_rank:
            continue
        outcomes = evidence.of(expectation)
        reasons = []
        for rank in expectation.ranks:
            for name, reported in by_rank.get(rank, {}).items():
                wrong = _wrong_upload(reported, outcomes.get(rank)) if name == "upload" else _wrong_staging(reported, rank, expectation, evidence)
                if reported.kind == "hung":
                    wrong = "never completes" if expectation.exact else ""
                if wrong:
                    reasons.append(f"rank {rank}: the {name} future {wrong}")
        yield judged("futures", expectation, reasons)


def _wrong_upload(reported: Outcome, waiter: Outcome | None) -> str:
    """What is wrong with an upload's future: it must report what its waiter saw."""
    if waiter is None or (waiter.kind, waiter.error) == (reported.kind, reported.error):
        return ""
    return f"reports: {reported}; the rank that waited for it: {waiter}"


def _wrong_staging(reported: Outcome, rank: int, expectation: Expectation, evidence: Evidence) -> str:
    """What is wrong with a staging's future: it must fail exactly where staging failed."""
    failed = [acting for acting in expectation.decisive if acting.rank == rank and acting.bound.fault.site.startswith("stager.stage")]
    if reported.kind == "returned" and any(acting.error is not None for acting in failed):
        return f"reports success, although staging failed with {failed[0].error}"
    if reported.kind == "raised" and not failed and not _has_failed(rank, expectation.operation, evidence):
        return f"reports: {reported}; but staging did not fail"
    return ""


def _has_failed(rank: int, operation: str, evidence: Evidence) -> bool:
    """Whether a fault made the staging of an operation fail on a rank. Beside a stall such a fault decides nothing, and staging fails all the same."""
    struck = [event for event in evidence.history.of_kind("fault") if event.rank == rank and event.operation == operation]
    faults = [FaultPlan.parse(event.detail).faults[0] for event in struck if event.site.startswith("stager.stage")]
    return any(isinstance(fault.effect, (Raise, FailFuture)) for fault in faults)


def isolation(evidence: Evidence) -> Iterator[Judgement]:
    """Changes to the state after it was staged do not change what is saved."""
    for operation, storage in evidence.places():
        if operation.startswith("async_save") and storage.mismatches:
            yield judged_place("isolation", operation, storage, [f"{name}: saved with a value from after staging" for name in storage.later])


def hygiene(evidence: Evidence) -> Iterator[Judgement]:
    """Once all operations have ended, nothing of them remains: no thread, process, open or temporary file, and no error that nothing caught."""
    expectations = evidence.forecast.expectations
    # What remains may belong to any of the operations, so all of them must end in a known way before any is judged.
    ended = all(outcome.kind in ("returned", "raised") for expectation in expectations for outcome in evidence.of(expectation).values())
    if ended and all(expectation.exact for expectation in expectations):
        for expectation in expectations:
            yield judged("hygiene", expectation, evidence.left)
