"""What the caller of a load holds: its own objects, whatever the load has put in their places."""

from __future__ import annotations

import dataclasses

from ckpt_harness.workloads.context import Context
from ckpt_harness.workloads.held import held, remembered
from ckpt_harness.workloads.workload import find_workload

SAVED = Context(rank=0, size=1, save=1, grouped=False, shards=1)
EMPTY = dataclasses.replace(SAVED, save=None)
WORKLOAD = find_workload("nested-stateful")


def test_an_object_that_was_replaced_in_the_state_was_not_loaded() -> None:
    """The state holds everything that was saved, and the caller holds an object that never saw it."""
    state = WORKLOAD.make(EMPTY)
    passed = remembered(state)
    state["app"].update(WORKLOAD.make(SAVED)["app"])
    assert WORKLOAD.mismatches(state, SAVED) == []
    wrong = WORKLOAD.mismatches(held(passed, state), SAVED)
    assert [line.partition(":")[0] for line in wrong] == ["app.module.weight", "app.module.counter"]


def test_an_object_that_was_loaded_in_place_is_held() -> None:
    """Tensors and other values are taken from the state, where the load puts them."""
    state, saved = WORKLOAD.make(EMPTY), WORKLOAD.make(SAVED)
    passed = remembered(state)
    state["app"]["module"].load_state_dict(saved["app"]["module"].state_dict())
    state["app"]["rate"] = saved["app"]["rate"]
    assert WORKLOAD.mismatches(held(passed, state), SAVED) == []


def test_what_is_gone_or_new_in_the_state_stays_so() -> None:
    """Lists of another length, values of another kind, entries that are missing."""
    before = {"layers": [1, 2], "gone": 1, "module": {"a": 1}}
    after = {"layers": [1], "new": {"b": 2}, "module": 3}
    assert held(remembered(before), after) == after
