"""A load by fresh ranks, in a world of their own, while the ranks of the job stand still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.membership import joined
from ckpt_harness.cases.one_call import OneCall
from ckpt_harness.cases.surroundings import injector_of, surroundings
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.comparing import Candidates, compared
from ckpt_harness.jobs.evidence import Loaded
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.trace import Trace
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


@dataclass(frozen=True)
class FreshEnding:
    """How the load of a fresh rank ended.

    Attributes:
        outcome: how it ended.
        loaded: what the rank holds; None unless the load succeeded.
    """

    outcome: Outcome
    loaded: Loaded | None = None


@dataclass(frozen=True)
class FreshLoad:
    """What each fresh rank does.

    Attributes:
        bound: how the engine is called.
        place: where from.
        number: number of the operation.
        candidates: the saves that the place may hold.
    """

    bound: BoundCase
    place: str
    number: int
    candidates: Candidates = field(default_factory=Candidates)

    def run(self, injector: Injector, over: Callable[[], bool]) -> FreshEnding | None:
        """Loads as the calling rank.

        Args:
            injector: injects the faults.
            over: whether the load is over: an exception after that ends the rank, and is no outcome.

        Returns:
            How the load ended; None for a rank that takes no part.
        """
        bound = self.bound
        with joined(bound, injector.rank(), GROUP_TIMEOUT) as member:
            if member is None:
                return None
            reader, planner = bound.engine.make_reader(self.place), bound.engine.make_load_planner(bound.case.planner)
            ending = OneCall(bound, member, reader, planner, self.place, None).make(injector, over, self.number)
            held = None if ending.state is None else compared(bound.workload, ending.state, member, self.candidates)
            return FreshEnding(ending.outcome, held)


def on_simulated_ranks(load: FreshLoad, history: History) -> Sequence[RankResult]:
    """Loads on simulated ranks.

    Args:
        load: what each rank does.
        history: records what happens.

    Returns:
        How each rank ended, with a :class:`FreshEnding` for its value, or None for a rank that takes no part.
    """
    case, over = load.bound.case, list[bool]()
    injector = injector_of(load.bound, history)

    def judge(_results: Sequence[RankResult]) -> None:
        over.append(True)
        history.close()
        injector.end_case()

    world = SimulatedWorld(case.ranks, seed=case.seed, timeout=GROUP_TIMEOUT, group=load.bound.in_process_group)
    with surroundings(injector, range(case.ranks)):
        return world.run(lambda: load.run(injector, lambda: bool(over)), faults=injector, judge=judge)


def course_of_load(call: BoundCall, place: str) -> Trace | None:
    """Loads a place without faults on simulated ranks, to see which calls a load of it makes. Returns None if the load fails anyway.

    Args:
        call: the load.
        place: where from.
    """
    history = History()
    results = on_simulated_ranks(FreshLoad(call.case.without_faults(), place, call.number), history)
    endings = [result.value for result in results if result.rank in call.ranks]
    if any(not isinstance(ending, FreshEnding) or ending.outcome.kind != "returned" for ending in endings):
        return None
    return Trace.of(history)
