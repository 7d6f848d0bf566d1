"""The program of each rank of a case: the operation under the plan; then, once all ranks have ended, perhaps the same operation again without faults.

The program is the same in every world. It reports to a :class:`ckpt_harness.cases.progress.Progress`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from ckpt_harness.cases.as_process import as_process
from ckpt_harness.cases.async_saves import LATER, Target, save_all
from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.membership import Member, joined
from ckpt_harness.cases.one_call import OneCall
from ckpt_harness.cases.progress import Progress, RankEnding, RemoteProgress
from ckpt_harness.cases.surroundings import injector_of
from ckpt_harness.injection.injector import Injector

PREVIOUS, ATTEMPT, RETRY = 1, 2, 3
"""Numbers of the saves of a case, which the tags of the saved elements carry: the checkpoint before the case, the operation, the second try."""
SECOND = 10
"""Added to the number of a save that is the second of two overlapping saves."""
OLDER = 5
"""Number of the save whose checkpoint the checkpoint before the case has replaced, where the case asks for that."""
SAVES = frozenset({PREVIOUS, ATTEMPT, RETRY, LATER, OLDER, *(number + SECOND for number in (ATTEMPT, RETRY))})
"""The numbers of all saves of a case. A damaged element may look like the tag of another save, which nobody made."""

Places = tuple[tuple[str, ...], ...]
"""For each operation, the place of each group's checkpoint."""


@dataclass(frozen=True)
class RankProgram:
    """What each rank of a case does.

    Attributes:
        bound: the case.
        places: where each group saves to, or loads from.
    """

    bound: BoundCase
    places: Places

    def run(self, injector: Injector, progress: Progress) -> None:
        """Runs the program as the calling rank.

        Args:
            injector: injects the faults of the case.
            progress: receives the reports.
        """
        rank = injector.rank()
        with joined(self.bound, rank, GROUP_TIMEOUT) as member, self._own_groups() as groups:
            storages = [] if member is None else self._storages(member)
            if member is not None:
                for ending in self._try(member, storages, groups, ATTEMPT, injector, progress):
                    progress.ended(rank, ending)
            # All ranks end the attempt before any rank tries again: a retry could stand in for the attempt that other ranks still wait for.
            if progress.retries(rank) and member is not None:
                injector.heal()
                for ending in self._try(member, storages, groups, RETRY, injector, progress):
                    progress.retried(rank, ending)
            if self.bound.leaves_together:
                progress.leaves()  # a rank that destroys a process group would end the wait of others in it

    def _storages(self, member: Member) -> list[Any]:
        """The engine's storage object for each operation; the second try uses the same objects."""
        make = self.bound.engine.make_writer if self.bound.saves else self.bound.engine.make_reader
        return [make(places[member.number]) for places in self.places]

    @contextlib.contextmanager
    def _own_groups(self) -> Iterator[list[Any]]:
        """A process group for each of two overlapping saves if each has its own, else None for each operation."""
        if self.bound.case.overlap != "separate":
            yield [None for _ in self.places]
            return
        limit = dt.timedelta(seconds=GROUP_TIMEOUT)
        groups = [dist.new_group(timeout=limit) for _ in self.places]
        yield groups
        for group in groups:
            dist.destroy_process_group(group)

    def _try(
        self, member: Member, storages: Sequence[Any], groups: Sequence[Any], save: int, injector: Injector, progress: Progress
    ) -> Iterator[RankEnding]:
        """Does each operation once.

        Args:
            member: the rank's membership in its group.
            storages: the storage object for each operation.
            groups: the process group for each operation, or None.
            save: number of the save: :data:`ATTEMPT` or :data:`RETRY`.
            injector: injects the faults.
            progress: says whether the case is over.

        Yields:
            How each operation ended.
        """
        if self.bound.case.operation != "async_save":
            yield self._save_or_load(member, storages[0], save, injector, progress)
            return
        targets = []
        for number, (storage, group) in enumerate(zip(storages, groups, strict=True)):
            targets.append(Target(save + number * SECOND, storage, self.places[number][member.number], group or member.call.group))
        yield from save_all(self.bound, member, injector, targets, progress.over)

    def _save_or_load(self, member: Member, storage: Any, save: int, injector: Injector, progress: Progress) -> RankEnding:
        """Makes the only operation of the case, a save or a load, and returns how it ended; arguments as of :meth:`_try`."""
        bound = self.bound
        planner = bound.engine.make_save_planner(bound.case.planner) if bound.saves else bound.engine.make_load_planner(bound.case.planner)
        call = OneCall(bound, member, storage, planner, self.places[0][member.number], save if bound.saves else None)
        ending = call.make(injector, progress.over)
        if ending.state is None:
            return RankEnding(ending.operation, ending.outcome)
        context = member.context(PREVIOUS)
        wrong = tuple(bound.workload.wrong_after_load(ending.state, context))
        saved, holds = bound.workload.saved_and_held(ending.state, context)
        return RankEnding(ending.operation, ending.outcome, wrong, saved, holds)


def in_process(case: Case, places: Places) -> None:
    """Runs the program as a rank that is a process of its own.

    Args:
        case: the settled case, which is bound again here.
        places: see :class:`RankProgram`.
    """
    from ckpt_harness.worlds.processes.rank import here

    bound = case.bind()
    with as_process(lambda history: injector_of(bound, history), saves_in_processes=case.executor == "process") as injector:
        RankProgram(bound, places).run(injector, RemoteProgress(here().ask, here().meet))
