"""In which world a test runs: one that its mark ``ckpt_runs_in`` lists, chosen by ``--ckpt-world``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ckpt_harness.errors import quoted
from ckpt_harness.pytest_plugin.names import RUNS_IN, WORLDS

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName


def possible(item: pytest.Item) -> tuple[WorldName, ...]:
    """Returns the worlds of the test's nearest mark, its default first; ``simulated`` alone if there is no mark.

    Raises:
        pytest.UsageError: the mark lists no world, or an unknown one.
    """
    mark = item.get_closest_marker(RUNS_IN)
    if mark is None:
        return WORLDS[:1]
    unknown = [name for name in mark.args if name not in WORLDS]
    if unknown or mark.kwargs or not mark.args:
        choices = ", ".join(map(repr, WORLDS))
        raise pytest.UsageError(
            f"{RUNS_IN} takes the worlds in which a test can run, of {choices}; got {quoted(mark.args or mark.kwargs or None)}"
        )
    return mark.args


def chosen(item: pytest.Item, requested: WorldName | None) -> WorldName:
    """Returns the world in which a test runs.

    Args:
        item: the test.
        requested: the world that the command line names, if any.

    Raises:
        pytest.skip.Exception: the test cannot run in the requested world.
        pytest.UsageError: a bad mark.
    """
    worlds = possible(item)
    # A launcher's ranks are real processes, so tests of processes run on them; tests of simulated ranks alone run on those of rank 0.
    if requested == "attached" and "attached" not in worlds and "simulated" in worlds:
        return "attached" if "processes" in worlds else "simulated"
    if requested is None:
        return worlds[0]
    if requested in worlds:
        return requested
    because = f"its mark {RUNS_IN} says so" if item.get_closest_marker(RUNS_IN) is not None else f"it has no mark {RUNS_IN}"
    pytest.skip(f"runs in world {' or '.join(map(repr, worlds))}, not {requested!r}: {because}")
