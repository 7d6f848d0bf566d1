"""What each rank of a case does: the operation under the plan, and once all have ended perhaps the same again, healed.

It is the same for every world. An :class:`Attempt` pickles; what it tells and asks on the way goes through a :class:`Course`, which is an object of
the rig's where ranks share a process with it, and a line to the rig where they do not.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from harness._inject import Injector
from harness._torch import is_stateful
from harness.case import Case
from harness.engines.base import Engine, find
from harness.history import ErrorRecord
from harness.joining import Part, joined
from harness.oracles import Outcome
from harness.planner import FaultyLoadPlanner, FaultySavePlanner
from harness.runtime import current
from harness.stateful import FaultyStateful
from harness.storage import FaultyStorageReader, FaultyStorageWriter
from harness.workload import State, Workload, workload

PREVIOUS, ATTEMPT, RETRY = 1, 2, 3
"""Numbers of the saves of a case, as the tags in their elements carry them."""

Wrong = tuple[str, ...]
"""What came back wrong from a load."""


class Course(Protocol):
    """What a rank tells of its course through a case, and what it is told."""

    def ended(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        """The operation has ended on ``rank``; ``wrong`` is None unless it loaded."""

    def retries(self, rank: int) -> bool:
        """Waits until the operation has ended on all ranks; whether ``rank`` tries again."""

    def retried(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        """The second try has ended on ``rank``."""

    def leaves(self) -> None:
        """Waits until all ranks are done with their groups."""

    def over(self) -> bool:
        """Whether the case is judged: whatever still happens is the world unwinding its ranks."""


@dataclass(frozen=True)
class Attempt:
    """A rank's part of a case.

    Attributes:
        case: the case.
        places: where each group saves to, or loads from.
        timeout: of collectives, in seconds.
    """

    case: Case
    places: tuple[str, ...]
    timeout: float

    def run(self, injector: Injector, course: Course) -> None:
        """Does it, as the calling rank.

        Args:
            injector: injects the case's faults.
            course: told how it goes.
        """
        rank = injector.rank()
        with joined(self.case, rank, self.timeout) as part:
            storage = None if part is None else self._faulty_storage(part, injector)
            if part is not None:
                course.ended(rank, *self._try(part, storage, ATTEMPT, injector, course))
            # Nobody tries again before all have ended, or a rank's retry could stand in for the attempt that its peers still wait for.
            if self.case.retry and course.retries(rank) and part is not None:
                injector.heal()
                course.retried(rank, *self._try(part, storage, RETRY, injector, course))
            if self.case.how.process_group == "own":
                course.leaves()  # who destroyed a group that others wait in would tell them by it

    @property
    def _saves(self) -> bool:
        return self.case.operation != "load"

    def _faulty_storage(self, part: Part, injector: Injector) -> Any:
        engine, place = find(self.case.engine), self.places[part.number]
        if self._saves:
            return FaultyStorageWriter.sharing(engine.make_writer(place), injector)
        return FaultyStorageReader.sharing(engine.make_reader(place), injector)

    def _try(self, part: Part, storage: Any, save: int, injector: Injector, course: Course) -> tuple[Outcome, Wrong | None]:
        """One operation."""
        case, kind = self.case, workload(self.case.workload)
        plain = kind.make(part.context(save if self._saves else None))
        if case.coordinator:  # DCP calls a Stateful with coordinator 0 only; with others, its users call it themselves
            plain = {key: value.state_dict() if is_stateful(value) else value for key, value in plain.items()}
        state = {key: FaultyStateful.sharing(value, injector) if is_stateful(value) else value for key, value in plain.items()}
        try:
            with injector.operation(case.operation):
                self._act(find(case.engine), part, state, storage, injector)
        except BaseException as error:  # whatever an engine raises is the outcome
            if course.over():
                raise  # the world is over, and this is how it ends the rank
            return Outcome("raised", ErrorRecord.of(error), finished_at=current().now()), None
        return Outcome("returned", finished_at=current().now()), None if self._saves else self._compare(kind, part, plain, state)

    def _act(self, engine: Engine, part: Part, state: State, storage: Any, injector: Injector) -> None:
        place, call = self.places[part.number], part.call
        if not self._saves:
            planner = FaultyLoadPlanner.sharing(engine.make_load_planner(self.case.planner), injector)
            engine.load(state, storage, planner, place, call)
            return
        save_planner = FaultySavePlanner.sharing(engine.make_save_planner(self.case.planner), injector)
        if self.case.operation == "async_save":
            engine.async_save(state, storage, save_planner, place, call).result()
        else:
            engine.save(state, storage, save_planner, place, call)

    def _compare(self, kind: Workload, part: Part, plain: State, state: State) -> Wrong:
        result = {key: plain[key] if is_stateful(plain[key]) else value for key, value in state.items()}
        return tuple(kind.mismatches(result, part.context(PREVIOUS)))


def coordinators(case: Case) -> frozenset[int]:
    """The ranks of the world that coordinate, as far as nobody has told them otherwise."""
    return frozenset(group.coordinator for group in case.groups())


# -- in processes


class Distant:
    """A course that is elsewhere.

    Args:
        ask: sends the name of a method of :class:`Course` and its arguments, and gives what it returned.
        meet: see :meth:`harness.worlds.base.World.meet`.
    """

    def __init__(self, ask: Callable[[tuple[Any, ...]], Any], meet: Callable[[Callable[[], None]], None]) -> None:
        self._ask, self._meet = ask, meet

    def ended(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        self._ask(("ended", rank, outcome, wrong))

    def retries(self, rank: int) -> bool:
        self._meet(lambda: self._ask(("met",)))
        return bool(self._ask(("again", rank)))

    def retried(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        self._ask(("retried", rank, outcome, wrong))

    def leaves(self) -> None:
        self._meet(lambda: None)

    def over(self) -> bool:
        return False  # a process that is over is killed


def in_process(attempt: Attempt) -> None:
    """The body of a rank of :class:`harness.worlds.processes.ProcessWorld`: an injector of its own, everything reported as it happens."""
    from harness.worlds.processes.rank import Reported, here

    rank = here()
    injector = Injector(attempt.case.plan, coordinators=coordinators(attempt.case), history=Reported())
    rank.ask_at_collectives(injector)
    with _silence():
        attempt.run(injector, Distant(rank.ask, rank.meet))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silences what an engine logs and warns about faults that were injected on purpose: a rank prints where its parent does."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
