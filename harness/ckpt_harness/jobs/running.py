"""A job that runs: what is known of it so far, and what it does itself while no rank runs."""

from __future__ import annotations

from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.history import Event, History
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.comparing import Candidates
from ckpt_harness.jobs.courses import Courses
from ckpt_harness.jobs.fresh_load import FreshEnding, FreshLoad, course_of_load, on_simulated_ranks
from ckpt_harness.jobs.fresh_processes import on_processes
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Prune, Restart, Save, Wait
from ckpt_harness.jobs.places import Places
from ckpt_harness.jobs.records import NOTHING_TO_LOAD, BackgroundRecord, LifeRecord, Record


class JobRun:
    """What is known of a job that runs, and what the job itself does between the operations of its ranks.

    Args:
        bound: the job.
        workspace: where it runs.
        courses: says which calls an operation makes without faults.

    Attributes:
        managed: whether a manager keeps the checkpoints: it says which is the latest, and removes them.
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
        self.managed = bool(bound.job.manager)
        self.places = Places(workspace, bound.bases[1].engine, managed=self.managed)
        self.records = [Record(index) for index in range(len(bound.job.operations))]
        self.background: dict[int, BackgroundRecord] = {}
        self.lives = {life.number: LifeRecord() for life in bound.job.lives}
        self.internal_errors: list[str] = []
        self.busy: dict[str, int] = {}

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
        if isinstance(operation, Prune) and not self.managed:
            for place in self.places.committed(self.busy)[: -operation.keep]:
                self.places.remove(place)
        if call is None:
            return
        record.place = operation.place  # type: ignore[attr-defined]  # each call has a place
        if isinstance(operation, Load) and self.managed:
            record.place = None if operation.place == LATEST else operation.place
        elif isinstance(operation, Load):
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
        load = FreshLoad(call.case, path, call.number, self.candidates(call, record.place or ""))
        simulated = self.bound.job.world == "simulated"
        for result in on_simulated_ranks(load, history) if simulated else on_processes(self.bound.job, call.index, load, history):
            if result.rank not in call.ranks:
                continue
            ending = result.value
            if isinstance(ending, FreshEnding):
                record.outcomes[result.rank] = self.workspace.scrub_outcome(ending.outcome)
                if ending.loaded is not None:
                    record.loaded[result.rank] = ending.loaded
            else:
                record.outcomes[result.rank] = self.workspace.outcome(result)
        for position, event in enumerate(history):
            self.note(call.life, position, event)

    def note(self, life: Life, position: float, event: Event) -> None:
        """Keeps an event until the evidence of its call is made. Of the calls of a manager, no such evidence is made.

        Args:
            life: the life.
            position: orders the events of calls that may be under way at once.
            event: the event.
        """
        record = self.lives[life.number]
        if event.operation and not self.managed:
            record.events.setdefault(event.operation, []).append((position, event))
        if event.kind == "fault":
            record.fired.add((event.detail, event.rank, event.operation))
        elif event.kind == "escaped":
            record.escaped.append((event.rank, event.detail))
        elif event.kind == "internal":
            self.internal_errors.append(event.detail)

    def candidates(self, load: BoundCall, place: str) -> Candidates:
        """Returns the saves that a place may hold, of the structure that a load asks for.

        Args:
            load: the load.
            place: where it loads from.
        """
        return self.places.candidates_for(place, load.structure)
