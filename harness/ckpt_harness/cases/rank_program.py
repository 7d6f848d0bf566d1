"""What each rank of a case does: the operation under the plan, and once all have ended perhaps the same again, healed.

It is the same for every world. An :class:`Attempt` pickles; what it tells and asks on the way goes through a :class:`Progress`, which is an object of
the rig's where ranks share a process with it, and a line to the rig where they do not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch.distributed as dist

from ckpt_harness._torch import end_executor_process, is_stateful, replace_executor_process
from ckpt_harness.cases.async_saves import RankEnding, Target, engine_stagers_fail, save_all
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.membership import Part, joined
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.names import find_engine
from ckpt_harness.history import ErrorRecord
from ckpt_harness.injection.executor import FaultyExecutor
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.object_store import endpoints
from ckpt_harness.injection.planner import FaultyLoadPlanner, FaultySavePlanner
from ckpt_harness.injection.stateful import FaultyStateful
from ckpt_harness.injection.storage import FaultyStorageReader, FaultyStorageWriter
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import State
from ckpt_harness.workloads.workload import Workload, find_workload

PREVIOUS, ATTEMPT, RETRY = 1, 2, 3
"""Numbers of the saves of a case, as the tags in their elements carry them; a second save under way at the same time adds :data:`SECOND`."""
SECOND = 10


class Progress(Protocol):
    """What a rank tells of its course through a case, and what it is told."""

    def ended(self, rank: int, ending: RankEnding) -> None:
        """An operation has ended on ``rank``."""

    def retries(self, rank: int) -> bool:
        """Waits until the operations have ended on all ranks; whether ``rank`` tries again."""

    def retried(self, rank: int, ending: RankEnding) -> None:
        """An operation of the second try has ended on ``rank``."""

    def leaves(self) -> None:
        """Waits until all ranks are done with their groups."""

    def over(self) -> bool:
        """Whether the case is judged: whatever still happens is the world unwinding its ranks."""


@dataclass(frozen=True)
class Attempt:
    """A rank's part of a case.

    Attributes:
        case: the case.
        places: for each operation, where each group saves to, or loads from.
        timeout: of collectives, in seconds.
    """

    case: Case
    places: tuple[tuple[str, ...], ...]
    timeout: float

    def run(self, injector: Injector, progress: Progress) -> None:
        """Does it, as the calling rank.

        Args:
            injector: injects the case's faults.
            progress: told how it goes.
        """
        rank = injector.rank()
        with joined(self.case, rank, self.timeout) as part, self._groups() as groups:
            storages = [] if part is None else self._storages(part)
            if part is not None:
                for ending in self._try(part, storages, groups, ATTEMPT, injector, progress):
                    progress.ended(rank, ending)
            # Nobody tries again before all have ended, or a rank's retry could stand in for the attempt that its peers still wait for.
            if progress.retries(rank) and part is not None:
                injector.heal()
                for ending in self._try(part, storages, groups, RETRY, injector, progress):
                    progress.retried(rank, ending)
            if self.case.bind().leaves_together:
                progress.leaves()  # who destroyed a group that others wait in would tell them by it

    @property
    def _saves(self) -> bool:
        return self.case.operation != "load"

    def _storages(self, part: Part) -> list[Any]:
        """The engine's storage object for each operation, kept from one try to the next."""
        engine = find_engine(self.case.engine)
        make = engine.make_writer if self._saves else engine.make_reader
        return [make(places[part.number]) for places in self.places]

    @contextlib.contextmanager
    def _groups(self) -> Iterator[list[Any]]:
        """A process group for each operation that has one of its own, else None. They go when all ranks have ended, as nobody else does."""
        if self.case.overlap != "separate":
            yield [None for _ in self.places]
            return
        groups = [dist.new_group(timeout=dt.timedelta(seconds=self.timeout)) for _ in self.places]
        yield groups
        for group in groups:
            dist.destroy_process_group(group)

    def _try(
        self, part: Part, storages: Sequence[Any], groups: Sequence[Any], save: int, injector: Injector, progress: Progress
    ) -> Iterator[RankEnding]:
        case, engine, workload = self.case, find_engine(self.case.engine), find_workload(self.case.workload)
        if case.operation != "async_save":
            yield self._in_the_foreground(engine, workload, part, storages[0], save, injector, progress)
            return
        targets = [
            Target(save + number * SECOND, storage, self.places[number][part.number], group or part.call.group)
            for number, (storage, group) in enumerate(zip(storages, groups, strict=True))
        ]
        yield from save_all(case, engine, workload, part, injector, targets, progress.over)

    def _in_the_foreground(
        self, engine: Engine, workload: Workload, part: Part, storage: Any, save: int, injector: Injector, progress: Progress
    ) -> RankEnding:
        plain = workload.make(part.context(save if self._saves else None))
        if self.case.coordinator:  # DCP calls a Stateful with coordinator 0 only; with others, its users call it themselves
            plain = {key: value.state_dict() if is_stateful(value) else value for key, value in plain.items()}
        state = {key: FaultyStateful.sharing(value, injector) if is_stateful(value) else value for key, value in plain.items()}
        with injector.operation(self.case.operation) as name:
            try:
                self._act(engine, part, state, storage, injector)
            except BaseException as error:  # whatever an engine raises is the outcome
                if progress.over():
                    raise  # the world is over, and this is how it ends the rank
                return RankEnding(name, Outcome("raised", ErrorRecord.of(error), finished_at=current().now()))
        return RankEnding(name, Outcome("returned", finished_at=current().now()), None if self._saves else self._compare(workload, part, plain, state))

    def _act(self, engine: Engine, part: Part, state: State, storage: Any, injector: Injector) -> None:
        place, call = self.places[0][part.number], part.call
        if self._saves:
            writer = FaultyStorageWriter.sharing(storage, injector)
            engine.save(state, writer, FaultySavePlanner.sharing(engine.make_save_planner(self.case.planner), injector), place, call)
        else:
            reader = FaultyStorageReader.sharing(storage, injector)
            engine.load(state, reader, FaultyLoadPlanner.sharing(engine.make_load_planner(self.case.planner), injector), place, call)

    def _compare(self, workload: Workload, part: Part, plain: State, state: State) -> tuple[str, ...]:
        result = {key: plain[key] if is_stateful(plain[key]) else value for key, value in state.items()}
        return tuple(workload.mismatches(result, part.context(PREVIOUS)))


def coordinators(case: Case) -> frozenset[int]:
    """The ranks of the world that coordinate, as far as nobody has told them otherwise."""
    return frozenset(group.coordinator for group in case.groups())


@contextlib.contextmanager
def surroundings(injector: Injector, ranks: Iterable[int]) -> Iterator[None]:
    """What a process needs while ranks of a case run in it.

    The engine's own stagers fail too, requests to object stores pass where they can fail, and errors that escape from threads are kept.
    """
    before = threading.excepthook
    threading.excepthook = lambda escaped: injector.note("escaped", f"{_thread_name(escaped)}: {escaped.exc_type.__name__}: {escaped.exc_value}")
    try:
        with engine_stagers_fail(), endpoints(injector, ranks):
            yield
    finally:
        threading.excepthook = before


def _thread_name(escaped: threading.ExceptHookArgs) -> str:
    # Without the number that Python gives it, which counts all threads that the process ever had.
    return "a thread" if escaped.thread is None else f"thread {re.sub('Thread-[0-9]+', 'Thread', escaped.thread.name)!r}"


# -- in processes


class Distant:
    """A course that is elsewhere.

    Args:
        ask: sends the name of a method of :class:`Progress` and its arguments, and gives what it returned.
        meet: see :meth:`ckpt_harness.worlds.base.World.meet`.
    """

    def __init__(self, ask: Callable[[tuple[Any, ...]], Any], meet: Callable[[Callable[[], None]], None]) -> None:
        self._ask, self._meet = ask, meet

    def ended(self, rank: int, ending: RankEnding) -> None:
        self._ask(("ended", rank, ending))

    def retries(self, rank: int) -> bool:
        self._meet(lambda: self._ask(("met",)))
        return bool(self._ask(("again", rank)))

    def retried(self, rank: int, ending: RankEnding) -> None:
        self._ask(("retried", rank, ending))

    def leaves(self) -> None:
        self._meet(lambda: None)

    def over(self) -> bool:
        return False  # a process that is over is killed


def in_process(attempt: Attempt) -> None:
    """The body of a rank of :class:`ckpt_harness.worlds.processes.ProcessWorld`: an injector of its own, everything reported as it happens."""
    from ckpt_harness.worlds.processes.rank import here
    from ckpt_harness.worlds.processes.reporting import Reported

    rank = here()
    case = attempt.case
    injector = Injector(case.plan, coordinators=coordinators(case), history=Reported(rank), watch_disk=case.watches_disk, watch_network=case.watches_network)
    rank.ask_at_collectives(injector)
    with silenced(), surroundings(injector, [injector.rank()]), contextlib.ExitStack() as until_all_have_ended:
        if attempt.case.executor == "process":
            rank.expect_processes()
            until_all_have_ended.callback(end_executor_process)
            until_all_have_ended.callback(replace_executor_process(FaultyExecutor(injector)))
        attempt.run(injector, Distant(rank.ask, rank.meet))
    injector.end_case()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silences what an engine logs and warns about faults that were injected on purpose: a rank prints where its parent does."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
