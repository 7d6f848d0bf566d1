"""A job that was checked and bound: each engine call of the job as the case that the call is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from ckpt_harness.cases.binding import BoundCase, check_can_hold
from ckpt_harness.cases.case import Case
from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.jobs.job import Job, Life, healed_from
from ckpt_harness.jobs.managers.names import cannot_do, find_manager
from ckpt_harness.jobs.managers.protocol import OPTIONAL
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Change, Load, Operation, Renew, Restart, Save, Wait
from ckpt_harness.jobs.varied import Structure

TAGS = 255
"""Numbers of saves that the tags of a state can tell apart: two saves of a job that lie so far apart have the same."""

WAYS = ("together", "alone", "subgroup")
"""The call styles that a job can use: those in which all ranks that take part share one place."""


@dataclass(frozen=True)
class BoundCall:
    """One engine call of a job.

    Attributes:
        index: the index of its operation in the job.
        call: its name, such as ``save[2]``.
        life: the life in which it is made.
        operation: what it does; of a ``retry``, what is done again.
        case: how the engine is called. Its plan has the faults that may strike the call.
        structure: the structure of the state.
        save: the number that tags the values which it saves; None for a load.
    """

    index: int
    call: str
    life: Life
    operation: Save | AsyncSave | Load
    case: BoundCase
    structure: Structure
    save: int | None

    @property
    def number(self) -> int:
        """The number within its name."""
        return int(self.call.partition("[")[2].rstrip("]"))

    @property
    def later(self) -> int:
        """The number that tags the values which training writes once an async save is staged."""
        assert self.save is not None, "a load saves nothing"
        return self.save + 1

    @property
    def fresh(self) -> bool:
        """Whether fresh ranks load in place of the ranks of the job."""
        return isinstance(self.operation, Load) and self.operation.ranks > 0

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that take part."""
        return self.case.groups[0].ranks


@dataclass(frozen=True)
class BoundJob:
    """A job with everything that its names stand for.

    Attributes:
        job: the job.
        calls: index of an operation -> the engine call that it makes.
        bases: number of a life -> a case that says how its ranks are grouped.
        clusters: the calls that may be under way at once, by their indices, in order.
    """

    job: Job
    calls: Mapping[int, BoundCall]
    bases: Mapping[int, BoundCase]
    clusters: tuple[tuple[int, ...], ...]

    def cluster_of(self, index: int) -> tuple[int, ...]:
        """Returns the indices of the calls that may be under way together with a call, itself included."""
        return next(cluster for cluster in self.clusters if index in cluster)


def bind_job(job: Job) -> BoundJob:
    """Checks a job before anything runs, and looks up everything that its names stand for.

    Raises:
        UsageError: an unknown name, or a combination that cannot run.
        PlanError: a fault that cannot strike in the world of its operation.

    Example:
        >>> bound = bind_job(Job.parse("save a; restart 3; load a", faults="load[1]/reader.read_data@2=raise"))
        >>> [(call.call, call.case.case.ranks, str(call.case.plan.plan)) for call in bound.calls.values()]
        [('save[1]', 2, ''), ('load[1]', 3, 'load[1]/reader.read_data@2=raise')]
    """
    if job.world == "attached":
        raise UsageError("world 'attached' does not run jobs: its ranks cannot be restarted; valid: simulated, processes")
    if job.manager:
        _check_manager(job)
    structure, saves = Structure(job.workload), 0
    structure.built()
    healed = healed_from(job.operations)
    calls: dict[int, BoundCall] = {}
    bases: dict[int, BoundCase] = {}
    for life in job.lives:
        bases[life.number] = _base(job, life, structure)
        _check_names(job, life)
        for index in life.operations:
            operation = job.repeated[index]
            if isinstance(operation, Change):
                structure = structure.changed(operation)
                check_can_hold(bases[life.number].engine, structure.built())
            if not isinstance(operation, (Save, AsyncSave, Load)):
                continue
            faults = _faults_of(job, job.calls[index]) if index < healed else ()
            part = dataclasses.replace(structure, part=isinstance(operation, Load) and operation.entries == "part")
            case = _case(job, life, operation, FaultPlan(faults), part)
            save = None
            if not isinstance(operation, Load):
                save = 1 + 2 * (saves % TAGS)
                saves += 1
            calls[index] = BoundCall(index, job.calls[index], life, operation, case, part, save)
    clusters = tuple(_clusters(job, calls))
    for cluster in clusters:
        _check_cluster(job, [calls[index] for index in cluster])
    return BoundJob(job, calls, bases, clusters)


def _check_manager(job: Job) -> None:
    """Refuses operations that the manager has no methods for."""
    cannot = cannot_do(find_manager(job.manager))
    for number, operation in enumerate(job.operations, 1):
        if operation.word in cannot:
            missing = next(method for method, words in OPTIONAL.items() if operation.word in words)
            raise UsageError(f"operation {number}, {quoted(str(operation))}: manager {quoted(job.manager)} lacks {missing}; valid: without {operation.word}")


def _faults_of(job: Job, call: str) -> tuple[Fault, ...]:
    """The faults that may strike a call, addressed to it alone."""
    kind, _, number = call.rstrip("]").partition("[")
    address = OperationRef(cast("OperationKind", kind), int(number))
    return tuple(dataclasses.replace(fault, operation=address) for fault in job.faults if fault.operation and fault.operation.matches(call))


def _base(job: Job, life: Life, structure: Structure) -> BoundCase:
    """The case that says how the ranks of a life are grouped."""
    kind = "async_save" if Case(engine=life.engine).settled().operation == "async_save" else "save"
    case = Case(
        operation=kind,  # type: ignore[arg-type]  # one of the kinds
        ranks=life.ranks,
        engine=life.engine,
        workload=structure.workload,
        seed=job.seed,
        way=life.way,
        world=job.world,
    )
    return _checked(dataclasses.replace(case.bind(), shards=job.ranks))


def _case(job: Job, life: Life, operation: Save | AsyncSave | Load, faults: FaultPlan, structure: Structure) -> BoundCase:
    """The case that an engine call is."""
    assert operation.kind is not None
    ranks = operation.ranks if isinstance(operation, Load) and operation.ranks else life.ranks
    alone = ranks == 1 and life.way == "alone"
    case = Case(
        plan=faults,
        operation=operation.kind,
        ranks=ranks,
        coordinator=0 if isinstance(operation, AsyncSave) else operation.coordinator,
        engine=life.engine,
        workload=structure.workload,
        world=job.world,
        seed=job.seed,
        way=life.way if ranks == life.ranks or alone else "together",
        planner=operation.planner,
        retry=False,
        executor=operation.executor if isinstance(operation, AsyncSave) else "thread",
        staging=operation.staging if isinstance(operation, AsyncSave) else "writer",
        watch_disk=job.faults.strikes_disk,
        watch_network=job.faults.strikes_network,
    )
    bound = _checked(case.bind())
    if bound.case.operation != operation.kind:
        raise UsageError(f"{quoted(str(operation))}: engine {life.engine!r} always saves with {bound.case.operation}; valid: async instead of save")
    named = dataclasses.replace(bound.case, workload=str(structure))
    return dataclasses.replace(bound, case=named, workload=structure.built(), shards=job.ranks)


def _checked(bound: BoundCase) -> BoundCase:
    if bound.case.way not in WAYS:
        raise UsageError(f"way {bound.case.way!r}: the ranks of a job share each place; valid: {', '.join(WAYS)}")
    return bound


def _check_names(job: Job, life: Life) -> None:
    """Refuses operations of a life that have nothing to act on."""
    for index in life.operations:
        operation = job.operations[index]
        if isinstance(operation, Renew) and operation.what == "group" and life.way != "subgroup":
            raise UsageError(f"{quoted(str(operation))}: ranks of way {life.way!r} make no process group of their own; valid: way 'subgroup'")
        if isinstance(operation, Load) and operation.place == LATEST and not any(isinstance(each, (Save, AsyncSave)) for each in job.operations[:index]):
            raise UsageError(f"operation {index + 1}, {quoted(str(operation))}: nothing was saved before; valid: after a save or async")


def _clusters(job: Job, calls: Mapping[int, BoundCall]) -> Iterator[tuple[int, ...]]:
    """The calls that may be under way at once.

    Those are an async save and every call until its ranks have waited for it; and calls with a ``continue`` between them.
    """
    cluster: list[int] = []
    pending: list[AsyncSave] = []
    for index, operation in enumerate(job.repeated):
        if index in calls:
            if cluster and not pending and not job.goes_on_alone(index):
                yield tuple(cluster)
                cluster = []
            cluster.append(index)
            pending += [operation] if isinstance(operation, AsyncSave) else []
        elif isinstance(operation, Wait):
            pending = [] if not operation.place else [save for save in pending if save.place != operation.place]
        elif isinstance(operation, Restart):
            pending = []
    if cluster:
        yield tuple(cluster)


def _check_cluster(job: Job, calls: list[BoundCall]) -> None:
    """Refuses what nobody may do while an async save is under way."""
    pending: list[Operation] = []
    first = calls[0].index
    for index in range(first, calls[-1].index + 1):
        operation = job.repeated[index]
        if isinstance(operation, Wait):
            pending = [save for save in pending if operation.place and getattr(save, "place", "") != operation.place]
        elif isinstance(operation, (Save, AsyncSave, Load)):
            where = f"operation {index + 1}, {quoted(str(operation))}: an async save"
            if any(getattr(save, "place", "") == operation.place for save in pending):
                raise UsageError(f"{where} to {operation.place!r} is under way; valid: after `wait`, or another place")
            if pending and not isinstance(operation, AsyncSave) and operation.coordinator:
                raise UsageError(f"{where} is under way; valid: coordinator 0, or after `wait`")
            pending += [operation] if isinstance(operation, AsyncSave) else []
