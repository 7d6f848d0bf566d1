"""One run of one case, phase by phase. What it gives is evidence; ``ckpt_harness.cases.rig`` has the oracles judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ckpt_harness.cases.act import act
from ckpt_harness.cases.baseline import Baselines
from ckpt_harness.cases.binding import VIRTUAL_TIMEOUT, BoundCase
from ckpt_harness.cases.look import Fingerprints, Storage, fingerprints, left_behind, look_at_storage
from ckpt_harness.cases.observer import Observer
from ckpt_harness.cases.prepare import Scene, prepared
from ckpt_harness.cases.read_back import ReadBack
from ckpt_harness.cases.retry import ranks_that_retry
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.history import History
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.worlds.base import RankResult


@dataclass
class Notes:
    """What one run finds, phase by phase.

    Attributes:
        storage: what each operation and group left on storage; None before the first look.
        fingerprints: of all places when all operations had ended; empty if ranks tried again.
        outcomes: operation -> rank -> how it ended.
        retry: rank -> how its second try ended; None if no rank tried again.
        retry_wrong: what is wrong with what the second try saved or loaded.
        left: what went on, or lay about, though all operations had ended.
    """

    storage: Storage | None = None
    fingerprints: Fingerprints = field(default_factory=dict)
    outcomes: dict[str, dict[int, Outcome]] = field(default_factory=dict)
    retry: dict[int, Outcome] | None = None
    retry_wrong: list[str] = field(default_factory=list)
    left: tuple[str, ...] = ()


def run_case(bound: BoundCase, expected: Forecast, workspace: Workspace, baselines: Baselines) -> tuple[Evidence, History]:
    """Runs a case: prepare, act, look, heal and retry, read back, evidence.

    Args:
        bound: the case.
        expected: how its operations have to end.
        workspace: where it runs.
        baselines: the committed checkpoints that cases find.

    Returns:
        What was observed, not judged yet, and what happened on each rank.
    """
    with prepared(bound, workspace, baselines) as scene:  # 1. prepare
        if not scene.baseline.usable:
            return _evidence_of_no_baseline(scene), History()
        notes = Notes()

        def all_have_ended() -> frozenset[int]:
            notes.storage = look_at_storage(scene, baselines, observer.history)  # 3. look
            retrying = ranks_that_retry(bound, expected, observer.endings, notes.storage)  # 4. heal and retry
            if not retrying:
                notes.fingerprints = fingerprints(scene)
            return retrying

        def world_is_over(results: Sequence[RankResult]) -> None:
            if notes.storage is None:  # a rank hangs or died, so that not all have ended
                notes.storage = look_at_storage(scene, baselines, observer.history)
            notes.outcomes = observer.outcomes(results)
            notes.retry = observer.retry_outcomes(results) or None
            notes.left = tuple(left_behind(scene, results, observer.history, observer.endings, notes.fingerprints))

        def read_back() -> None:
            _read_back(scene, workspace, observer, notes)  # 5. read back

        observer = Observer(bound, workspace, all_have_ended)
        stalls = any(expectation.ending is Ending.STALLS for expectation in expected.expectations)
        act(bound, tuple(scene.places.values()), observer, workspace, world_is_over, read_back, fire_timers=stalls)  # 2. act
    return _evidence(bound, expected, observer, notes), observer.history  # 6. evidence


def fault_free_course(bound: BoundCase, workspace: Workspace, baselines: Baselines) -> Trace:
    """Runs a case without faults to see which sites each rank calls, in which order: prepare and act, and no more.

    Args:
        bound: the case without faults.
        workspace: where it runs.
        baselines: the committed checkpoints that cases find.
    """
    observer = Observer(bound, workspace)
    with prepared(bound, workspace, baselines) as scene:
        if scene.baseline.usable:
            act(bound, tuple(scene.places.values()), observer, workspace, look=lambda results: None, read_back=lambda: None)
            baselines.damage(bound)  # replaces a baseline that the course damaged, so that the case finds a whole one
    return Trace.of(observer.history)


def _evidence_of_no_baseline(scene: Scene) -> Evidence:
    """The engine cannot save even without faults: a preparation that had to succeed, and did not."""
    expectation = Expectation("preparation", tuple(range(scene.bound.case.ranks)), Ending.SUCCEEDS)
    return Evidence(Forecast((expectation,), frozenset()), {"preparation": scene.baseline.outcomes}, timeout=VIRTUAL_TIMEOUT)


def _read_back(scene: Scene, workspace: Workspace, observer: Observer, notes: Notes) -> None:
    """Reads back what each group saved: in its first try or, if it tried again and succeeded, in its second."""
    for endings in observer.retry_endings.values():
        for ending in endings:
            notes.retry_wrong += ending.wrong or ()
    if not scene.bound.saves or notes.storage is None:
        return
    reader = ReadBack(scene, workspace)
    for number, (operation, groups) in enumerate(notes.storage.items()):
        read = []
        for group, seen in enumerate(groups):
            tried_again = not observer.retrying.isdisjoint(seen.ranks)
            if tried_again and _all_returned(seen.ranks, notes.retry):
                notes.retry_wrong += reader.retry(number, group)
            read.append(seen if tried_again else reader.attempt(number, group, seen))
        notes.storage[operation] = tuple(read)


def _all_returned(ranks: Sequence[int], retry: dict[int, Outcome] | None) -> bool:
    """Whether the second try succeeded on all of some ranks."""
    return retry is not None and all(rank in retry and retry[rank].kind == "returned" for rank in ranks)


def _evidence(bound: BoundCase, expected: Forecast, observer: Observer, notes: Notes) -> Evidence:
    """Everything that the oracles may look at."""
    case = bound.case
    loaded: dict[str, dict[int, tuple[str, ...]]] = {}
    futures = {}
    for operation, endings in observer.endings.items():
        loaded[operation] = {rank: ending.wrong for rank, ending in endings.items() if ending.wrong is not None}
        futures[operation] = {rank: ending.futures for rank, ending in endings.items() if ending.futures}
    return Evidence(
        forecast=expected,
        outcomes=notes.outcomes,
        fired=observer.fired,
        optional=frozenset(str(fault) for fault in case.plan if fault.optional),
        storage=notes.storage or {},
        loaded={} if bound.saves else loaded,
        futures=futures,
        left=notes.left,
        retry=notes.retry,
        retry_mismatches=tuple(notes.retry_wrong),
        background=f"{case.executor} {case.staging} {case.overlap}",
        internal_errors=observer.internal_errors,
        timeout=bound.timeout,
        capabilities=bound.engine.capabilities,
        protocol=bound.protocol,
        way=case.way,
        planner=case.planner,
        onto=case.onto,
        history=observer.history,
    )
