"""How an operation is called: how ranks are grouped for the call, and what they pass to the engine about each other.

``docs/reference/calling.md`` says what each call style owes; the model derives it from the groups and from whether collectives join their ranks.
On the command line, a call style is the option ``--way``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ckpt_harness.errors import PlanError, UsageError, unknown
from ckpt_harness.faults.protocol import Group, Protocol
from ckpt_harness.faults.sites import OperationKind, direction

Executor = Literal["thread", "process"]
EXECUTORS: tuple[Executor, ...] = ("thread", "process")
"""What saves in the background: a thread of the rank, or a process that the rank starts."""

STAGINGS: dict[str, str] = {
    "writer": "by the storage writer, where it is a stager",
    "engine": "by a stager that the engine makes for itself",
    "blocking": "by a stager of the caller's, before async_save returns",
    "background": "by a stager of the caller's, while the rank goes on",
}
"""What copies the state of an async save -> in words."""

Overlap = Literal["none", "shared", "separate"]
OVERLAPS: tuple[Overlap, ...] = ("none", "shared", "separate")
"""Whether a second async save begins while the first is still running, and if so, in the same process group or in another."""

GONE_ON = "gone-on"
"""In place of an overlap, in a job: a rank goes on to its next call while other ranks may still be in the one before."""


PARTIAL_LOAD = "partial-load"
"""The kind of planner by which a caller asks for a part of a checkpoint on purpose."""


@dataclass(frozen=True)
class CallStyle:
    """How ranks are grouped for the call: one group, sub-groups, or no collectives.

    Attributes:
        name: the word after ``--way``.
        about: one line for tables.
        split: number of ranks -> the ranks of each group, ordered by their rank within the group. Each group has a place of its own.
        process_group: what the ranks of a group pass to the engine: nothing, which means the ``default`` group; a process group of their ``own``; or
            nothing, since there is ``none``.
        no_dist: whether each rank says that it is alone (``no_dist=True``) although there is a process group.
        use_collectives: whether collectives join the ranks of a save. Without them each rank commits its own part, at one place for all; a load of
            such a checkpoint is joined all the same, since DCP's load has no such option.
        least: the smallest number of ranks.
        most: the largest number of ranks; None for any.
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
        """Whether each rank saves and loads for itself: its state has no parts on other ranks."""
        return self.no_dist or self.process_group == "none"

    def groups(self, ranks: int, coordinator: int) -> tuple[Group, ...]:
        """The groups of ranks that do an operation together.

        Args:
            ranks: size of the world.
            coordinator: the coordinator's rank within each group.

        Raises:
            UsageError: the call style does not work in a world of this size, or with this coordinator.
            PlanError: a coordinator outside a group.

        Example:
            >>> [group.ranks for group in find_call_style("groups").groups(5, 0)]
            [(0, 2, 4), (1, 3)]
        """
        if ranks < self.least or (self.most is not None and ranks > self.most):
            raise UsageError(f"way {self.name!r} ({self.about}) does not work with {ranks} rank{'s' * (ranks != 1)}; valid: {self._sizes()}")
        parties = self.split(ranks)
        smallest = min(map(len, parties))
        if not 0 <= coordinator < smallest:
            outside = f"a world of {ranks}" if smallest == ranks else f"a group of {smallest} (way {self.name!r})"
            raise PlanError(f"coordinator {coordinator} is outside {outside}; valid: 0 to {smallest - 1}")
        if coordinator and not self.use_collectives:
            raise UsageError(f"coordinator {coordinator} with way {self.name!r}, in which no rank coordinates; valid: 0")
        return tuple(Group(party, party[coordinator]) for party in parties)

    def _sizes(self) -> str:
        """The valid numbers of ranks, in words."""
        if self.most is None:
            return f"{self.least} or more"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"

    def protocol(self, engine: Protocol, kind: OperationKind) -> Protocol:
        """The engine's protocol as it is when an operation is called in this style.

        Args:
            engine: the engine's protocol.
            kind: the operation.
        """
        joined = not self.alone and (self.use_collectives or direction(kind) == "load")
        return engine if joined else dataclasses.replace(engine, name=f"{engine.name}, {self.name}", collectives=False)


def _all_ranks(ranks: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(ranks)),)


def _each_rank(ranks: int) -> tuple[tuple[int, ...], ...]:
    return tuple((rank,) for rank in range(ranks))


def _all_but_rank_0(ranks: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(1, ranks)),)


def _even_and_odd_ranks(ranks: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(0, ranks, 2)), tuple(range(1, ranks, 2)))


CALL_STYLES: dict[str, CallStyle] = {
    style.name: style
    for style in (
        CallStyle("together", "all ranks of the default group", _all_ranks),
        CallStyle("alone", "one rank, no process group", _each_rank, process_group="none", most=1),
        CallStyle("no_dist", "each rank of a group for itself, with no_dist=True", _each_rank, no_dist=True),
        CallStyle("no_collectives", "all ranks of the default group, with use_collectives=False", _all_ranks, use_collectives=False),
        CallStyle("subgroup", "all ranks but 0 in a process_group= of their own; rank 0 stands by", _all_but_rank_0, process_group="own", least=2),
        CallStyle("groups", "even and odd ranks at once, each with a process_group= of their own", _even_and_odd_ranks, process_group="own", least=2),
    )
}
"""Name -> call style."""


def find_call_style(name: str) -> CallStyle:
    """The call style of a name.

    Raises:
        UsageError: no call style has this name.

    Example:
        >>> find_call_style("no_dist").about
        'each rank of a group for itself, with no_dist=True'
    """
    if name not in CALL_STYLES:
        raise UsageError(unknown("way", name, CALL_STYLES))
    return CALL_STYLES[name]
