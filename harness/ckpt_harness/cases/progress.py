"""What the ranks of a case report while they run, and how ranks in other processes report it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ckpt_harness.judging.evidence import Outcome


@dataclass(frozen=True)
class RankEnding:
    """How an operation ended on a rank.

    Attributes:
        operation: name of the operation, such as ``save[1]``.
        outcome: how it ended.
        wrong: what is wrong with the state that was loaded; None unless a load returned.
        saved: names of the entries that the rank saved into the checkpoint of a load; empty unless the load asks for less than was saved.
        holds: names of the entries that the rank holds after such a load.
        futures: name (``upload``, ``staging``) -> how the future ended that an async save returned under this name.
    """

    operation: str
    outcome: Outcome
    wrong: tuple[str, ...] | None = None
    saved: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    futures: Mapping[str, Outcome] = field(default_factory=dict)


class Progress(Protocol):
    """Receives what each rank reports, and decides whether the rank tries again."""

    def ended(self, rank: int, ending: RankEnding) -> None:
        """An operation has ended on ``rank``."""

    def retries(self, rank: int) -> bool:
        """Waits until all ranks have ended their operations. Returns whether ``rank`` tries again."""

    def retried(self, rank: int, ending: RankEnding) -> None:
        """An operation of the second try has ended on ``rank``."""

    def leaves(self) -> None:
        """Waits until all ranks are done with their process groups."""

    def over(self) -> bool:
        """Whether the case is over. An exception after that comes from the world, which unwinds ranks that hang or died."""


class RemoteProgress:
    """The :class:`Progress` of a rank in a process of its own: each report is a message to the process that runs the case.

    Args:
        ask: sends the name of a method and its arguments, and returns the answer of
            :meth:`ckpt_harness.cases.observer.Observer.answer`.
        meet: see :meth:`ckpt_harness.worlds.base.World.meet`.
    """

    def __init__(self, ask: Callable[[tuple[Any, ...]], Any], meet: Callable[[Callable[[], None]], None]) -> None:
        self._ask = ask
        self._meet = meet

    def ended(self, rank: int, ending: RankEnding) -> None:
        self._ask(("ended", rank, ending))

    def retries(self, rank: int) -> bool:
        self._meet(lambda: self._ask(("all_have_ended",)))
        return bool(self._ask(("is_to_retry", rank)))

    def retried(self, rank: int, ending: RankEnding) -> None:
        self._ask(("retried", rank, ending))

    def leaves(self) -> None:
        self._meet(lambda: None)

    def over(self) -> bool:
        return False  # when the case is over, the process is killed
