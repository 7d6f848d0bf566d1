"""Oracles about stored bytes: what is committed, whether it loads, and whether one save's values come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_harness.faults.calling import PARTIAL_LOAD
from ckpt_harness.judging.capabilities import NO_MARKER
from ckpt_harness.judging.evidence import Evidence, StorageEvidence
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.oracles.base import Differences, Reason, judged, judged_place
from ckpt_harness.judging.verdict import Judgement


def commitment(evidence: Evidence) -> Iterator[Judgement]:
    """After success everything loads bit-equal; after failure there is no new commit marker, unless the commit acted; nothing else was touched."""
    for operation, storage in evidence.places():
        succeeded = _succeeded(evidence, operation, storage)
        removed_since = not storage.committed and evidence.superseded(operation, storage)
        reasons: list[Reason] = [f"checkpoint {name!r} was changed: {change}" for name, change in evidence.damage(storage).items()]
        if not operation.startswith("load") and not removed_since:
            reasons += _wrong_marker(storage, succeeded, _must_fail(evidence, operation, storage))
        if succeeded or storage.committed:
            reasons += [Differences("", storage.flaws)] if storage.flaws else []
            reasons += _wrong_loads(storage.mismatches)
        elif not removed_since:
            reasons += _lost(storage)
        yield judged_place("commitment", operation, storage, reasons)


def _succeeded(evidence: Evidence, operation: str, storage: StorageEvidence) -> bool:
    """Whether the operation returned on all ranks that share a place."""
    outcomes = [outcome for rank, outcome in evidence.outcomes.get(operation, {}).items() if storage.about([rank])]
    return bool(outcomes) and all(outcome.kind == "returned" for outcome in outcomes)


def _must_fail(evidence: Evidence, operation: str, storage: StorageEvidence) -> bool:
    """Whether the operation of the ranks that share a place had to end without success."""
    return any(
        expectation.ending in (Ending.FAILS, Ending.STALLS)
        for expectation in evidence.forecast.expectations
        if expectation.operation == operation and storage.about(expectation.ranks)
    )


def _wrong_marker(storage: StorageEvidence, succeeded: bool, must_fail: bool) -> Iterator[str]:
    if succeeded and storage.committed is False:
        yield NO_MARKER
    if storage.committed and must_fail and not storage.finish_acted:
        yield "the save failed before finish, but there is a commit marker"


def _wrong_loads(loads: Mapping[str, tuple[str, ...]], note: str = "") -> Iterator[Differences]:
    """What came back wrong, load by load."""
    for load, wrong in loads.items():
        if wrong:
            yield Differences(f"loaded on {load}{note}", wrong)


def _lost(storage: StorageEvidence) -> Iterator[str]:
    """A failed save that was to replace a checkpoint, and left neither the old nor the new."""
    for load, shown in storage.replaced.items():
        if shown not in ("old", "new"):
            yield f"the checkpoint that was to be replaced is lost: loaded on {load}, the place gives: {shown}"


def purity(evidence: Evidence) -> Iterator[Judgement]:
    """A load that succeeds shows the values of one save only."""
    for operation, storage in evidence.places():
        if storage.saves:
            mixed = {load: saves for load, saves in storage.saves.items() if len(saves) > 1}
            reasons = [f"loaded on {load}: values of saves {', '.join(map(str, saves))}" for load, saves in mixed.items()]
            yield judged_place("purity", operation, storage, reasons)


def integrity(evidence: Evidence) -> Iterator[Judgement]:
    """Bytes that are damaged on their way, or in storage, are detected by the rank that loads them, or are harmless."""
    for expectation in evidence.forecast.expectations:
        if not expectation.damages:
            continue
        reasons = _wrong_on_ranks(evidence, expectation)
        for storage in evidence.storage.get(expectation.operation, ()):
            if storage.about(expectation.ranks):
                # The whole old checkpoint is a lost save and no damage: commitment judges it.
                silent = {load: wrong for load, wrong in storage.silent.items() if storage.replaced.get(load) != "old"}
                reasons += _wrong_loads(silent)
        yield judged("integrity", expectation, reasons)


def filled(evidence: Evidence) -> Iterator[Judgement]:
    """A load that reports success has filled its targets, bit-equal, with one save's values; even a load that it may refuse."""
    for expectation in evidence.forecast.expectations:
        if expectation.operation in evidence.loaded:
            yield judged("filled", expectation, _wrong_on_ranks(evidence, expectation))
    for operation, storage in evidence.places():
        failed = not operation.startswith("load") and not _succeeded(evidence, operation, storage)
        if storage.refusable or (failed and storage.saves):
            reasons = list(_wrong_loads(storage.refusable, " with success"))
            if failed:
                reasons += _wrong_loads(storage.holes, ", after the save had failed, with success")
            yield judged_place("filled", operation, storage, reasons)


def coverage(evidence: Evidence) -> Iterator[Judgement]:
    """A load that reports success leaves out nothing that the checkpoint holds, unless its planner allows a partial load."""
    for expectation in evidence.forecast.expectations:
        if expectation.operation not in evidence.unread or evidence.planner == PARTIAL_LOAD:
            continue
        outcomes = evidence.of(expectation)
        succeeded = bool(outcomes) and all(outcome.kind == "returned" for outcome in outcomes.values())
        names = evidence.unread[expectation.operation] if succeeded else ()
        reasons = [f"success, though no rank has received {', '.join(names)} of the checkpoint"] if names else []
        yield judged("coverage", expectation, reasons)


def _wrong_on_ranks(evidence: Evidence, expectation: Expectation) -> list[Differences]:
    """What a load operation got wrong, for each rank that reported success."""
    loaded = evidence.loaded.get(expectation.operation, {})
    returned = [rank for rank, outcome in evidence.of(expectation).items() if outcome.kind == "returned"]
    return [Differences(f"rank {rank}", loaded[rank]) for rank in returned if loaded.get(rank)]
