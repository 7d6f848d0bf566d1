"""Ways of calling an operation: which ranks do it with whom, and what they tell the engine of each other.

``docs/reference/calling.md`` says what is owed in each way; the model reads it off the groups and off whether collectives join their ranks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.protocol import Group, Protocol
from ckpt_harness.faults.sites import OperationKind, direction

Executor = Literal["thread", "process"]
EXECUTORS: tuple[Executor, ...] = ("thread", "process")
"""What saves in the background: a thread of the rank, or a process that it starts."""

STAGINGS: dict[str, str] = {
    "writer": "by the storage writer, where it is a stager",
    "engine": "by a stager that the engine makes for itself",
    "blocking": "by a stager of the caller's, before async_save returns",
    "background": "by a stager of the caller's, while the rank goes on",
}
"""What copies the state of an async save -> what it is."""

Overlap = Literal["none", "shared", "separate"]
OVERLAPS: tuple[Overlap, ...] = ("none", "shared", "separate")
"""Whether a second async save begins while the first is under way, and whether in the same group."""


@dataclass(frozen=True)
class Way:
    """A way of calling.

    Attributes:
        name: for the command line.
        about: one line.
        split: number of ranks -> the ranks of each group, in the order of their ranks within it. Each group has a place of its own.
        process_group: what the ranks of a group pass: nothing, since they mean the ``default`` group; a process group of their ``own``; or
            nothing, since there is ``none``.
        no_dist: whether they say that each is alone, though a process group is there.
        use_collectives: whether ranks that save are joined by collectives. Without, each commits for itself, at the place of all; who loads such a
            checkpoint is joined all the same, since a load cannot be told otherwise.
        least: fewest ranks that it takes.
        most: most ranks; None for any number.
    """

    name: str
    about: str
    split: Callable[[int], tuple[tuple[int, ...], ...]]
    process_group: Literal["default", "own", "none"] = "default"
    no_dist: bool = False
    use_collectives: bool = True
    least: int = 1
    most: int | None = None

    @property
    def alone(self) -> bool:
        """Whether each rank saves and loads for itself: its state knows nothing of other ranks."""
        return self.no_dist or self.process_group == "none"

    def groups(self, ranks: int, coordinator: int) -> tuple[Group, ...]:
        """Who does an operation with whom.

        Args:
            ranks: size of the world.
            coordinator: the rank within each group that coordinates it.

        Raises:
            UsageError: a world that this way does not work in.
            PlanError: a coordinator outside a group.
        """
        if ranks < self.least or (self.most is not None and ranks > self.most):
            valid = f"{self.least} or more" if self.most is None else f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            raise UsageError(f"{ranks} rank{'s' * (ranks != 1)} in way {self.name!r} ({self.about}); valid: {valid}")
        parties = self.split(ranks)
        smallest = min(map(len, parties))
        if not 0 <= coordinator < smallest:
            whole = "world" if smallest == ranks else f"group in way {self.name!r}"
            raise PlanError(f"coordinator {coordinator} of a {whole} of {smallest}; valid: 0 to {smallest - 1}")
        if coordinator and not self.use_collectives:
            raise UsageError(f"coordinator {coordinator}: rank 0 stands for the coordinator in way {self.name!r}, where nobody coordinates")
        return tuple(Group(party, party[coordinator]) for party in parties)

    def protocol(self, engine: Protocol, kind: OperationKind) -> Protocol:
        """The protocol of an engine of which an operation is called in this way."""
        joined = not self.alone and (self.use_collectives or direction(kind) == "load")
        return engine if joined else dataclasses.replace(engine, name=f"{engine.name}, {self.name}", collectives=False)


def _everybody(ranks: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(ranks)),)


def _each(ranks: int) -> tuple[tuple[int, ...], ...]:
    return tuple((rank,) for rank in range(ranks))


def _all_but_the_first(ranks: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(1, ranks)),)


def _even_and_odd(ranks: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(0, ranks, 2)), tuple(range(1, ranks, 2)))


WAYS: dict[str, Way] = {
    way.name: way
    for way in (
        Way("together", "all ranks of the default group", _everybody),
        Way("alone", "one rank, no process group", _each, process_group="none", most=1),
        Way("no_dist", "each rank of a group for itself, with no_dist=True", _each, no_dist=True),
        Way("no_collectives", "all ranks of the default group, with use_collectives=False", _everybody, use_collectives=False),
        Way("subgroup", "all ranks but 0 in a process_group= of their own; rank 0 stands by", _all_but_the_first, process_group="own", least=2),
        Way("groups", "even and odd ranks at once, each with a process_group= of their own", _even_and_odd, process_group="own", least=2),
    )
}
"""Name -> way."""


def way_of(name: str) -> Way:
    """Finds a way of calling.

    Raises:
        UsageError: unknown; the message lists the valid ones.
    """
    if name not in WAYS:
        raise UsageError(f"unknown way {name!r}; ways: {', '.join(WAYS)}")
    return WAYS[name]
