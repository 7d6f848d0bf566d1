"""The program of each rank of a life of a job: one operation after the other, with the objects that the rank keeps.

The ranks meet before each operation, while no rank runs the job looks at storage; only around a ``continue`` they do not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch.distributed as dist

from ckpt_harness.cases import async_saves
from ckpt_harness.cases.async_saves import Begun, Target
from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.membership import Member, joined
from ckpt_harness.cases.one_call import OneCall
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.patching import intercepted
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.comparing import Candidates, compared
from ckpt_harness.jobs.evidence import Loaded
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.managed_rank import ManagedRank
from ckpt_harness.jobs.operations import ALL, AsyncSave, Renew, Restart, Retry, Wait
from ckpt_harness.jobs.records import NOTHING_TO_LOAD, outcome_of
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current


class JobProgress(Protocol):
    """Receives what each rank of a life reports."""

    def meet(self, rank: int, index: int) -> None:
        """Waits until all ranks are about to begin operation ``index``, and lets the job look and act meanwhile."""

    def begins(self, rank: int, index: int) -> None:
        """A rank begins an operation."""

    def ended(self, rank: int, index: int, outcome: Outcome, since: float) -> None:
        """An operation has ended on a rank, which has begun it at a moment of the world's time."""

    def candidates(self, rank: int, index: int) -> Candidates:
        """The saves that the place of a load may hold."""

    def loaded(self, rank: int, index: int, loaded: Loaded) -> None:
        """A load has succeeded on a rank."""

    def placed(self, rank: int, paths: Mapping[str, str]) -> None:
        """The manager of a rank was made, and says where it lays the places of the job."""

    def took(self, rank: int, index: int, place: str | None) -> None:
        """The manager of a rank took a place for the latest during an operation; None if it found none."""

    def begun(self, rank: int, index: int) -> None:
        """An async save was begun on a rank, which got futures."""

    def uploaded(self, rank: int, index: int, outcome: Outcome) -> None:
        """The future of an async save has ended, on whichever thread, whether a rank waits for it or not."""

    def waits(self, rank: int, index: int) -> None:
        """A rank begins to wait for an async save."""

    def saved_in_background(self, rank: int, index: int, during: int, ending: RankEnding, since: float) -> None:
        """An async save has ended on a rank that waits for it during an operation, since a moment of the world's time."""

    def path(self, rank: int, index: int) -> str | None:
        """Where the place of an operation lies; None if there is no such place."""

    def over(self) -> bool:
        """Whether the life is over. An exception after that comes from the world, which unwinds its ranks."""

    def leaves(self) -> None:
        """Waits until all ranks are done with their process groups."""


_COLLECTED_EVERY = 50
"""Operations of a life after which the garbage of its ranks is collected. Shorter lives are left alone: a finalizer may change what is stored."""


def is_due(life: Life, index: int) -> bool:
    """Whether the garbage of the ranks is collected before an operation.

    Args:
        life: the life.
        index: the index of the operation.
    """
    done = index - life.operations.start
    return done > 0 and done % _COLLECTED_EVERY == 0


def injector_of_life(bound: BoundJob, life: Life, history: History) -> Injector:
    """Returns what injects the faults of a life.

    Args:
        bound: the job.
        life: the life.
        history: records what happens.
    """
    calls = [bound.calls[index] for index in life.operations if index in bound.calls]
    faults = dict.fromkeys(fault for call in calls if not call.fresh for fault in call.case.plan.plan)
    return Injector(
        FaultPlan(tuple(faults)),
        coordinators=bound.bases[life.number].coordinators,
        history=history,
        watch_disk=bound.job.faults.strikes_disk,
        watch_network=bound.job.faults.strikes_network,
        announced=bool(bound.job.manager),
    )


@dataclass(frozen=True)
class LifeProgram:
    """What each rank of a life does.

    Attributes:
        bound: the job.
        life: the life.
        directory: the directory of the manager, where there is one.
    """

    bound: BoundJob
    life: Life
    directory: str = ""

    def run(self, injector: Injector, progress: JobProgress) -> None:
        """Runs the program as the calling rank.

        Args:
            injector: injects the faults of the life.
            progress: receives the reports.
        """
        rank = injector.rank()
        with joined(self.bound.bases[self.life.number], rank, GROUP_TIMEOUT) as member, self._own_groups() as groups, contextlib.ExitStack() as here:
            hands = None if member is None else here.enter_context(self._hands(member, groups, injector, progress))
            for index in self.life.operations:
                if not self.bound.job.goes_on_alone(index):
                    progress.meet(rank, index)
                progress.begins(rank, index)
                since = current().now()
                outcome = Outcome("returned", finished_at=current().now()) if hands is None else hands.do(index)
                progress.ended(rank, index, outcome, since)
            if hands is not None:
                hands.finish(self.life.operations[-1])
            progress.meet(rank, self.life.operations.stop)
            progress.leaves()

    @contextlib.contextmanager
    def _hands(self, member: Member, groups: dict[int, Any], injector: Injector, progress: JobProgress) -> Iterator[_Hands | ManagedRank]:
        """What does the operations of the calling rank: calls of the engine, or of a manager beneath which the calls of DCP are struck."""
        if self.bound.job.manager:
            with intercepted(injector):
                yield ManagedRank(self.bound, member, injector, progress, self.directory)
        else:
            yield _Hands(self.bound, member, groups, injector, progress, injector.rank())

    @contextlib.contextmanager
    def _own_groups(self) -> Iterator[dict[int, Any]]:
        """A process group for each async save of the life that asks for a group of its own, by the index of its operation."""
        limit = dt.timedelta(seconds=GROUP_TIMEOUT)
        calls = [self.bound.calls[index] for index in self.life.operations if index in self.bound.calls]
        own = [call for call in calls if isinstance(call.operation, AsyncSave) and call.operation.group == "own"]
        groups = {call.index: dist.new_group(list(call.ranks), timeout=limit) for call in own}
        yield groups
        for call in own:
            if dist.get_rank() in call.ranks:
                dist.destroy_process_group(groups[call.index])


@dataclass
class _Hands:
    """A rank at work, with the objects that it keeps from operation to operation.

    Attributes:
        kept: kind of object and what it is for -> the object.
        under_way: async saves that the rank has not waited for.
    """

    bound: BoundJob
    member: Member
    groups: dict[int, Any]
    injector: Injector
    progress: JobProgress
    rank: int
    kept: dict[tuple[str, str], Any] = field(default_factory=dict)
    under_way: list[tuple[BoundCall, Begun]] = field(default_factory=list)

    def do(self, index: int) -> Outcome:
        """Does one operation. Returns how it ended."""
        operation = self.bound.job.operations[index]
        call = self.bound.calls.get(index)
        if isinstance(operation, Wait):
            return self._wait(index, operation.place)
        if isinstance(operation, Renew):
            self._renew(operation.what)
        elif isinstance(operation, Restart):
            self.finish(index)
        if call is None or call.fresh:
            return self._returned()
        return self._call(index, call, again=isinstance(operation, Retry))

    def finish(self, index: int) -> None:
        """Ends as a Python program ends: what is under way is finished first."""
        self._wait(index, "")
        self._renew("stager")

    def _returned(self) -> Outcome:
        return Outcome("returned", finished_at=current().now())

    # -- calls of the engine

    def _call(self, index: int, call: BoundCall, again: bool) -> Outcome:
        path = self.progress.path(self.rank, index)
        if path is None:
            return NOTHING_TO_LOAD
        member = self._as_member(call)
        self.injector.learn_role(self.rank in call.case.coordinators)
        if call.case.case.operation == "async_save":
            return self._begin(call, member, path)
        engine, kind = call.case.engine, call.case.case.planner
        if call.case.saves:
            storage = self._keep("writer", path, lambda: engine.make_writer(path))
            planner = self._keep("planner", f"save {kind}", lambda: engine.make_save_planner(kind))
        else:
            storage = self._keep("reader", path, lambda: engine.make_reader(path))
            planner = self._keep("planner", f"load {kind}", lambda: engine.make_load_planner(kind))
        ending = OneCall(call.case, member, storage, planner, path, call.save).make(self.injector, self.progress.over, call.number)
        if ending.state is not None:
            candidates = self.progress.candidates(self.rank, index)
            self.progress.loaded(self.rank, index, compared(call.case.workload, ending.state, member, candidates))
        return ending.outcome

    def _as_member(self, call: BoundCall) -> Member:
        """The rank's membership, for a call with a coordinator of its own."""
        coordinator = call.case.case.coordinator
        return dataclasses.replace(self.member, group=call.case.groups[0], call=dataclasses.replace(self.member.call, coordinator=coordinator))

    def _begin(self, call: BoundCall, member: Member, path: str) -> Outcome:
        """Begins an async save."""
        assert call.save is not None
        engine, case = call.case.engine, call.case.case
        target = Target(
            call.save,
            self._keep("writer", path, lambda: engine.make_writer(path)),
            path,
            self.groups.get(call.index, member.call.group),
            later=call.later,
            number=call.number,
            planner=self._keep("planner", f"async {case.planner}", lambda: engine.make_save_planner(case.planner)),
            stager=self._keep("stager", case.staging, lambda: engine.make_stager(case.staging)) if case.staging in ("blocking", "background") else None,
        )
        begun = async_saves.begin(call.case, member, self.injector, target, self.progress.over)
        self.under_way.append((call, begun))
        if begun.saving is None:
            return Outcome("raised", begun.error, finished_at=current().now())
        self.progress.begun(self.rank, call.index)
        begun.saving.upload.add_done_callback(lambda upload: self.progress.uploaded(self.rank, call.index, outcome_of(upload)))
        return self._returned()

    def _wait(self, index: int, place: str) -> Outcome:
        """Waits for async saves. The operation ends as the first of them does that did not return."""
        waited = [(call, begun) for call, begun in self.under_way if place in ("", call.operation.place)]
        pending = [begun for _, begun in waited]
        since = current().now()
        for call, _ in waited:
            self.progress.waits(self.rank, call.index)
        outcomes = []
        while pending:
            for begun in async_saves.ended(pending):
                pending.remove(begun)
                ending = async_saves.awaited(begun, self.progress.over)
                self.injector.end(begun.operation)
                call = next(call for call, each in waited if each is begun)
                self.progress.saved_in_background(self.rank, call.index, index, ending, since)
                outcomes.append(ending.outcome)
        self.under_way = [(call, begun) for call, begun in self.under_way if begun not in [each for _, each in waited]]
        return next((outcome for outcome in outcomes if outcome.kind != "returned"), self._returned())

    # -- objects

    def _keep(self, kind: str, what: str, make: Callable[[], Any]) -> Any:
        """The object that the rank keeps for a purpose, or a new one. A planner or stager of an async save that is under way is not shared."""
        busy = self.under_way and kind in ("planner", "stager")
        if busy or (kind, what) not in self.kept:
            if busy and (kind, what) in self.kept:
                self.kept["spare", f"{kind} {len(self.kept)}"] = self.kept.pop((kind, what))
            self.kept[kind, what] = make()
        return self.kept[kind, what]

    def _renew(self, what: str) -> None:
        """Forgets objects, so that they are made anew. Stagers are closed."""
        for kind, name in list(self.kept):
            stager = kind == "stager" or name.startswith("stager")
            if what in (kind, ALL) or (what == "stager" and stager):
                kept = self.kept.pop((kind, name))
                if stager:
                    kept.close()
