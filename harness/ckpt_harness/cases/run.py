"""One run of one case, phase by phase. What it gives is evidence; ``ckpt_harness.cases.rig`` has the oracles judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ckpt_harness.cases import printed
from ckpt_harness.cases.act import act
from ckpt_harness.cases.baseline import Baselines
from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.look import Fingerprints, Storage, fingerprints, left_behind, look_at_storage
from ckpt_harness.cases.observer import Observer
from ckpt_harness.cases.open_files import OpenFiles
from ckpt_harness.cases.prepare import Scene, prepared
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.cases.read_back import ReadBack
from ckpt_harness.cases.readings import Readings
from ckpt_harness.cases.retry import ranks_that_retry
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.history import History
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.worlds.base import RankResult

Expecting = Callable[[History | None], Forecast]
"""Says how the operations of a case have to end, given what has happened so far; None before the case runs.

Of two saves at once, the history shows which save a fault without an operation has struck. Before the run, the model takes the save that is begun first.
"""


def run_case(
    bound: BoundCase, expecting: Expecting, workspace: Workspace, baselines: Baselines, readings: Readings | None = None
) -> tuple[Evidence, History]:
    """Runs a case: prepare, act, look, heal and retry, read back, evidence.

    Args:
        bound: the case.
        expecting: says how its operations have to end.
        workspace: where it runs.
        baselines: the committed checkpoints that cases find.
        readings: what was read in earlier cases; None if every case reads for itself.

    Returns:
        What was observed, not judged yet, and what happened on each rank.
    """
    with prepared(bound, workspace, baselines) as scene:  # 1. prepare
        if not scene.baseline.usable:
            return _evidence_of_no_baseline(scene), History()
        printed.begin()  # what the preparation printed says nothing about the case
        run = _Run(scene, expecting, workspace, baselines, readings)
        act(  # 2. act: every rank does the operation under the plan
            scene,
            run.observer,
            workspace,
            all_have_ended=run.look,  # 3. look; 4. heal and retry: the ranks that it returns do the operation again
            world_is_over=run.look_at_the_end,
            at_rest=run.read_back,  # 5. read back
            fire_timers=run.stalls,
        )
    return run.evidence(), run.observer.history  # 6. evidence


def fault_free_course(bound: BoundCase, workspace: Workspace, baselines: Baselines) -> Trace:
    """Runs a case without faults to see which sites each rank calls, in which order: prepare and act, and no more.

    Args:
        bound: the case without faults.
        workspace: where it runs.
        baselines: the committed checkpoints that cases find.
    """
    observer = Observer(bound, workspace)
    with prepared(bound, workspace, baselines) as scene:  # 1. prepare
        if scene.baseline.usable:
            act(scene, observer, workspace)  # 2. act
            baselines.damage(bound)  # replaces a baseline that the course damaged, so that the case finds a whole one
    return Trace.of(observer.history)


class _Run:
    """The phases of one run, and what each finds.

    Args:
        scene: the case, ready to run.
        expecting: says how its operations have to end.
        workspace: where it runs.
        baselines: the committed checkpoints that cases find.
        readings: what was read in earlier cases.
    """

    def __init__(self, scene: Scene, expecting: Expecting, workspace: Workspace, baselines: Baselines, readings: Readings | None) -> None:
        self._scene = scene
        self._expecting = expecting
        self._workspace = workspace
        self._baselines = baselines
        self._storage: Storage = {}
        self._fingerprints: Fingerprints = {}
        self._outcomes: dict[str, dict[int, Outcome]] = {}
        self._retry: dict[int, Outcome] | None = None
        self._retry_wrong: list[str] = []
        self._left: tuple[str, ...] = ()
        self._open_files = OpenFiles(workspace.root, in_this_process=scene.bound.case.world == "simulated")
        self._reader = ReadBack(scene, workspace, readings)
        self.observer = Observer(scene.bound, workspace)

    @property
    def stalls(self) -> bool:
        """Whether an operation must stall. Then timers fire, so that the oracles see how it ends after its timeout."""
        return any(expectation.ending is Ending.STALLS for expectation in self._expecting(None).expectations)

    def look(self) -> frozenset[int]:
        """All ranks have ended their operations: looks at what they left. Returns the ranks that try again.

        What is about to be replaced by a second try is read back first: what the ranks left that try again or, if the engine claims retention and may
        remove older checkpoints, what all ranks left. It is read in place, since a copy would do for engines that store directories only.
        """
        bound, observer = self._scene.bound, self.observer
        self._storage = look_at_storage(self._scene, self._baselines, observer.history)
        retrying = ranks_that_retry(bound, self._expecting(observer.history), observer.endings, self._storage)
        if not retrying:
            self._fingerprints = fingerprints(self._scene)
        self._read_attempts(lambda seen: self._is_read_early(seen, retrying))
        return retrying

    def _is_read_early(self, seen: StorageEvidence, retrying: frozenset[int]) -> bool:
        """Whether what a group left in its first try is read back before any rank tries again."""
        return bool(retrying) if self._scene.bound.may_remove_older else not retrying.isdisjoint(seen.ranks)

    def look_at_the_end(self, results: Sequence[RankResult]) -> None:
        """The world is over: collects how each rank ended, and what was left behind."""
        observer = self.observer
        if not self._storage:  # a rank hangs or died, so that not all ranks ended their operations
            self._storage = look_at_storage(self._scene, self._baselines, observer.history)
        self._outcomes = observer.outcomes(results)
        self._retry = observer.retry_outcomes(results) or None
        self._open_files.look(results)
        self._left = tuple(left_behind(self._scene, results, observer.history, observer.endings, self._fingerprints, self._open_files))

    def read_back(self) -> None:
        """Reads back what each group saved: in its only try or, if it tried again and succeeded, in its second."""
        for endings in self.observer.retry_endings.values():
            for ending in endings:
                self._retry_wrong += ending.wrong or ()
        self._read_attempts(lambda seen: not self._is_read_early(seen, self.observer.retrying))
        if not self._scene.bound.saves:
            return
        for group in range(len(self._scene.bound.groups)):
            self._retry_wrong += self._wrong_after_the_retry(group)
        if self.observer.retrying:
            self._retry_wrong += self._damage_of_the_retry()

    def _wrong_after_the_retry(self, group: int) -> Iterator[str]:
        """What is wrong with what a group saved in its second try. Where one of two saves is whole, an engine with retention may have removed the other."""
        ranks = self._scene.bound.groups[group].ranks
        if self.observer.retrying.isdisjoint(ranks) or not self._recovered(ranks):
            return
        wrong = {number: self._reader.retry(number, group) for number in range(len(self._storage))}
        whole = any(not texts for texts in wrong.values())
        for number, texts in wrong.items():
            if not (whole and self._scene.bound.may_remove_older and self._reader.holds_nothing(number, group)):
                yield from texts

    def _damage_of_the_retry(self) -> Iterator[str]:
        """What the second try did to the baseline, and had no right to do. An engine with retention may remove it after a save that is whole."""
        bound = self._scene.bound
        whole = self._recovered(sorted(self.observer.retrying)) and not self._retry_wrong
        retained = whole and bound.may_remove_older
        for damage in self._baselines.damage(bound):
            for name, change in damage.changes.items():
                if not (retained and name in damage.removed):
                    yield f"checkpoint {name!r} was changed: {change}"

    def _read_attempts(self, due: Callable[[StorageEvidence], bool]) -> None:
        """Reads back what groups left in their first try.

        Args:
            due: whether the place of a group is to be read now.
        """
        if not self._scene.bound.saves:
            return
        for number, (operation, groups) in enumerate(self._storage.items()):
            self._storage[operation] = tuple(
                self._reader.attempt(number, group, seen, succeeded=self._succeeded(operation, seen.ranks)) if due(seen) else seen
                for group, seen in enumerate(groups)
            )

    def _succeeded(self, operation: str, ranks: Sequence[int]) -> bool:
        """Whether an operation returned on all of some ranks, in the first try. A rank that hangs or died has no ending."""
        endings = self.observer.endings.get(operation, {})
        return all(rank in endings and endings[rank].outcome.kind == "returned" for rank in ranks)

    def _recovered(self, ranks: Sequence[int]) -> bool:
        """Whether the second try succeeded on all of some ranks."""
        retry = self._retry or {}
        return all(rank in retry and retry[rank].kind == "returned" for rank in ranks)

    def evidence(self) -> Evidence:
        """Returns everything that the oracles may look at."""
        bound, observer, case = self._scene.bound, self.observer, self._scene.bound.case
        loaded: dict[str, dict[int, tuple[str, ...]]] = {}
        futures, unread = {}, {}
        for operation, endings in observer.endings.items():
            loaded[operation] = {rank: ending.wrong for rank, ending in endings.items() if ending.wrong is not None}
            unread[operation] = _unread(endings.values())
            futures[operation] = {rank: ending.futures for rank, ending in endings.items() if ending.futures}
        return Evidence(
            forecast=self._expecting(observer.history),
            outcomes=self._outcomes,
            fired=observer.fired,
            optional=frozenset(str(fault) for fault in case.plan if fault.optional),
            storage=self._storage,
            loaded={} if bound.saves else loaded,
            unread=unread if bound.asks_for_less else {},
            futures=futures,
            left=self._left,
            opened_elsewhere=self._open_files.elsewhere(),
            not_looked_at=() if self._open_files.seen else ("open files",),
            retry=self._retry,
            retry_mismatches=tuple(self._retry_wrong),
            background=f"{case.executor} {case.staging} {case.overlap}",
            internal_errors=observer.internal_errors,
            timeout=GROUP_TIMEOUT,
            capabilities=bound.engine.capabilities,
            protocol=bound.protocol,
            way=case.way,
            planner=case.planner,
            save_planner=type(bound.engine.make_save_planner(case.planner)).__name__ if bound.saves else "",
            workload=case.workload,
            onto=case.onto if bound.saves else "nothing",
            history=observer.history,
            in_turns=case.world == "simulated",
        )


def _unread(endings: Iterable[RankEnding]) -> tuple[str, ...]:
    """The names of the entries that a rank saved into a checkpoint, and that no rank holds after loading it."""
    saved: set[str] = set()
    held: set[str] = set()
    for ending in endings:
        saved |= ending.saved
        held |= ending.holds
    return tuple(sorted(saved - held))


def _evidence_of_no_baseline(scene: Scene) -> Evidence:
    """The engine cannot save even without faults: a preparation that had to succeed, and did not."""
    expectation = Expectation("preparation", tuple(range(scene.bound.case.ranks)), Ending.SUCCEEDS)
    return Evidence(Forecast((expectation,), frozenset()), {"preparation": scene.baseline.outcomes}, timeout=GROUP_TIMEOUT)


def evidence_of_a_broken_hook(bound: BoundCase, failure: str) -> Evidence:
    """The evidence of a case that could not be looked at: no rank has a known outcome.

    Args:
        bound: the case.
        failure: which hook of the engine raised what.
    """
    operation = bound.case.operations[0]
    ranks = tuple(range(bound.case.ranks))
    outcomes = dict.fromkeys(ranks, Outcome("unknown", where=failure))
    expectation = Expectation(operation, ranks, Ending.SUCCEEDS)
    return Evidence(Forecast((expectation,), frozenset()), {operation: outcomes}, timeout=GROUP_TIMEOUT)
