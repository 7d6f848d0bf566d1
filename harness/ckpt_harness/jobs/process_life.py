"""One life of a job on ranks that are processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.history import Event
from ckpt_harness.jobs.life_observer import LifeObserver
from ckpt_harness.jobs.rank_process import live
from ckpt_harness.worlds.processes import ProcessWorld


class ProcessLife(LifeObserver):
    """A life whose ranks are processes with an injector of their own; receives what its ranks report.

    Args:
        run: the job.
        singles: makes the evidence of its calls.
        life: the life.
    """

    def run(self, following: Callable[[], None]) -> bool:
        """Runs the life. Ranks that hang are killed before the next life begins, as a launcher would do. A killed process publishes nothing more.

        Args:
            following: runs the lives behind it; not called.

        Returns:
            False: the lives behind it are still to be run.
        """
        run, life = self._run, self._life
        run.workspace.remove_if_killed()
        world = ProcessWorld(life.ranks, timeout=GROUP_TIMEOUT, group=run.bound.bases[life.number].in_process_group)
        world.run(live, run.bound.job, life.number, str(run.places.directory), judge=self.take_stock, hear=self.history.append, answer=self._answer)
        return False

    def _position(self, event: Event) -> float:
        return event.time  # heard rank by rank; the clocks of one machine agree on the order

    def _answer(self, rank: int, message: Any) -> Any:
        """Answers a message of a :class:`ckpt_harness.jobs.rank_process.RemoteJobProgress`."""
        name, *arguments = message
        methods: dict[str, Callable[..., Any]] = {
            "between": self.between,
            "begins": self.begins,
            "ended": self.ended,
            "candidates": self.candidates,
            "loaded": self.loaded,
            "placed": self.placed,
            "took": self.took,
            "begun": self.begun,
            "uploaded": self.uploaded,
            "waits": self.waits,
            "saved_in_background": self.saved_in_background,
            "path": self.path,
        }
        return methods[name](*arguments)
