"""Draws jobs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from ckpt_harness.faults.effects import Effect
from ckpt_harness.jobs.fault_classes import FAULT_CLASSES
from ckpt_harness.strategies.effects import ERRORS
from ckpt_harness.strategies.job_source import Source
from ckpt_harness.strategies.job_words import WORDS

if TYPE_CHECKING:
    from ckpt_harness.jobs.job import Job
    from ckpt_harness.strategies.job_menu import JobMenu

T = TypeVar("T")


def ckpt_jobs(
    *,
    ranks: Sequence[int] = (2, 3, 1),
    engine: str = "filesystem",
    engines: Sequence[str] = (),
    workloads: Sequence[str] | None = None,
    ways: Sequence[str] = ("together",),
    operations: Sequence[str] = WORDS,
    max_operations: int = 8,
    max_faults: int = 2,
    max_places: int = 3,
    fault_classes: Sequence[str] = FAULT_CLASSES,
    sites: Sequence[str] | None = None,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    world: str = "simulated",
    manager: str = "",
) -> st.SearchStrategy[Job]:
    """Draws jobs that can be run: sequences of operations, with faults at sites that the operations have. The simplest job is a save without a fault.

    Every second job leaves some operations and classes of faults out, so that others come more often.

    Args:
        ranks: numbers of ranks, the simplest first; restarts choose among them, too.
        engine: name of the engine with which jobs begin.
        engines: names of other engines with which restarts may go on; each must read what the others have written.
        workloads: names of workloads, the simplest first. Default: all that sweeps use and the engine can hold.
        ways: call styles.
        operations: first words of the operations; see :data:`ckpt_harness.jobs.operations.OPERATIONS`.
        max_operations: the largest number of operations.
        max_faults: the largest number of faults.
        max_places: the largest number of places.
        fault_classes: what faults may do; see :data:`ckpt_harness.jobs.fault_classes.FAULT_CLASSES`.
        sites: full names of the sites to strike, the simplest first. Default: all that the operations reach at and below the storage, HTTP excepted.
        effects: the effects to draw from. Default: all that the world allows.
        errors: the errors to draw from, the simplest first.
        world: what runs the ranks.
        manager: name of the manager that keeps the checkpoints, as ``ckpt-harness fuzz --manager`` takes it; "" if the ranks call the engine. What no
            manager can do is not drawn.

    Raises:
        PlanError: a site that does not exist.
        UsageError: a value that no job can have.

    Example:
        >>> from hypothesis import given
        >>> from ckpt_harness.jobs.job import Job
        >>> @given(job=ckpt_jobs(ranks=[2], operations=["save", "load"], max_operations=4, max_faults=1))
        ... def test_short_jobs(job: Job) -> None:
        ...     assert len(job.operations) <= 4
        >>> test_short_jobs()
    """
    from ckpt_harness.strategies.job_menu import JobMenu, usual_workloads  # which need torch

    menu = JobMenu(
        ranks=tuple(ranks),
        engines=(engine, *engines),
        workloads=tuple(workloads) if workloads is not None else usual_workloads(engine),
        ways=tuple(ways),
        words=tuple(operations),
        classes=tuple(fault_classes),
        max_operations=max_operations,
        max_faults=max_faults,
        max_places=max_places,
        sites=None if sites is None else tuple(sites),
        effects=None if effects is None else tuple(effects),
        errors=tuple(errors),
        world=world,  # type: ignore[arg-type]  # checked there
        manager=manager,
    )
    menu.check()
    return _jobs(menu)


@st.composite
def _jobs(draw: st.DrawFn, menu: JobMenu) -> Job:
    from ckpt_harness.strategies.job_grammar import draw_job

    return draw_job(_Drawn(draw), menu)


class _Drawn:
    """Numbers that hypothesis draws. Where there is no choice, a number is drawn all the same: hypothesis prefers fewer draws to smaller numbers."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def number(self, most: int) -> int:
        return min(most, self._draw(st.integers(0, most or 1)))

    def steered(self, keys: Sequence[Hashable]) -> int:
        return self.number(len(keys) - 1)

    def part(self, make: Callable[[Source], T]) -> T:
        return self._draw(_part(make))


@st.composite
def _part(draw: st.DrawFn, make: Callable[[Source], T]) -> T:
    return make(_Drawn(draw))
