"""The search: which job comes next, and what its result means. Where jobs run is up to a pool."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from ckpt_harness.campaigns.fuzz.corpus import Corpus, Remembered
from ckpt_harness.campaigns.fuzz.found import Found
from ckpt_harness.campaigns.fuzz.work import Result, Task
from ckpt_harness.campaigns.pools.base import HERE, Pool, Work
from ckpt_harness.jobs.coverage import Coverage, pairs
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import JobRecord, Shown
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.strategies.job_grammar import draw_job
from ckpt_harness.strategies.job_menu import JobMenu
from ckpt_harness.strategies.job_source import RandomSource


@dataclass(frozen=True)
class Limits:
    """When a search ends by itself.

    Attributes:
        seconds: after so many seconds; None for no limit. What failed last is still shrunk.
        examples: after so many drawn jobs; None for no limit.
    """

    seconds: float | None = None
    examples: int | None = None


@dataclass
class Tally:
    """The numbers of a search.

    Attributes:
        coverage: what was tried. A class of faults counts where a fault of it fired.
        drawn: drawn jobs that were run.
        operations: their operations.
        shrinking: runs that shrinking took.
        verdicts: verdict -> number of jobs.
        replayed: jobs of the corpus that were run.
        healed: jobs of the corpus that hold now.
        seconds: real time.
    """

    coverage: Coverage
    drawn: int = 0
    operations: int = 0
    shrinking: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    replayed: int = 0
    healed: int = 0
    seconds: float = 0.0


class Drawing:
    """An endless sequence of jobs: the same for the same seed and menu, wherever they run and whatever they show.

    Args:
        menu: what jobs are made of.
        seed: the seed.
    """

    def __init__(self, menu: JobMenu, seed: int) -> None:
        self._menu, self._seed = menu, seed
        self._tried: Counter[Hashable] = Counter()

    def __iter__(self) -> Iterator[Job]:
        number = 0
        while True:
            job = draw_job(RandomSource(f"{self._seed}/{number}", self._tried), self._menu)
            tried = pairs(job)
            self._tried.update(tried)
            self._tried.update((pair.first, pair.fault) for pair in tried)
            number += 1
            yield job


class Search:
    """Draws jobs, runs them, and shrinks what fails.

    Args:
        menu: what jobs are made of.
        seed: seed of the sequence of jobs.
        limits: when the search ends by itself.
        corpus: what failed before; None to remember nothing.
        clock: gives the time in seconds.
        shrinks_known: whether the first job that shows a known finding is shrunk, too.

    Attributes:
        found: what was found.
        tally: the numbers.
    """

    def __init__(
        self,
        menu: JobMenu,
        seed: int = 0,
        limits: Limits = Limits(),
        corpus: Corpus | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        shrinks_known: bool = False,
    ) -> None:
        self._jobs = iter(Drawing(menu, seed))
        self._limits = limits
        self._corpus = corpus
        self._clock = clock
        self._shrinks_known = shrinks_known
        self._known_tasks: dict[str, Task | None] = {}  # id of a known finding -> what shrinks its job; None once that is done
        self._started = clock()
        self._given = 0
        self._remembered: dict[Job, Remembered] = {}
        self._to_shrink: deque[Task] = deque()
        self._unshrunk: dict[Task, JobRecord] = {}
        self.found = Found()
        self.tally = Tally(Coverage(menu.steps, menu.classes))

    def run(
        self,
        work: Work[Task, Result],
        pool: Pool = HERE,
        progress: Callable[[Tally, Found], None] = lambda tally, found: None,
        note: Callable[[Result], None] = lambda result: None,
    ) -> None:
        """Searches until a limit is reached.

        Args:
            work: runs jobs, such as :class:`ckpt_harness.campaigns.fuzz.running.RunJobs`.
            pool: where jobs run.
            progress: called after each result. An interruption that it raises ends the search; what was found until then stays.
            note: called with each result.

        Raises:
            UsageError: the corpus cannot be written.
            PoolError: the pool cannot go on.
        """
        try:
            for tasks in (self._tasks(), self._left()):
                with contextlib.closing(pool.run(work, tasks)) as results:
                    for result in results:
                        self._take(result)
                        note(result)
                        self.tally.seconds = self._clock() - self._started
                        progress(self.tally, self.found)
                        if self._is_late() and result.task.target is None:
                            break
        except BaseException:
            for record in self._unshrunk.values():
                self._keep(record, 0)
            raise

    def _is_late(self) -> bool:
        return self._limits.seconds is not None and self._clock() - self._started >= self._limits.seconds

    def _tasks(self) -> Iterator[Task]:
        """First what failed before; then what is to be shrunk, before new jobs."""
        for remembered in self._corpus or ():
            self._remembered[remembered.job] = remembered
            yield Task(remembered.job, "corpus")
        while not self._is_late() and self._given != self._limits.examples:
            if self._to_shrink:
                yield self._to_shrink.popleft()
            else:
                self._given += 1
                yield Task(next(self._jobs))

    def _left(self) -> Iterator[Task]:
        """What is to be shrunk when the search is over: shrinking that was under way begins anew."""
        yield from [*self._unshrunk, *filter(None, self._known_tasks.values())]

    def _take(self, result: Result) -> None:
        record, task = result.record, result.task
        if isinstance(task.target, Shown):
            self.tally.shrinking += result.runs
            self.found.note_shrunk(record, task.target.id, result.runs)
            self._known_tasks[task.target.id] = None
            return
        self.found.note_known(record)
        if task.target is not None:
            self.tally.shrinking += result.runs
            self._unshrunk.pop(task, None)
            self._keep(record, result.runs)
        elif task.origin == "corpus":
            self._replayed(result)
        else:
            self.tally.drawn += 1
            self.tally.operations += len(record.job.operations)
            self.tally.verdicts[record.verdict] += 1
            self.tally.coverage.add(pairs(record.job, record.fired))
            if self._shrinks_known:
                self._take_up(record)
            if record.fails and self.found.is_worth_shrinking(record):
                self._unshrunk[Task(record.job, target=record.target)] = record
                self._to_shrink.append(Task(record.job, target=record.target))

    def _take_up(self, record: JobRecord) -> None:
        """Has the job shrunk for each known finding that no job has shown before."""
        for name in record.known:
            if name not in self._known_tasks:
                task = Task(record.job, target=Shown(name))
                self._known_tasks[name] = task
                self._to_shrink.append(task)

    def _replayed(self, result: Result) -> None:
        self.tally.replayed += 1
        if result.record.fails:
            self.found.add(result.record, old=True)
        elif result.record.verdict is Verdict.HOLDS:
            self.tally.healed += 1
            assert self._corpus is not None
            self._corpus.heal(self._remembered[result.task.job])

    def _keep(self, record: JobRecord, runs: int) -> None:
        """Adds a job that fails, as simple as it could be made, and remembers it."""
        new = self.found.add(record, runs)
        if new is not None and self._corpus is not None:
            self._corpus.add(Remembered.of(record), record.happened)
