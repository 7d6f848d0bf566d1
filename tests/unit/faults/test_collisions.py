"""Faults that may strike the same call are found, in time that grows with the number of faults."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.collisions import Collision, find_collision
from ckpt_harness.faults.effects import Hang
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan

OPERATIONS = [None, *(OperationRef(kind, index) for kind in ("save", "load") for index in (None, 1, 2))]
FAULTS = st.builds(
    Fault,
    site=st.sampled_from(["fs.exists", "fs.ls"]),
    ranks=st.sampled_from(["all", (0,), (0, 1), (2,)]),
    effect=st.just(Hang()),
    nth=st.integers(1, 4),
    times=st.sampled_from([1, 2, None]),
    operation=st.sampled_from(OPERATIONS),
    glob=st.sampled_from([None, "a", "b"]),
)
LARGE = {
    "a rank each": lambda number: f"writer.write_data@{number}=raise(OSError:EIO)",
    "a call each": lambda number: f"writer.write_data@all#{number + 1}=raise(OSError:EIO)",
    "a file each": lambda number: f"fs.write(file{number})@coordinator=raise(OSError:EIO)",
    "an operation each": lambda number: f"save[{number + 1}]/writer.write_data@others=raise(OSError:EIO)",
}


def _collide(first: Fault, second: Fault) -> bool:
    """By the definition, for a pair."""
    share_a_rank = "all" in (first.ranks, second.ranks) or not set(first.ranks).isdisjoint(second.ranks)
    return share_a_rank and first.overlaps(second)


@given(st.lists(FAULTS, max_size=6))
def test_a_collision_is_found_exactly_if_a_pair_of_faults_collides(faults: list[Fault]) -> None:
    """Compared with the definition, which looks at every pair."""
    pairs = [Collision(*numbers) for numbers in itertools.combinations(range(len(faults)), 2) if _collide(*(faults[number] for number in numbers))]
    found = find_collision(faults, [fault.ranks for fault in faults])
    assert found in pairs if pairs else found is None


def _lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python ``work`` runs; without those of finalizers, since garbage of other tests is collected at any time."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


@pytest.mark.parametrize("kind", LARGE)
def test_the_work_grows_with_the_number_of_faults(kind: str) -> None:
    """Reading, printing and binding a plan of twice the faults takes about twice the lines of code, not four times."""

    def use(faults: int) -> None:
        plan = FaultPlan.parse("; ".join(map(LARGE[kind], range(faults))))
        assert FaultPlan.from_json(plan.to_json()) == FaultPlan.parse(str(plan)) == plan
        bound = plan.bind(300)
        assert not [*bound.at("writer.finish", 0)]

    use(2)  # what is done once in a process is done now
    assert _lines_run(lambda: use(300)) < 2.2 * _lines_run(lambda: use(150))


@pytest.mark.parametrize("text", ["finish@0{}", "finish@0=raise{}x?x", "finish@0=raise(OSError{}:EIO)?x"])
def test_padding_costs_nothing(text: str) -> None:
    """A text with 100,000 spaces is refused at once; a pattern that tries each pair of spaces would need minutes."""
    with pytest.raises(PlanError, match="cannot read fault"):
        FaultPlan.parse(text.format(" " * 100_000))
