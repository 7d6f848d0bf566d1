"""What every world offers: it runs a function on N ranks, and reports for each rank how the function ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from ckpt_harness.history import ErrorRecord

T = TypeVar("T")
Outcome = Literal["returned", "raised", "hung", "dead", "unknown"]


class Faults(Protocol):
    """What a world consults before each collective; implemented by ``ckpt_harness.injection.injector.Injector``."""

    def call(self, site: str, function: Callable[..., T], /, *args: Any) -> T:
        """Calls ``function(*args)``, with whatever the plan injects at ``site`` on the calling rank."""


@dataclass(frozen=True)
class Wait:
    """Where a rank hangs: what it waits for, and at which source line.

    Attributes:
        what: the operation, such as ``gather`` or ``barrier``, or the injected effect that hangs.
        source: the innermost source line outside the harness and torch's wrappers, as ``package/file.py:line in function``; never an absolute path.
        missing: the ranks of the world that have not come.

    Example:
        >>> print(Wait("gather", "torch/distributed/checkpoint/utils.py:135 in gather_object", (1, 2)))
        gather, waiting for ranks 1, 2, at torch/distributed/checkpoint/utils.py:135 in gather_object
    """

    what: str
    source: str
    missing: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.missing:
            return f"{self.what} at {self.source}"
        ranks = "rank" if len(self.missing) == 1 else "ranks"
        return f"{self.what}, waiting for {ranks} {', '.join(map(str, self.missing))}, at {self.source}"


@dataclass(frozen=True)
class RankResult:
    """How the body ended on a rank.

    Attributes:
        rank: the rank in the world.
        outcome: ``returned``; ``raised``; ``hung`` (proved: the rank can never go on); ``dead`` (killed); or ``unknown`` (the rank waited for
            something outside the world for longer than the limit in real time).
        value: what the body returned.
        error: the live exception, for callers that want to inspect it; oracles read ``record``.
        record: the exception as data.
        wait: where the rank hangs.
        finished_at: when the rank ended, in seconds of the world's time.
        left: what the body left running when it ended: threads, processes.
        left_open: paths of files that the body opened and left open, one for each descriptor; None where that was not looked at: on ranks that share
            their process, and on systems without ``/proc``.
    """

    rank: int
    outcome: Outcome
    value: Any = None
    error: BaseException | None = None
    record: ErrorRecord | None = None
    wait: Wait | None = None
    finished_at: float = 0.0
    left: tuple[str, ...] = ()
    left_open: tuple[str, ...] | None = None


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
        """Calls ``body(*args)`` on every rank, inside a process group of all ranks.

        Args:
            body: what each rank does. It finds its rank with ``torch.distributed.get_rank()``.
            args: passed to the body.
            faults: consulted before every collective.
            judge: called with the results before the threads or processes of hung and dead ranks are removed. So the judge sees the storage exactly
                as the ranks left it. It may run another world.

        Returns:
            The result of each rank, in rank order.
        """

    def meet(self, action: Callable[[], None]) -> None:
        """Waits until every rank of the world has called this method. Uses no process group. Called by ranks.

        Args:
            action: what the last rank to arrive does before all ranks go on.
        """
