"""Oracles about stored bytes: what is committed, whether it loads, and whether one save's values come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_harness.judging.evidence import Evidence, StorageEvidence
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.oracles.base import judged, judged_place
from ckpt_harness.judging.verdict import Judgement

PARTIAL_LOAD = "partial-load"
"""The kind of planner by which a case asks for a part of a checkpoint."""
_SHOWN = 3
"""Differences that a reason quotes of one load."""


def commitment(evidence: Evidence) -> Iterator[Judgement]:
    """After success everything loads bit-equal; after failure there is no new commit marker, unless the commit acted; nothing else was touched."""
    for operation, storage in evidence.places():
        succeeded = _succeeded(evidence, operation, storage)
        removed_since = not storage.committed and evidence.superseded(operation, storage)
        reasons = [f"checkpoint {name!r} was changed: {change}" for name, change in evidence.damage(storage).items()]
        if not operation.startswith("load") and not removed_since:
            reasons += _wrong_marker(storage, succeeded, _must_fail(evidence, operation, storage))
        each = list(reasons)
        if succeeded or storage.committed:
            reasons += [*storage.flaws[:_SHOWN], *_wrong_loads(storage.mismatches)]
            each += [*storage.flaws, *_each_wrong(storage.mismatches)]
        elif not removed_since:
            reasons += _lost(storage)
            each += _lost(storage)
        yield judged_place("commitment", operation, storage, reasons, each)


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
        yield "every rank reported success, but there is no commit marker"
    if storage.committed and must_fail and not storage.finish_acted:
        yield "the save failed before finish, but there is a commit marker"


def _wrong_loads(loads: Mapping[str, tuple[str, ...]], note: str = "") -> Iterator[str]:
    """What came back wrong, load by load."""
    for load, wrong in loads.items():
        if wrong:
            yield f"loaded on {load}{note}: {'; '.join(wrong[:_SHOWN])}"


def _each_wrong(loads: Mapping[str, tuple[str, ...]], note: str = "") -> Iterator[str]:
    """What came back wrong, one by one."""
    for load, wrong in loads.items():
        yield from (f"loaded on {load}{note}: {what}" for what in wrong)


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
        reasons, each = _wrong_on_ranks(evidence, expectation), _each_on_ranks(evidence, expectation)
        for storage in evidence.storage.get(expectation.operation, ()):
            if storage.about(expectation.ranks):
                # The whole old checkpoint is a lost save and no damage: commitment judges it.
                silent = {load: wrong for load, wrong in storage.silent.items() if storage.replaced.get(load) != "old"}
                reasons += _wrong_loads(silent)
                each += _each_wrong(silent)
        yield judged("integrity", expectation, reasons, each=each)


def filled(evidence: Evidence) -> Iterator[Judgement]:
    """A load that reports success has filled its targets, bit-equal, with one save's values; even a load that it may refuse."""
    for expectation in evidence.forecast.expectations:
        if expectation.operation in evidence.loaded:
            yield judged("filled", expectation, _wrong_on_ranks(evidence, expectation), each=_each_on_ranks(evidence, expectation))
    for operation, storage in evidence.places():
        failed = not operation.startswith("load") and not _succeeded(evidence, operation, storage)
        loads = [(storage.refusable, " with success")]
        if failed:
            loads.append((storage.holes, ", after the save had failed, with success"))
        if storage.refusable or (failed and storage.saves):
            reasons = [reason for wrong, note in loads for reason in _wrong_loads(wrong, note)]
            each = [reason for wrong, note in loads for reason in _each_wrong(wrong, note)]
            yield judged_place("filled", operation, storage, reasons, each)


def coverage(evidence: Evidence) -> Iterator[Judgement]:
    """A load that reports success leaves out nothing that the checkpoint holds, unless its planner allows a partial load."""
    for expectation in evidence.forecast.expectations:
        if expectation.operation not in evidence.unread or evidence.planner == PARTIAL_LOAD:
            continue
        outcomes = evidence.of(expectation)
        succeeded = bool(outcomes) and all(outcome.kind == "returned" for outcome in outcomes.values())
        names = evidence.unread[expectation.operation] if succeeded else ()
        yield judged("coverage", expectation, [f"success, though no rank has received {', '.join(names)} of the checkpoint"] if names else [])


def _wrong_on_ranks(evidence: Evidence, expectation: Expectation) -> list[str]:
    """What a load operation that reported success got wrong, rank by rank."""
    return [f"rank {rank}: {', '.join(wrong[:_SHOWN])}" for rank, wrong in _loaded_wrong(evidence, expectation).items()]


def _each_on_ranks(evidence: Evidence, expectation: Expectation) -> list[str]:
    """As :func:`_wrong_on_ranks`, one by one."""
    return [f"rank {rank}: {what}" for rank, wrong in _loaded_wrong(evidence, expectation).items() for what in wrong]


def _loaded_wrong(evidence: Evidence, expectation: Expectation) -> dict[int, tuple[str, ...]]:
    """Rank -> what came back wrong on it, for the ranks that reported success."""
    loaded = evidence.loaded.get(expectation.operation, {})
    returned = [rank for rank, outcome in evidence.of(expectation).items() if outcome.kind == "returned"]
    return {rank: loaded[rank] for rank in returned if loaded.get(rank)}
