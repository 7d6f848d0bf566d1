"""One job as a value: operations, a schedule of faults, and what they run on; and the shell line that replays it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ckpt_harness.cases.case import WORLDS, WorldName, usual_world
from ckpt_harness.cases.replay_line import spelled
from ckpt_harness.errors import PlanError, UsageError, choices, quoted, unknown
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind
from ckpt_harness.jobs.operations import MOST_RANKS, AsyncSave, Continue, Heal, Load, Operation, Restart, Retry, Wait
from ckpt_harness.jobs.steps import check_managed
from ckpt_harness.jobs.text import operations_text, parse_operations


@dataclass(frozen=True)
class Life:
    """The part of a job between two restarts: the same ranks, in the same processes.

    Attributes:
        number: which life it is, from 1.
        ranks: the number of ranks.
        way: the call style.
        engine: the engine.
        operations: the indices of its operations within the job; the ``restart`` that ends it is the last.
    """

    number: int
    ranks: int
    way: str
    engine: str
    operations: range


@dataclass(frozen=True)
class Job:
    """Everything needed to run a job once, and again.

    Attributes:
        operations: what all ranks do, in order.
        faults: the schedule of faults. Each names its operation: ``save[3]/...`` strikes the third save of the whole job, whatever restarts lie before.
        ranks: number of ranks at the beginning.
        engine: name of the engine at the beginning.
        workload: name of the workload at the beginning.
        seed: seed of the order in which simulated ranks run.
        way: the call style at the beginning; see :data:`ckpt_harness.faults.calling.CALL_STYLES`.
        world: what runs the ranks.
        manager: what keeps the checkpoints, and is called in place of the engine: a name, as :func:`ckpt_harness.jobs.managers.names.find_manager`
            reads it; "" where the ranks call the engine. With a manager, places are steps, and the engine says how to read what lies there.

    Raises:
        UsageError: a job that makes no sense: nothing to retry, say. The message shows the operation.
        PlanError: a fault that can never strike.

    Example:
        >>> job = Job.parse("save a; save a; load latest", faults="save[2]/writer.finish@0=raise")
        >>> job.calls
        ('save[1]', 'save[2]', 'load[1]')
        >>> [(life.ranks, list(life.operations)) for life in Job.parse("save a; restart 3; load a").lives]
        [(2, [0, 1]), (3, [2])]
        >>> Job.parse("save a; retry; retry").repeated[2]
        Save(place='a', coordinator=0, planner='default')
        >>> print(job.replay_line())
        ckpt-harness job 'save a; save a; load latest' --faults 'save[2]/writer.finish@0=raise' --ranks 2
    """

    operations: tuple[Operation, ...]
    faults: FaultPlan = FaultPlan()
    ranks: int = 2
    engine: str = "filesystem"
    workload: str = "mixed"
    seed: int = 0
    way: str = "together"
    world: WorldName = "simulated"
    manager: str = ""

    def __post_init__(self) -> None:
        if not self.operations:
            raise UsageError("a job without operations; valid: operations such as `save a; load a`")
        if type(self.ranks) is not int or not 1 <= self.ranks <= MOST_RANKS:
            raise UsageError(f"ranks {quoted(self.ranks)}; valid: 1 to {MOST_RANKS}")
        if self.world not in WORLDS:
            raise UsageError(unknown("world", self.world, WORLDS))
        _check_order(self.operations)
        if self.manager:
            check_managed(self.operations, self.way)
        for fault in self.faults:
            _check_address(fault, self.calls)

    @classmethod
    def parse(cls, operations: str, *, faults: str = "", ranks: int = 2, seed: int = 0, **names: str) -> Job:
        """Reads a job from texts.

        Args:
            operations: the text of the operations; see :func:`ckpt_harness.jobs.text.parse_operations`.
            faults: the text of the faults; see :meth:`ckpt_harness.faults.plan.FaultPlan.parse`.
            ranks: as the attribute.
            seed: as the attribute.
            names: ``engine``, ``workload``, ``way``, ``world``, ``manager``, as the attributes.

        Raises:
            UsageError: the message shows the value and the valid choices.
        """
        return cls(parse_operations(operations), FaultPlan.parse(faults), ranks=ranks, seed=seed, **names)  # type: ignore[arg-type]  # checked there

    @cached_property
    def calls(self) -> tuple[str, ...]:
        """The engine call that each operation makes, such as ``save[2]``; "" for an operation that makes none.

        Calls of a kind are numbered over the whole job. A ``retry`` is a call of its own.
        """
        counts: Counter[str] = Counter()
        calls = []
        for kind in _kinds(self.operations):
            if kind is not None:
                counts[kind] += 1
            calls.append("" if kind is None else f"{kind}[{counts[kind]}]")
        return tuple(calls)

    @cached_property
    def repeated(self) -> tuple[Operation, ...]:
        """The operations, each ``retry`` replaced by the operation that it repeats."""
        repeated: list[Operation] = []
        last: Operation | None = None
        for operation in self.operations:
            if operation.kind is not None:
                last = operation
            repeated.append(last if isinstance(operation, Retry) and last is not None else operation)
        return tuple(repeated)

    def goes_on_alone(self, index: int) -> bool:
        """Whether each rank begins an operation as soon as it has ended the operation before, whatever other ranks do.

        Example:
            >>> job = Job.parse("save a; continue; save b; save c")
            >>> [job.goes_on_alone(index) for index in range(4)]
            [False, True, True, False]
        """
        return any(isinstance(operation, Continue) for operation in self.operations[max(index - 1, 0) : index + 1])

    @cached_property
    def lives(self) -> tuple[Life, ...]:
        """The lives of the job, in order."""
        lives = list[Life]()
        ranks, way, engine, start = self.ranks, self.way, self.engine, 0
        for index, operation in enumerate(self.operations):
            if isinstance(operation, Restart):
                lives.append(Life(len(lives) + 1, ranks, way, engine, range(start, index + 1)))
                ranks, way, engine, start = operation.ranks or ranks, operation.way or way, operation.engine or engine, index + 1
        if start < len(self.operations):
            lives.append(Life(len(lives) + 1, ranks, way, engine, range(start, len(self.operations))))
        return tuple(lives)

    @cached_property
    def text(self) -> str:
        """The text of the operations."""
        return operations_text(self.operations)

    def replay_line(self, registers: Sequence[str] = ()) -> str:
        """Returns the shell line that runs this job again. Fields with their usual value are left out.

        Args:
            registers: register files that the verdict depends on, beside the findings that ship with the harness.
        """
        usual = {"engine": Job.engine, "workload": Job.workload, "seed": 0, "way": Job.way, "world": usual_world(self.engine), "manager": ""}
        unusual = {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}
        return spelled("job", self.text, faults=str(self.faults) or None, ranks=self.ranks, **unusual, register=tuple(registers))


def _kinds(operations: tuple[Operation, ...]) -> Iterator[OperationKind | None]:
    """The kind of engine call of each operation; of a ``retry``, that of the call before it."""
    last: OperationKind | None = None
    for operation in operations:
        last = operation.kind or last
        yield last if isinstance(operation, Retry) else operation.kind


def _check_order(operations: tuple[Operation, ...]) -> None:
    """Refuses an operation that can do nothing where it stands.

    Raises:
        UsageError: the message shows the operation, and where it is valid.
    """
    called: Operation | None = None  # the last engine call of this life
    under_way: list[str] = []
    for number, operation in enumerate(operations, 1):
        where = f"operation {number}, {quoted(str(operation))}"
        if isinstance(operation, Restart):
            called, under_way = None, []
        elif isinstance(operation, Retry):
            if called is None:
                raise UsageError(f"{where}, has nothing to do again; valid: after a save, async or load of the same ranks")
            under_way += [called.place] if isinstance(called, AsyncSave) else []
        elif isinstance(operation, Wait):
            waited = [place for place in under_way if operation.place in ("", place)]
            if not waited:
                raise UsageError(f"{where}, has nothing to wait for; valid: after an async save that is under way")
            under_way = [place for place in under_way if place not in waited]
        elif isinstance(operation, Continue):
            _check_continue(where, operations, number)
        elif operation.kind is not None:
            called = operation
            under_way += [operation.place] if isinstance(operation, AsyncSave) else []


def _check_continue(where: str, operations: tuple[Operation, ...], number: int) -> None:
    """Refuses a ``continue`` that does not stand between two operations of each rank by itself."""
    before, after = operations[number - 2 : number - 1], operations[number : number + 1]
    alone = all(operation.kind or isinstance(operation, (Retry, Wait)) for operation in (*before, *after))
    fresh = any(isinstance(operation, Load) and operation.ranks for operation in (*before, *after))
    if not before or not after or not alone or fresh:
        raise UsageError(f"{where}; valid: between two operations that are save, async, wait, retry, or load on the ranks of the job")


def _check_address(fault: Fault, calls: tuple[str, ...]) -> None:
    """Refuses a fault that names no operation, or an operation that the job does not have.

    Raises:
        PlanError: the message shows the fault and the valid addresses.
    """
    if fault.operation is None:
        kinds = [kind for kind in OPERATION_KINDS if any(call.startswith(f"{kind}[") for call in calls)]
        raise PlanError(f"{fault.label} names no operation of the job; valid: {', '.join(f'{kind}[1]/...' for kind in kinds) or 'none'}")
    if not any(fault.operation.matches(call) for call in calls):
        raise PlanError(f"{fault.label}: the job has no {fault.operation}; {choices(call for call in calls if call)}")


def healed_from(operations: tuple[Operation, ...]) -> int:
    """Returns the index of the first operation that no fault can strike, since the job has healed before.

    Example:
        >>> healed_from(parse_operations("save a; heal; save a"))
        2
    """
    return next((index + 1 for index, operation in enumerate(operations) if isinstance(operation, Heal)), len(operations))
