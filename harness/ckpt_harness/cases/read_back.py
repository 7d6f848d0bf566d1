"""Reading a checkpoint back: what fresh ranks get from a place, and of which save it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.base import Call, Engine
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import Workload
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

TIMEOUT = 1800.0
"""Virtual seconds that a collective waits; torch's default for gloo."""


@dataclass(frozen=True)
class Reading:
    """What fresh ranks got.

    Attributes:
        failed: rank -> how its load ended, where it did not succeed.
        hung: whether any waits for ever.
        differences: number of a save -> what differs from it where the load succeeded; one text for each entry and rank.
        saves: the saves whose values were seen where the load succeeded; but for what the state was given after it had been staged.
        later: names of entries that hold what the state was given after it had been staged.
        ranks: how many ranks loaded.
    """

    failed: Mapping[int, str]
    hung: bool
    differences: Mapping[int, tuple[str, ...]]
    saves: tuple[int, ...]
    later: tuple[str, ...]
    ranks: int

    def wrong(self, save: int) -> tuple[str, ...]:
        """All that is wrong, if the place must hold a save."""
        return (*(f"rank {rank} {ended}" for rank, ended in self.failed.items()), *self.differences[save])

    def shows(self, old: int, new: int) -> Shown:
        """What the place shows of two saves that it may hold; whether there is a checkpoint at all is not asked."""
        if self.hung:
            return "hang"
        if self.failed:
            return "error" if len(self.failed) == self.ranks else "disagreement"
        if not self.differences[new]:
            return "new"
        if not self.differences[old]:
            return "old"
        return "mixture" if len(self.saves) > 1 else "wrong"


def read(
    engine: Engine,
    workload: Workload,
    place: str,
    *,
    saves: Sequence[int],
    ranks: int,
    shards: int,
    owner: Callable[[int], int] = lambda _: 0,
    group: bool = True,
    planner: str = "default",
    later: int | None = None,
    told: Callable[[RankResult], str] = lambda result: str(result.record or result.outcome),
) -> Reading:
    """Loads a checkpoint in fresh simulated ranks.

    Args:
        engine: loads it.
        workload: the workload that it holds.
        place: where it is.
        saves: numbers of the saves that it may hold.
        ranks: how many ranks load it, together.
        shards: into how many shards the state was cut when it was saved.
        owner: rank -> whose state it loads.
        group: whether the ranks are in a process group.
        planner: name of the kind of planner.
        later: number of the save whose values the state was given after it had been staged.
        told: how an outcome reads.
    """

    def load() -> tuple[dict[int, list[str]], set[int], list[str]]:
        whose = owner(current().rank())
        state = workload.make(context_here(None, shards, owner=whose))
        engine.load(state, engine.make_reader(place), engine.make_load_planner(planner), place, Call())
        after = [] if later is None else workload.shared(state, context_here(later, shards, owner=whose))
        theirs = tuple(f"{name}:" for name in after)
        wrong = {save: [text for text in workload.mismatches(state, context_here(save, shards, owner=whose)) if not text.startswith(theirs)] for save in saves}
        return wrong, workload.saves(state), after

    results = SimulatedWorld(ranks, timeout=TIMEOUT, group=group).run(load)
    good = [one for one in results if one.outcome == "returned"]
    return Reading(
        failed={one.rank: told(one) for one in results if one.outcome != "returned"},
        hung=any(one.outcome not in ("returned", "raised") for one in results),
        differences={save: tuple(f"rank {one.rank}: {text}" for one in good for text in one.value[0][save]) for save in saves},
        saves=tuple(sorted({save for one in good for save in one.value[1]} - {later})),
        later=tuple(sorted({name for one in good for name in one.value[2]})),
        ranks=ranks,
    )
