"""A rank of a life of a job that is a process of its own: it runs the same program, and reports to the process that runs the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ckpt_harness.cases.as_process import as_process
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.comparing import Candidates
from ckpt_harness.jobs.evidence import Loaded
from ckpt_harness.jobs.job import Job, Life
from ckpt_harness.jobs.operations import AsyncSave
from ckpt_harness.jobs.rank_program import LifeProgram, injector_of_life, is_due
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.worlds import garbage


class Process(Protocol):
    """What a rank uses of its process; see :class:`ckpt_harness.worlds.processes.rank.Rank`."""

    def ask(self, message: Any) -> Any:
        """Sends a request to the process that runs the job; returns the reply."""

    def note(self, message: Any) -> None:
        """Sends a report to the process that runs the job."""

    def meet(self, action: Callable[[], None]) -> None:
        """Waits until every rank has called this method; the last rank runs the action."""


def live(job: Job, number: int, directory: str) -> None:
    """Lives a life of a job as a rank that is a process of its own.

    Args:
        job: the job, which is bound again here.
        number: the number of the life.
        directory: the directory of the manager, where there is one.
    """
    from ckpt_harness.worlds.processes.rank import here

    bound, life = bind_job(job), job.lives[number - 1]
    operations = [job.repeated[index] for index in life.operations]
    saves_in_processes = any(isinstance(operation, AsyncSave) and operation.executor == "process" for operation in operations)
    with as_process(lambda history: injector_of_life(bound, life, history), saves_in_processes=saves_in_processes) as injector:
        LifeProgram(bound, life, directory).run(injector, RemoteJobProgress(here(), life))


class RemoteJobProgress:
    """The :class:`ckpt_harness.jobs.rank_program.JobProgress` of a rank in a process of its own: each report is a message.

    A message is the name of a method of :class:`ckpt_harness.jobs.process_life.ProcessLife`, and its arguments.

    Args:
        process: the process of the rank.
        life: the life.
    """

    def __init__(self, process: Process, life: Life) -> None:
        self._process, self._life = process, life

    def meet(self, rank: int, index: int) -> None:
        if is_due(self._life, index):
            garbage.collect_at_rest()
        self._process.meet(lambda: self._process.ask(("between", index)))

    def begins(self, rank: int, index: int) -> None:
        self._process.ask(("begins", rank, index))

    def ended(self, rank: int, index: int, outcome: Outcome, since: float) -> None:
        self._process.note(("ended", rank, index, outcome, since))

    def candidates(self, rank: int, index: int) -> Candidates:
        candidates: Candidates = self._process.ask(("candidates", rank, index))
        return candidates

    def loaded(self, rank: int, index: int, loaded: Loaded) -> None:
        self._process.note(("loaded", rank, index, loaded))

    def placed(self, rank: int, paths: Mapping[str, str]) -> None:
        self._process.note(("placed", rank, paths))

    def took(self, rank: int, index: int, place: str | None) -> None:
        self._process.note(("took", rank, index, place))

    def begun(self, rank: int, index: int) -> None:
        self._process.note(("begun", rank, index))

    def uploaded(self, rank: int, index: int, outcome: Outcome) -> None:
        self._process.note(("uploaded", rank, index, outcome))

    def waits(self, rank: int, index: int) -> None:
        self._process.note(("waits", rank, index))

    def saved_in_background(self, rank: int, index: int, during: int, ending: RankEnding, since: float) -> None:
        self._process.note(("saved_in_background", rank, index, during, ending, since))

    def path(self, rank: int, index: int) -> str | None:
        path: str | None = self._process.ask(("path", rank, index))
        return path

    def leaves(self) -> None:
        self._process.meet(lambda: None)

    def over(self) -> bool:
        return False  # when the life is over, the process is killed
