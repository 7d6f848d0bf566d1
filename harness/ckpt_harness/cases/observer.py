"""Collects what the ranks of one running case report. It observes only: what the reports mean is judged elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.history import History
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


class Observer:
    """The :class:`ckpt_harness.cases.progress.Progress` of all ranks of one run.

    Args:
        bound: the case that runs.
        workspace: where it runs; the path of this directory is removed from errors.

    Attributes:
        after_the_attempt: called once the operations have ended on all ranks; returns the ranks that try again. By default none does.
        history: what happened on each rank; closed when the world is over.
        endings: operation -> rank -> how the operation ended.
        retry_endings: rank -> how each operation of the second try ended.
        retrying: the ranks that try again.
        fired: (text of the fault, rank) of each fault that fired.
        internal_errors: errors of the harness itself.
    """

    def __init__(self, bound: BoundCase, workspace: Workspace) -> None:
        self._bound = bound
        self._workspace = workspace
        self._world: SimulatedWorld | None = None
        self._over = False
        self.after_the_attempt: Callable[[], frozenset[int]] = frozenset
        self.history = History()
        self.endings: dict[str, dict[int, RankEnding]] = {}
        self.retry_endings: dict[int, list[RankEnding]] = {}
        self.retrying: frozenset[int] = frozenset()
        self.fired: frozenset[tuple[str, int]] = frozenset()
        self.internal_errors: tuple[str, ...] = ()

    def watch(self, world: SimulatedWorld) -> None:
        """Names the world whose ranks meet through this observer; only for ranks that share this process."""
        self._world = world

    def close(self) -> None:
        """The world is over: what ranks do while they are unwound is not recorded."""
        self._over = True
        self.history.close()

    # -- reports of ranks that share this process; see Progress

    def ended(self, rank: int, ending: RankEnding) -> None:
        self.endings.setdefault(ending.operation, {})[rank] = self._without_paths(ending)

    def retries(self, rank: int) -> bool:
        world = self._world
        assert world is not None, "ranks that share this process run in a world that this observer watches"
        world.meet(lambda: world.aside(self.all_have_ended))
        return self.is_to_retry(rank)

    def retried(self, rank: int, ending: RankEnding) -> None:
        self.retry_endings.setdefault(rank, []).append(self._without_paths(ending))

    def leaves(self) -> None:
        assert self._world is not None, "ranks that share this process run in a world that this observer watches"
        self._world.meet(lambda: None)

    def over(self) -> bool:
        return self._over

    # -- reports of ranks in other processes; see RemoteProgress

    def answer(self, rank: int, message: Any) -> Any:
        """Answers a message of a :class:`ckpt_harness.cases.progress.RemoteProgress`.

        Args:
            rank: the rank that sent it.
            message: the name of a method, and its arguments.
        """
        name, *arguments = message
        methods: dict[str, Callable[..., Any]] = {
            "ended": self.ended,
            "all_have_ended": self.all_have_ended,
            "is_to_retry": self.is_to_retry,
            "retried": self.retried,
        }
        return methods[name](*arguments)

    def all_have_ended(self) -> None:
        """All ranks have ended their operations, and wait: looks at what they left, and decides which ranks try again."""
        self.retrying = self.after_the_attempt()

    def is_to_retry(self, rank: int) -> bool:
        """Whether a rank tries again; known once all have ended."""
        return rank in self.retrying

    # -- in the terms of the oracles

    def outcomes(self, results: Sequence[RankResult]) -> dict[str, dict[int, Outcome]]:
        """Returns operation -> rank -> how it ended; the result of the world stands in for a rank that did not report.

        Args:
            results: how each rank ended, as the world says.
        """
        outcomes: dict[str, dict[int, Outcome]] = {}
        for operation in self._bound.case.operations:
            reported = self.endings.get(operation, {})
            outcomes[operation] = {
                result.rank: reported[result.rank].outcome if result.rank in reported else self._workspace.outcome(result)
                for result in results
                if result.rank in self._bound.members
            }
        return outcomes

    def retry_outcomes(self, results: Sequence[RankResult]) -> dict[int, Outcome]:
        """Returns rank -> how the second try ended, for the ranks that tried again."""
        return {result.rank: self._retry_outcome(result) for result in results if result.rank in self.retrying}

    def _retry_outcome(self, result: RankResult) -> Outcome:
        """The first operation of a rank's second try that did not return; if all returned, the first."""
        endings = self.retry_endings.get(result.rank, [])
        if len(endings) < len(self._bound.case.operations):
            return self._workspace.outcome(result)
        endings = sorted(endings, key=lambda ending: ending.operation)  # overlapping saves are reported in the order in which they ended
        for ending in endings:
            if ending.outcome.kind != "returned":
                return ending.outcome
        return endings[0].outcome

    def _without_paths(self, ending: RankEnding) -> RankEnding:
        futures = {name: self._workspace.scrub_outcome(outcome) for name, outcome in ending.futures.items()}
        return dataclasses.replace(ending, outcome=self._workspace.scrub_outcome(ending.outcome), futures=futures)
