"""One run of one job, life by life. What it gives is evidence; ``ckpt_harness.jobs.rig`` has the oracles judge it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ckpt_harness.cases.async_saves import Begun
from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.membership import Member
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.cases.surroundings import surroundings
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import ErrorRecord, History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.courses import Courses, FreshEnding, FreshLoad, course_of_load
from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence, Loaded
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Prune, Restart, Save, Wait
from ckpt_harness.jobs.places import Places
from ckpt_harness.jobs.rank_program import LifeProgram
from ckpt_harness.jobs.records import NOTHING_TO_LOAD, BackgroundRecord, LifeRecord, Record
from ckpt_harness.jobs.single import Singles
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import State
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

NOT_WAITED_FOR = "its upload, which nobody waited for"
"""Where an async save hangs whose rank hangs elsewhere."""


def run_job(bound: BoundJob, workspace: Workspace, courses: Courses) -> JobEvidence:
    """Runs a job.

    Args:
        bound: the job.
        workspace: where it runs.
        courses: says which calls an operation makes without faults.

    Returns:
        What was observed, not judged yet.
    """
    run = JobRun(bound, workspace, courses)
    try:
        run.live(0)
        return run.evidence()
    finally:
        run.places.close()


class JobRun:
    """A job that runs.

    Args:
        bound: the job.
        workspace: where it runs.
        courses: says which calls an operation makes without faults.

    Attributes:
        places: the places of the job.
        records: what is known of each operation.
        background: index of an async save -> what is known of its end.
        lives: number of a life -> what is known of it.
        internal_errors: errors of the harness itself.
    """

    def __init__(self, bound: BoundJob, workspace: Workspace, courses: Courses) -> None:
        self.bound = bound
        self.workspace = workspace
        self.courses = courses
        self.places = Places(workspace, bound.bases[1].engine)
        self.records = [Record(index) for index in range(len(bound.job.operations))]
        self.background: dict[int, BackgroundRecord] = {}
        self.lives: dict[int, LifeRecord] = {}
        self.internal_errors: list[str] = []
        self.busy: dict[str, int] = {}

    def live(self, which: int) -> None:
        """Runs the lives of the job from one on.

        Ranks that hang or died are unwound once nothing is looked at any more: they would close the files that they have open, and so publish them. So the
        lives behind them run while they are still as they were.

        Args:
            which: index of the first life to run.
        """
        while which < len(self.bound.job.lives):
            life = _RunningLife(self, self.bound.job.lives[which])
            which += 1
            if life.run(lambda following=which: self.live(following)):  # type: ignore[misc]
                return

    # -- while no rank runs

    def between(self, life: Life, index: int) -> None:
        """All ranks are about to begin an operation, or to end: looks at storage, and does what the job does itself.

        Args:
            life: the life.
            index: the index of the operation that follows.
        """
        if index > life.operations.start:
            before = self.bound.job.repeated[index - 1]
            self._forget_what_was_waited_for(life, index)
            if isinstance(before, Restart) or index == life.operations.stop:
                self.busy.clear()
        seen = self.places.look(self.busy)
        if index > life.operations.start:
            self.records[index - 1].after = seen
        if index < life.operations.stop:
            self.records[index].before = seen
            self.prepare(index)

    def _forget_what_was_waited_for(self, life: Life, index: int) -> None:
        """Async saves are no longer under way for which all ranks have waited by now; also where ranks went on alone behind the wait."""
        for position in range(life.operations.start, index):
            operation = self.bound.job.repeated[position]
            for place, begun in list(self.busy.items()) if isinstance(operation, Wait) else ():
                if operation.place in ("", place) and begun < position:  # type: ignore[attr-defined]  # it is a wait
                    del self.busy[place]

    def prepare(self, index: int) -> None:
        """The first rank is about to begin an operation.

        Args:
            index: the index of the operation.
        """
        record, operation, call = self.records[index], self.bound.job.repeated[index], self.bound.calls.get(index)
        record.prepared = True
        if isinstance(operation, Prune):
            for place in self.places.committed(self.busy)[: -operation.keep]:
                self.places.remove(place)
        if call is None:
            return
        record.place = operation.place  # type: ignore[attr-defined]  # each call has a place
        if isinstance(operation, Load):
            self._prepare_load(record, operation, call)
        else:
            assert isinstance(operation, (Save, AsyncSave))
            self.places.begin(operation.place, call)
        if isinstance(operation, AsyncSave):
            self.busy[operation.place] = index
            self.background[index] = BackgroundRecord()

    def _prepare_load(self, record: Record, operation: Load, call: BoundCall) -> None:
        if operation.place == LATEST:
            record.place = self.places.newest(self.busy)
            record.latest = dict.fromkeys(call.ranks, record.place)
        if record.place is None:
            if call.fresh:
                record.outcomes |= dict.fromkeys(call.ranks, NOTHING_TO_LOAD)
            return
        if call.case.plan.faults:
            record.trace = course_of_load(call, self.places.path(record.place))
        if call.fresh:
            self._load_afresh(record, call, self.places.path(record.place))

    def _load_afresh(self, record: Record, call: BoundCall, path: str) -> None:
        """Fresh ranks load, while the ranks of the job stand still."""
        history = History()
        load = FreshLoad(call.case, path, call.number, compare=lambda state, member: self.compared(record, call, state, member))
        results, injector = load.run(call.case.plan.plan, history)
        for result in results:
            if result.rank not in call.ranks:
                continue
            ending = result.value
            if isinstance(ending, FreshEnding):
                record.outcomes[result.rank] = self.workspace.scrub_outcome(ending.outcome)
                if ending.compared is not None:
                    record.loaded[result.rank] = ending.compared
            else:
                record.outcomes[result.rank] = self.workspace.outcome(result)
        life = self.lives.setdefault(call.life.number, LifeRecord())
        life.events[call.call] = list(enumerate(history.events))
        life.fired |= {(firing.fault, firing.rank, firing.operation) for firing in injector.fired}
        self.internal_errors += injector.internal_errors

    def compared(self, record: Record, call: BoundCall, state: State, member: Member) -> Loaded:
        """Compares what a rank holds after a load with each save that the place may hold. Called by the rank, which is in its process group.

        Args:
            record: the load.
            call: the load.
            state: what the rank holds.
            member: the rank's membership.
        """
        assert record.place is not None
        workload = call.case.workload
        differences = {}
        for candidate in self.places.candidates(record.place):
            if candidate.structure == call.structure.in_whole and candidate.save is not None:
                differences[candidate.call] = tuple(workload.mismatches(state, member.context(candidate.save)))
        return Loaded(self.places.calls_of(workload.saves(state)), differences, unfilled=workload.is_unfilled(state))

    # -- evidence

    def evidence(self) -> JobEvidence:
        """Returns everything that the oracles may look at."""
        singles = Singles(self.bound, self.courses, self.places, self.records, self.background, self.lives, self.internal_errors)
        single, owed = singles.build()
        done = []
        for index, record in enumerate(self.records):
            call = self.bound.calls.get(index)
            life = next(life for life in self.bound.job.lives if index in life.operations)
            done.append(
                Done(
                    index=index,
                    call=call.call if call else "",
                    life=life.number,
                    ranks=call.ranks if call else tuple(range(life.ranks)),
                    place=record.place or "",
                    outcomes=dict(sorted(record.outcomes.items())),
                    owed=owed.get(index, ()),
                    before=record.before,
                    seen=record.after,
                    latest=record.latest,
                    loaded=record.loaded,
                    skipped=record.skipped,
                )
            )
        return JobEvidence(
            job=self.bound.job,
            done=tuple(done),
            ended={self.bound.calls[index].call: self._async_ending(index, record) for index, record in self.background.items()},
            readings=self.places.readings,
            single=single,
            fired=frozenset(firing for life in self.lives.values() for firing in life.fired),
            internal_errors=tuple(self.internal_errors),
            capabilities=frozenset.intersection(*(base.engine.capabilities for base in self.bound.bases.values())),
        )

    def _async_ending(self, index: int, record: BackgroundRecord) -> AsyncEnding:
        endings = record.endings
        return AsyncEnding(
            call=self.bound.calls[index].call,
            after=record.after,
            outcomes={rank: ending.outcome for rank, ending in sorted(endings.items())},
            futures={rank: ending.futures for rank, ending in sorted(endings.items()) if ending.futures},
        )


class _RunningLife:
    """One life that runs on simulated ranks; receives what its ranks report.

    Args:
        run: the job.
        life: the life.
    """

    def __init__(self, run: JobRun, life: Life) -> None:
        self._run, self._life = run, life
        self._record = run.lives.setdefault(life.number, LifeRecord())
        self._history = History()
        self._over = False
        self._ended = False
        base = run.bound.bases[life.number]
        calls = [run.bound.calls[index] for index in life.operations if index in run.bound.calls]
        struck = [call for call in calls if not call.fresh]
        faults = dict.fromkeys(fault for call in struck for fault in call.case.plan.plan)
        self._calls = {call.call: call for call in calls}
        self._injector = Injector(
            FaultPlan(tuple(faults)),
            coordinators=base.coordinators,
            history=self._history,
            watch_disk=run.bound.job.faults.strikes_disk,
            watch_network=run.bound.job.faults.strikes_network,
        )
        self._world = SimulatedWorld(life.ranks, seed=run.bound.job.seed, timeout=GROUP_TIMEOUT, group=base.in_process_group)

    def run(self, following: Callable[[], None]) -> bool:
        """Runs the life.

        Args:
            following: runs the lives behind it.

        Returns:
            Whether ``following`` was called, since ranks were lost.
        """
        lost: list[bool] = []
        program = LifeProgram(self._run.bound, self._life)

        def when_over(results: Sequence[RankResult]) -> None:
            self._over = True
            self._history.close()
            self._injector.end_case()
            self._take_stock(results)
            if any(result.outcome not in ("returned", "raised") for result in results):
                lost.append(True)
                following()

        with surroundings(self._injector, range(self._life.ranks)):
            self._world.run(lambda: program.run(self._injector, self), faults=self._injector, judge=when_over)
        return bool(lost)

    def _take_stock(self, results: Sequence[RankResult]) -> None:
        """The world is over: collects what is known of each operation."""
        run, record = self._run, self._record
        for position, event in enumerate(self._history):
            if event.operation:
                record.events.setdefault(event.operation, []).append((position, event))
        record.fired |= {(firing.fault, firing.rank, firing.operation) for firing in self._injector.fired}
        run.internal_errors += self._injector.internal_errors
        for result in results:
            if result.outcome == "raised":
                run.internal_errors.append(f"the program of rank {result.rank} ended with {result.record}")
            self._fill(result)
        last = None
        for index in self._life.operations:
            if run.records[index].prepared:
                last = index
            else:
                run.records[index].skipped = _why(results)
        for index in self._life.operations:
            background = run.background.get(index)
            if background is not None and not background.after:
                background.after = last or 0
        if not self._ended:
            run.busy.clear()
            seen = run.places.look(())
            if last is not None:
                run.records[last].after = seen

    def _fill(self, result: RankResult) -> None:
        """Notes how the operations of a rank ended that it did not report itself."""
        outcome = self._run.workspace.outcome(result)
        for index in self._life.operations:
            record = self._run.records[index]
            if record.prepared and result.rank not in record.outcomes and result.outcome != "returned":
                record.outcomes[result.rank] = outcome
            background = self._run.background.get(index)
            if background is not None and result.rank not in background.endings and result.outcome != "returned":
                background.endings[result.rank] = self._ending(index, result.rank, outcome)

    def _ending(self, index: int, rank: int, outcome: Outcome) -> RankEnding:
        """How an async save ended that its rank did not wait for, since the rank was lost before: as its future says, if it is completed."""
        name, record = self._run.bound.calls[index].call, self._run.background[index]
        begun = record.begun.get(rank)
        if begun is None or begun.saving is None or outcome.kind != "hung" or rank in record.waiting:
            return RankEnding(name, outcome)
        if not begun.saving.upload.done():
            return RankEnding(name, Outcome("hung", where=NOT_WAITED_FOR))
        error = begun.saving.upload.exception()
        upload = Outcome("returned") if error is None else Outcome("raised", self._run.workspace.scrub(ErrorRecord.of(error)))
        return RankEnding(name, upload, futures={"upload": upload})

    # -- reports of the ranks; see JobProgress

    def meet(self, rank: int, index: int) -> None:
        self._world.meet(lambda: self._world.aside(lambda: self._between(index)))

    def _between(self, index: int) -> None:
        with self._injector.set_aside():
            try:
                self._run.between(self._life, index)
            except Exception as error:
                self._run.internal_errors.append(f"{type(error).__name__}: {error}")
                raise
        self._ended = index == self._life.operations.stop

    def _prepare(self, index: int) -> None:
        with self._injector.set_aside():
            self._run.prepare(index)

    def begins(self, rank: int, index: int) -> None:
        record = self._run.records[index]
        if not record.prepared:
            self._world.aside(lambda: self._prepare(index))
        record.started[rank] = current().now()

    def ended(self, rank: int, index: int, outcome: Outcome) -> None:
        record = self._run.records[index]
        elapsed = max(0.0, outcome.finished_at - record.started[rank])
        record.outcomes.setdefault(rank, dataclasses.replace(self._run.workspace.scrub_outcome(outcome), finished_at=elapsed))

    def loaded(self, rank: int, index: int, state: State, member: Member) -> None:
        record, call = self._run.records[index], self._run.bound.calls[index]
        record.loaded[rank] = self._run.compared(record, call, state, member)

    def begun(self, rank: int, call: BoundCall, begun: Begun) -> None:
        self._run.background[call.index].begun[rank] = begun

    def waits(self, rank: int, call: BoundCall) -> None:
        self._run.background[call.index].waiting.add(rank)

    def saved_in_background(self, rank: int, call: BoundCall, index: int, ending: RankEnding, since: float) -> None:
        scrub = self._run.workspace.scrub_outcome
        outcome = dataclasses.replace(scrub(ending.outcome), finished_at=max(0.0, ending.outcome.finished_at - since))
        futures = {name: scrub(future) for name, future in ending.futures.items()}
        record = self._run.background[call.index]
        record.endings[rank] = dataclasses.replace(ending, outcome=outcome, futures=futures)
        record.after = max(record.after, index)

    def path(self, rank: int, index: int) -> str | None:
        place = self._run.records[index].place
        return None if place is None else self._run.places.path(place)

    def over(self) -> bool:
        return self._over

    def leaves(self) -> None:
        self._world.meet(lambda: None)


def _why(results: Sequence[RankResult]) -> str:
    """Why the ranks of a life did not come to an operation."""
    lost = [f"rank {result.rank} {result.outcome}" for result in results if result.outcome != "returned"]
    return ", ".join(lost) or "the ranks ended before"
