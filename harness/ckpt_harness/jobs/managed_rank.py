"""A rank at work whose checkpoints a manager keeps: each operation of the job is a call of the manager.

The manager is called as a trainer calls it, and knows nothing of the job. What it calls of DCP is struck beneath it; see
:mod:`ckpt_harness.injection.patching`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckpt_harness.cases.membership import Member
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.engines import hooks
from ckpt_harness.errors import HarnessError, HookError, quoted
from ckpt_harness.history import ErrorRecord
from ckpt_harness.injection.injector import Injector
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.comparing import compared
from ckpt_harness.jobs.managers.names import check_methods, find_manager
from ckpt_harness.jobs.managers.protocol import Manager
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Prune, Restart, Save, Wait
from ckpt_harness.jobs.records import NOTHING_TO_LOAD, outcome_of
from ckpt_harness.jobs.steps import is_step, step_of
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.workloads.held import held, remembered

if TYPE_CHECKING:
    from ckpt_harness.jobs.rank_program import JobProgress


@dataclass
class _Saving:
    """An async save that a manager has begun.

    Attributes:
        call: the save.
        name: the name of its operation.
        future: what the manager returned.
        waited: whether the rank has waited for it.
    """

    call: BoundCall
    name: str
    future: Future[Any]
    waited: bool = False


class ManagedRank:
    """A rank at work, with its manager.

    A manager that cannot be made fails every operation until the restart: so does a trainer that cannot begin.

    Args:
        bound: the job.
        member: the rank's membership in the group of all ranks.
        injector: injects the faults of the life.
        progress: receives the reports.
        directory: the directory of the manager.
    """

    def __init__(self, bound: BoundJob, member: Member, injector: Injector, progress: JobProgress, directory: str) -> None:
        self._bound = bound
        self._member = member
        self._injector = injector
        self._progress = progress
        self._rank = injector.rank()
        self._under_way: list[_Saving] = []
        self._unmade: ErrorRecord | None = None
        self._manager: Manager | None = None
        name = bound.job.manager
        try:
            self._manager = check_methods(find_manager(name)(Path(directory)), name)
        except HarnessError:
            raise
        except BaseException as error:  # an error of any type is an outcome
            if progress.over():
                raise
            self._unmade = ErrorRecord.of(error)
        else:
            places = dict.fromkeys(getattr(operation, "place", "") for operation in bound.job.operations)
            progress.placed(self._rank, {place: str(self._manager.path(step_of(place))) for place in places if is_step(place)})

    def do(self, index: int) -> Outcome:
        """Does one operation. Returns how it ended."""
        operation, call = self._bound.job.repeated[index], self._bound.calls.get(index)
        if not isinstance(operation, (Save, AsyncSave, Load, Wait, Prune, Restart)):
            return self._returned()
        waits = isinstance(operation, Wait)
        for saving in self._under_way if waits else ():
            self._progress.waits(self._rank, saving.call.index)
        since = current().now()
        if isinstance(operation, Restart):
            self.finish(index)
            return self._returned()
        outcome = self._unmade_outcome() or self._outcome(lambda: self._act(index, operation, call))
        self._note_ends(index, since, [saving for saving in self._under_way if saving.future.done() and (waits or saving.waited)])
        for saving in self._under_way if waits else ():
            saving.waited = True
        return outcome

    def finish(self, index: int) -> None:
        """Ends as a Python program ends: what is under way is finished first. An error at the very end, such as that of a lost connection, ends it, too."""
        self._note_ends(index, current().now(), list(self._under_way))
        close = getattr(self._manager, "close", None)
        self._manager = None
        if close is not None:
            self._outcome(close)

    # -- operations

    def _act(self, index: int, operation: Any, call: BoundCall | None) -> Outcome:
        """Calls the manager.

        Raises:
            BaseException: whatever the manager raises.
        """
        manager = self._manager
        assert manager is not None, "a manager that could not be made is called no more"
        if isinstance(operation, Save):
            assert call is not None
            self._save(manager, call)
        elif isinstance(operation, AsyncSave):
            assert call is not None
            self._begin(manager, index, call)
        elif isinstance(operation, Load):
            assert call is not None
            return self._load(manager, index, operation, call)
        elif isinstance(operation, Wait):
            manager.wait()
        elif isinstance(operation, Prune):
            manager.prune(operation.keep)
        return self._returned()

    def _save(self, manager: Manager, call: BoundCall) -> None:
        state = call.case.workload.make(self._member.context(call.save))
        with self._injector.operation("save", call.number):
            manager.save(state, step_of(call.operation.place))

    def _begin(self, manager: Manager, index: int, call: BoundCall) -> None:
        """Begins an async save, and trains on: every value of the state is overwritten."""
        state = call.case.workload.make(self._member.context(call.save))
        name = self._injector.begin("async_save", call.number)
        since = current().now()
        try:
            future = manager.async_save(state, step_of(call.operation.place))
            if not isinstance(future, Future):
                raise self._wrong("async_save", future, "a Future")
        except BaseException as error:
            self._injector.end(name)
            if not self._progress.over() and not isinstance(error, HarnessError):
                ending = RankEnding(name, Outcome("raised", ErrorRecord.of(error), finished_at=current().now()))
                self._progress.saved_in_background(self._rank, call.index, index, ending, since)
            raise
        self._injector.leave(name)
        current().expect(future)
        self._under_way.append(_Saving(call, name, future))
        self._progress.begun(self._rank, call.index)
        future.add_done_callback(lambda upload: self._progress.uploaded(self._rank, call.index, outcome_of(upload)))
        call.case.workload.overwrite(state, self._member.context(call.later))

    def _load(self, manager: Manager, index: int, operation: Load, call: BoundCall) -> Outcome:
        place: str | None = operation.place
        if operation.place == LATEST:
            step = manager.latest()
            if step is not None and type(step) is not int:
                raise self._wrong("latest", step, "a step, or None")
            place = None if step is None else str(step)
            self._progress.took(self._rank, index, place)
        if place is None:
            return NOTHING_TO_LOAD
        state = call.case.workload.make_target(self._member.context(None))
        passed = remembered(state)
        with self._injector.operation("load", call.number):
            manager.load(state, int(place))
        ended = self._returned()
        candidates = self._progress.candidates(self._rank, index)
        self._progress.loaded(self._rank, index, compared(call.case.workload, held(passed, state), self._member, candidates))
        return ended

    # -- how operations end

    def _wrong(self, method: str, value: object, valid: str) -> HookError:
        """The error for a method that returned something that it may not return: nothing that is observed then means anything."""
        return hooks.note(HookError(f"manager {quoted(self._bound.job.manager)}: {method} returned {quoted(value, 40)}; valid: {valid}"))

    def _returned(self) -> Outcome:
        return Outcome("returned", finished_at=current().now())

    def _unmade_outcome(self) -> Outcome | None:
        return None if self._unmade is None else Outcome("raised", self._unmade, finished_at=current().now())

    def _outcome(self, act: Callable[[], Outcome | None]) -> Outcome:
        """Does something, and returns how it ended; an error of any type is an outcome."""
        try:
            return act() or self._returned()
        except HarnessError:
            raise
        except BaseException as error:
            if self._progress.over():
                raise
            return Outcome("raised", ErrorRecord.of(error), finished_at=current().now())

    def _note_ends(self, index: int, since: float, savings: list[_Saving]) -> None:
        """Reports how async saves have ended; waits for those that have not.

        Args:
            index: the index of the operation during which they end.
            since: when the rank began to wait for them.
            savings: the async saves.
        """
        for saving in savings:
            outcome = self._outcome(lambda future=saving.future: future.result() and None)  # type: ignore[misc]
            self._injector.end(saving.name)
            ending = RankEnding(saving.name, outcome, futures={"upload": outcome})
            self._progress.saved_in_background(self._rank, saving.call.index, index, ending, since)
            self._under_way.remove(saving)
