"""One call of a rank to the engine, a save or a load, with faulty parts around the engine's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ckpt_harness._torch import is_stateful
from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.cases.membership import Member
from ckpt_harness.history import ErrorRecord
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.planner import FaultyLoadPlanner, FaultySavePlanner
from ckpt_harness.injection.stateful import FaultyStateful
from ckpt_harness.injection.storage import FaultyStorageReader, FaultyStorageWriter
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import State
from ckpt_harness.workloads.held import held, remembered


@dataclass(frozen=True)
class CallEnding:
    """How a call ended on a rank.

    Attributes:
        operation: name of the operation, such as ``save[1]``.
        outcome: how it ended.
        state: what the caller of a load holds after it; None unless a load returned.
    """

    operation: str
    outcome: Outcome
    state: State | None = None


@dataclass(frozen=True)
class OneCall:
    """A save or a load that a rank makes.

    Attributes:
        bound: the case that says how the engine is called.
        member: the rank's membership in its group.
        storage: the engine's storage object.
        planner: the engine's planner.
        place: where to, or where from.
        save: number of the save whose values the state holds; None for the empty target of a load.
    """

    bound: BoundCase
    member: Member
    storage: Any
    planner: Any
    place: str
    save: int | None

    def make(self, injector: Injector, over: Callable[[], bool], number: int | None = None) -> CallEnding:
        """Makes the call as the calling rank.

        Args:
            injector: injects the faults.
            over: whether the case is over: an exception after that ends the rank, and is no outcome.
            number: number of the operation, where the caller counts; see :meth:`ckpt_harness.injection.injector.Injector.begin`.
        """
        plain = self._state()
        passed = remembered(plain)
        state = {key: FaultyStateful.sharing(value, injector) if is_stateful(value) else value for key, value in plain.items()}
        with injector.operation(self.bound.case.operation, number) as name:
            try:
                self._call_engine(state, injector)
            except BaseException as error:  # an error of any type is an outcome
                if over():
                    raise  # the world unwinds this rank
                return CallEnding(name, Outcome("raised", ErrorRecord.of(error), finished_at=current().now()))
        returned = Outcome("returned", finished_at=current().now())
        return CallEnding(name, returned, None if self.bound.saves else held(passed, state))

    def _state(self) -> State:
        """The state that is saved, or the target of the load."""
        context = self.member.context(self.save)
        plain = self.bound.workload.make(context) if self.bound.saves else self.bound.workload.make_target(context)
        if self.member.call.coordinator:
            # DCP calls a Stateful only if rank 0 coordinates. With another coordinator, users of DCP call state_dict() themselves.
            plain = {key: value.state_dict() if is_stateful(value) else value for key, value in plain.items()}
        return plain

    def _call_engine(self, state: State, injector: Injector) -> None:
        """Calls the engine with a faulty storage object and a faulty planner."""
        engine, call = self.bound.engine, self.member.call
        if self.bound.saves:
            writer = FaultyStorageWriter.sharing(self.storage, injector)
            engine.save(state, writer, FaultySavePlanner.sharing(self.planner, injector), self.place, call)
        else:
            reader = FaultyStorageReader.sharing(self.storage, injector)
            engine.load(state, reader, FaultyLoadPlanner.sharing(self.planner, injector), self.place, call)
