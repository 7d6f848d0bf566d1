"""What every world offers: run a body on N ranks, and say for each rank how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from ckpt_harness.history import ErrorRecord

T = TypeVar("T")
Outcome = Literal["returned", "raised", "hung", "dead", "unknown"]


class Faults(Protocol):
    """What a world asks before a collective acts; implemented by ``ckpt_harness.injection.injector.Injector``."""

    def call(self, site: str, function: Callable[..., T], /, *args: Any) -> T:
        """Calls ``function(*args)``, with whatever the plan injects at ``site`` on the calling rank."""


@dataclass(frozen=True)
class Wait:
    """Where a rank waits for something that does not come.

    Attributes:
        what: the operation, such as ``gather`` or ``barrier``, or the injected effect that hangs.
        source: innermost line outside the harness and torch's wrappers, as ``package/file.py:line in function``; never an absolute path.
        missing: ranks of the world that it waits for.
    """

    what: str
    source: str
    missing: tuple[int, ...] = ()

    def __str__(self) -> str:
        whom = f" for rank{'s' * (len(self.missing) > 1)} {', '.join(map(str, self.missing))}" if self.missing else ""
        return f"{self.what}{whom} at {self.source}"


@dataclass(frozen=True)
class RankResult:
    """How one rank ended.

    Attributes:
        rank: its rank in the world.
        outcome: ``returned``, ``raised``, ``hung`` (proved), ``dead`` (killed), or ``unknown`` (an external wait ran out of real time).
        value: what the body returned.
        error: the live exception, for callers that want to look inside; the oracles read ``record``.
        record: the exception as data.
        wait: where it hangs.
        finished_at: seconds of the world's time when it ended.
        left: what of the rank goes on though its body has ended: threads, processes.
    """

    rank: int
    outcome: Outcome
    value: Any = None
    error: BaseException | None = None
    record: ErrorRecord | None = None
    wait: Wait | None = None
    finished_at: float = 0.0
    left: tuple[str, ...] = ()


class World(Protocol):
    """Runs ranks."""

    size: int

    def run(
        self,
        body: Callable[..., Any],
        *args: Any,
        faults: Faults | None = None,
        judge: Callable[[Sequence[RankResult]], None] | None = None,
    ) -> Sequence[RankResult]:
        """Calls ``body(*args)`` on every rank, inside a process group of all of them.

        Args:
            body: what each rank does. It finds its rank with ``torch.distributed.get_rank()``.
            faults: consulted at every collective.
            judge: called with the results before the threads or processes of hung and dead ranks are cleaned away, so that what is on
                storage can be looked at exactly as they left it. It may run another world.

        Returns:
            One result a rank, in rank order.
        """

    def meet(self, action: Callable[[], None]) -> None:
        """Called by a rank: waits, outside of any process group, until every rank of the world is here.

        Args:
            action: what the last one to come does before all go on.
        """
