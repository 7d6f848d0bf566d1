"""One life of a job on simulated ranks, which share this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.surroundings import surroundings
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.life_observer import LifeObserver
from ckpt_harness.jobs.rank_program import LifeProgram, injector_of_life, is_due
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.single import Singles
from ckpt_harness.worlds import garbage
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


class SimulatedLife(LifeObserver):
    """A life that runs on simulated ranks; receives what its ranks report.

    Args:
        run: the job.
        singles: makes the evidence of its calls.
        life: the life.
    """

    def __init__(self, run: JobRun, singles: Singles, life: Life) -> None:
        super().__init__(run, singles, life)
        self._over = False
        self._injector = injector_of_life(run.bound, life, self.history)
        group = run.bound.bases[life.number].in_process_group
        self._world = SimulatedWorld(life.ranks, seed=run.bound.job.seed, timeout=GROUP_TIMEOUT, group=group)

    def run(self, following: Callable[[], None]) -> bool:
        """Runs the life.

        Args:
            following: runs the lives behind it.

        Returns:
            Whether ``following`` was called, since ranks were lost.
        """
        lost: list[bool] = []
        program = LifeProgram(self._run.bound, self._life, str(self._run.places.directory))

        def when_over(results: Sequence[RankResult]) -> None:
            self._over = True
            self._injector.end_case()
            self.take_stock(results)
            if any(result.outcome not in ("returned", "raised") for result in results):
                lost.append(True)
                following()

        with surroundings(self._injector, range(self._life.ranks)):
            self._world.run(lambda: program.run(self._injector, self), faults=self._injector, judge=when_over)
        return bool(lost)

    # -- reports of the ranks; see JobProgress

    def meet(self, rank: int, index: int) -> None:
        self._world.meet(lambda: self._world.aside(lambda: self._between(index)))

    def _between(self, index: int) -> None:
        with self._injector.set_aside():
            if is_due(self._life, index) and not self._run.busy:
                garbage.collect_at_rest()
            self.between(index)

    def begins(self, rank: int, index: int) -> None:
        if not self._run.records[index].prepared:
            self._world.aside(lambda: self._first_begins(rank, index))

    def _first_begins(self, rank: int, index: int) -> None:
        with self._injector.set_aside():
            super().begins(rank, index)

    def over(self) -> bool:
        return self._over

    def leaves(self) -> None:
        self._world.meet(lambda: None)
