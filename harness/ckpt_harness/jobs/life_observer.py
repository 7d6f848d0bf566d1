"""Collects what the ranks of one running life of a job report. It observes only: what the reports mean is judged elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ckpt_harness.cases.async_saves import Begun
from ckpt_harness.cases.membership import Member
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.history import ErrorRecord, History
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.records import LifeRecord
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import State
from ckpt_harness.worlds.base import RankResult

NOT_WAITED_FOR = "its upload, which nobody waited for"
"""Where an async save hangs whose rank hangs elsewhere."""


class LifeObserver:
    """Receives what the ranks of a life report, as far as that is the same in every world; see :class:`ckpt_harness.jobs.rank_program.JobProgress`.

    Args:
        run: the job.
        life: the life.

    Attributes:
        history: what happens in the life.
    """

    def __init__(self, run: JobRun, life: Life) -> None:
        self._run, self._life = run, life
        self._record = run.lives.setdefault(life.number, LifeRecord())
        self._ended = False
        self.history = History()

    # -- reports of the ranks

    def between(self, index: int) -> None:
        """All ranks are about to begin an operation, or to end; see :meth:`ckpt_harness.jobs.running.JobRun.between`."""
        try:
            self._run.between(self._life, index)
        except Exception as error:
            self._run.internal_errors.append(f"{type(error).__name__}: {error}")
            raise
        self._ended = index == self._life.operations.stop

    def begins(self, rank: int, index: int) -> None:
        self._run.records[index].started[rank] = current().now()

    def ended(self, rank: int, index: int, outcome: Outcome) -> None:
        record = self._run.records[index]
        elapsed = max(0.0, outcome.finished_at - record.started[rank])
        record.outcomes.setdefault(rank, dataclasses.replace(self._run.workspace.scrub_outcome(outcome), finished_at=elapsed))

    def loaded(self, rank: int, index: int, state: State, member: Member) -> None:
        record, call = self._run.records[index], self._run.bound.calls[index]
        place = record.latest.get(rank) or record.place
        assert place is not None, "a rank loads from some place"
        record.loaded[rank] = self._run.compared(place, call, state, member)

    def placed(self, rank: int, paths: Mapping[str, str]) -> None:
        self._run.places.lay(paths)

    def took(self, rank: int, index: int, place: str | None) -> None:
        record = self._run.records[index]
        record.latest[rank] = place
        record.place = record.place or place

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

    # -- the end

    def take_stock(self, results: Sequence[RankResult], fired: set[tuple[str, int, str]], internal_errors: Sequence[str]) -> None:
        """The world of the life is over: collects what is known of each operation.

        Args:
            results: how each rank ended.
            fired: (text of the fault, rank, call) of each fault that fired.
            internal_errors: errors of the injectors.
        """
        run, record = self._run, self._record
        for position, event in enumerate(self.history):
            if event.operation:
                record.events.setdefault(event.operation, []).append((position, event))
        record.fired |= fired
        run.internal_errors += internal_errors
        for result in results:
            if result.outcome == "raised":
                run.internal_errors.append(f"the program of rank {result.rank} ended with {result.record}")
            self._fill(result)
        last = self._last_begun(results)
        for index in self._life.operations:
            background = run.background.get(index)
            if background is not None and not background.after:
                background.after = last or 0
        if not self._ended:
            run.busy.clear()
            seen = run.places.look(())
            if last is not None:
                run.records[last].after = seen

    def _last_begun(self, results: Sequence[RankResult]) -> int | None:
        """The index of the last operation that any rank has begun. Notes of the others why they were not done."""
        last = None
        for index in self._life.operations:
            if self._run.records[index].prepared:
                last = index
            else:
                self._run.records[index].skipped = _why(results)
        return last

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


def _why(results: Sequence[RankResult]) -> str:
    """Why the ranks of a life did not come to an operation."""
    lost = [f"rank {result.rank} {result.outcome}" for result in results if result.outcome != "returned"]
    return ", ".join(lost) or "the ranks ended before"
