"""Collects what the ranks of one running life of a job report. It observes only: what the reports mean is judged elsewhere."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from ckpt_harness.cases.open_files import OpenFiles
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.history import Event, History
from ckpt_harness.jobs.comparing import Candidates
from ckpt_harness.jobs.evidence import Loaded
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.single import Singles
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.worlds.base import RankResult

NOT_WAITED_FOR = "its upload, which nobody waited for"
"""Where an async save hangs whose rank hangs elsewhere."""


class LifeObserver:
    """Receives what the ranks of a life report, as far as all worlds do it alike; see :class:`ckpt_harness.jobs.rank_program.JobProgress`.

    Args:
        run: the job.
        singles: makes the evidence of its calls.
        life: the life.

    Attributes:
        history: what has happened in the life since somebody looked.
    """

    def __init__(self, run: JobRun, singles: Singles, life: Life) -> None:
        self._run, self._singles, self._life = run, singles, life
        self._ended = False
        self._positions = itertools.count()
        self._open_files = OpenFiles(run.workspace.root, in_this_process=run.bound.job.world == "simulated")
        self.history = History()

    # -- reports of the ranks

    def between(self, index: int) -> None:
        """All ranks are about to begin an operation, or to end; see :meth:`ckpt_harness.jobs.running.JobRun.between`."""
        try:
            self._note_events()
            self._run.between(self._life, index)
            if not self._run.managed:
                self._singles.take(self._life, index)
        except Exception as error:
            self._run.internal_errors.append(f"{type(error).__name__}: {error}")
            raise
        self._ended = index == self._life.operations.stop

    def begins(self, rank: int, index: int) -> None:
        if not self._run.records[index].prepared:
            self._run.prepare(index)

    def ended(self, rank: int, index: int, outcome: Outcome, since: float) -> None:
        elapsed = max(0.0, outcome.finished_at - since)
        ended = dataclasses.replace(self._run.workspace.scrub_outcome(outcome), finished_at=elapsed)
        self._run.records[index].outcomes.setdefault(rank, ended)

    def candidates(self, rank: int, index: int) -> Candidates:
        record = self._run.records[index]
        place = record.latest.get(rank) or record.place
        assert place is not None, "a rank loads from some place"
        return self._run.candidates(self._run.bound.calls[index], place)

    def placed(self, rank: int, paths: Mapping[str, str]) -> None:
        self._run.places.lay(paths)

    def took(self, rank: int, index: int, place: str | None) -> None:
        record = self._run.records[index]
        record.latest[rank] = place
        record.place = record.place or place

    def loaded(self, rank: int, index: int, loaded: Loaded) -> None:
        self._run.records[index].loaded[rank] = loaded

    def begun(self, rank: int, index: int) -> None:
        self._run.background[index].begun.add(rank)

    def uploaded(self, rank: int, index: int, outcome: Outcome) -> None:
        self._run.background[index].uploaded[rank] = self._run.workspace.scrub_outcome(outcome)

    def waits(self, rank: int, index: int) -> None:
        self._run.background[index].waiting.add(rank)

    def saved_in_background(self, rank: int, index: int, during: int, ending: RankEnding, since: float) -> None:
        scrub = self._run.workspace.scrub_outcome
        outcome = dataclasses.replace(scrub(ending.outcome), finished_at=max(0.0, ending.outcome.finished_at - since))
        futures = {name: scrub(future) for name, future in ending.futures.items()}
        record = self._run.background[index]
        record.endings[rank] = dataclasses.replace(ending, outcome=outcome, futures=futures)
        record.after, record.reported = max(record.after, during), True

    def path(self, rank: int, index: int) -> str | None:
        place = self._run.records[index].place
        return None if place is None else self._run.places.path(place)

    # -- the end

    def take_stock(self, results: Sequence[RankResult]) -> None:
        """The world of the life is over: collects what is known of each operation.

        Args:
            results: how each rank ended.
        """
        run = self._run
        self.history.close()
        self._note_events()
        run.lives[self._life.number].left = self._left(results)
        first = self._life.operations.start
        if not run.records[first].prepared and any(result.outcome != "returned" for result in results):
            run.prepare(first)  # ranks were lost on their way to it: where their managers were made, say
        for result in results:
            if result.outcome == "raised":
                run.internal_errors.append(f"the program of rank {result.rank} ended with {result.record}")
            self._fill(result)
        last = self._last_begun(results)
        for index in self._life.operations:
            background = run.background.get(index)
            if background is not None and not background.reported:
                background.after = last or 0
        if not self._ended:
            run.busy.clear()
            seen = run.places.look(())
            if last is not None:
                run.records[last].after = seen

    def _note_events(self) -> None:
        """Notes what has happened, call by call."""
        for event in self.history.taken():
            self._run.note(self._life, self._position(event), event)

    def _position(self, event: Event) -> float:
        """By what the events of calls are ordered that were under way at once."""
        return next(self._positions)

    def _left(self, results: Sequence[RankResult]) -> tuple[str, ...] | None:
        """What goes on, or lies about, though all operations have ended; None if a rank was lost."""
        if any(result.outcome != "returned" for result in results):
            return None
        self._open_files.look(results)
        running = [f"rank {result.rank}: {text}" for result in results for text in result.left]
        escaped = [f"rank {rank}: an error escaped from {text}" for rank, text in self._run.lives[self._life.number].escaped]
        return (*running, *escaped, *self._open_files.left())

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
        """How an async save ended whose end its rank did not report, since the rank was lost before: as its future says, if it is completed.

        The manager of a rank waits for all saves at once, and may hang in one of them while another has ended.
        """
        name, record = self._run.bound.calls[index].call, self._run.background[index]
        if rank not in record.begun or outcome.kind != "hung":
            return RankEnding(name, outcome)
        if rank not in record.uploaded:
            return RankEnding(name, outcome if rank in record.waiting else Outcome("hung", where=NOT_WAITED_FOR))
        upload = record.uploaded[rank]
        return RankEnding(name, upload, futures={"upload": upload})


def _why(results: Sequence[RankResult]) -> str:
    """Why the ranks of a life did not come to an operation."""
    lost = [f"rank {result.rank} {result.outcome}" for result in results if result.outcome != "returned"]
    return ", ".join(lost) or "the ranks ended before"
