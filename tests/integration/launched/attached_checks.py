"""The contract of all worlds, and what is the attached world's own, on the ranks of a launcher: one line a check on rank 0."""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sampling import sample

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.history import Event
from ckpt_harness.runtime import current
from ckpt_harness.worlds import contract
from ckpt_harness.worlds.attached import AttachedWorld, check_shared, together
from ckpt_harness.worlds.contract.bodies import leave_one_behind
from ckpt_harness.worlds.contract.hangs import hang_on_rank_0
from ckpt_harness.worlds.simulated import SimulatedWorld

NOT_APPLICABLE = {
    "check_peers_of_a_dead_rank_get_an_error": "a launcher ends all ranks when one dies",
    "check_death_unwinds_nothing_before_the_judge_looks": "a launcher ends all ranks when one dies",
    "check_the_judge_may_run_another_world": "all ranks are in use; check_the_judge_may_run_simulated_ranks stands in for it",
}


def pid() -> int:
    return os.getpid()


def outcomes(size: int, body: Callable[..., Any], *args: Any) -> list[str]:
    return [result.outcome for result in AttachedWorld(size).run(body, *args)]


def check_the_judge_may_run_simulated_ranks() -> None:
    seen: list[str] = []

    def judge(_: Any) -> None:
        seen.extend(result.outcome for result in SimulatedWorld(3).run(dist.barrier))
        try:
            AttachedWorld(2).run(pid)
        except UsageError as error:
            seen.append(str(error))

    AttachedWorld(2).run(hang_on_rank_0, judge=judge)
    assert seen[:3] == ["returned"] * 3, seen
    assert "busy" in seen[3]


def check_the_same_processes_run_every_case() -> None:
    before = [result.value for result in AttachedWorld(4).run(pid)]
    assert len(set(before)) == 4
    assert before[0] == os.getpid()
    for body in (leave_one_behind, hang_on_rank_0, wait_for_one_another, wait_on_a_lock):
        outcomes(3, body)
    assert [result.value for result in AttachedWorld(4).run(pid)] == before


def wait_for_one_another() -> None:
    dist.broadcast(torch.zeros(1), src=1 - dist.get_rank())


def check_ranks_that_wait_for_one_another_are_let_go() -> None:
    before = [result.value for result in AttachedWorld(2).run(bodies)]
    results = AttachedWorld(2).run(wait_for_one_another)
    assert [result.outcome for result in results] == ["hung", "hung"], results
    assert [result.value for result in AttachedWorld(2).run(bodies)] == before


def bodies() -> int:
    return sum(thread.name.startswith("body") for thread in threading.enumerate())


def wait_on_a_lock() -> None:
    if current().rank() == 1:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()


def check_a_rank_that_cannot_be_let_go_is_left_behind() -> None:
    for _ in range(2):
        results = AttachedWorld(2).run(wait_on_a_lock)
        assert [result.outcome for result in results] == ["returned", "hung"], results
        assert str(results[1].wait).startswith("lock at attached_checks.py:"), results[1].wait
    assert outcomes(2, dist.barrier) == ["returned", "returned"]


def stop_a_while() -> None:
    if current().rank() == 1:
        current().stop(0.3, "stop at a test")
    dist.barrier()


def check_a_stopped_rank_that_is_continued_was_only_late() -> None:
    assert outcomes(2, stop_a_while) == ["returned", "returned"]


def check_the_flight_recorder_tells_of_a_hung_collective() -> None:
    heard: list[Event] = []
    AttachedWorld(2).run(wait_for_one_another, hear=heard.append)
    assert {event.rank for event in heard} == {0, 1}, heard
    assert all(event.kind == "recorder" and "broadcast" in event.detail for event in heard), heard


def check_a_case_makes_no_group_unless_it_has_one() -> None:
    assert [result.value for result in AttachedWorld(2, group=False).run(dist.is_initialized)] == [False, False]


def check_storage_that_all_see_is_accepted(place: Path) -> None:
    check_shared(place)


def check_a_world_is_no_larger_than_the_launchers() -> None:
    try:
        AttachedWorld(5)
    except UsageError as error:
        assert "from 1 to 4" in str(error)
    else:
        raise AssertionError("5 ranks of 4")



def check_a_rank_that_cannot_begin_is_told_and_the_next_case_runs() -> None:
    module = type(sys)("only_on_rank_0")
    exec("def body(): pass", module.__dict__)
    sys.modules["only_on_rank_0"] = module
    try:
        AttachedWorld(2).run(module.body)
    except HarnessError as error:
        assert "rank 1 could not start: ModuleNotFoundError" in str(error), error
    else:
        raise AssertionError("rank 1 has no such module")
    assert outcomes(2, dist.barrier) == ["returned", "returned"]


def check_a_sweep_shows_what_simulated_ranks_show() -> None:
    assert sample("attached", 4) == sample("simulated", 4)


def checks() -> Iterator[Callable[..., None]]:
    yield from (check for check in contract.checks() if check.__name__ not in NOT_APPLICABLE)
    yield from (value for name, value in globals().items() if name.startswith("check_") and value is not check_shared)


def main() -> int:
    bad = 0
    for check in checks():
        takes = inspect.signature(check).parameters
        with tempfile.TemporaryDirectory() as place:
            try:
                check(**{name: value for name, value in (("make_world", AttachedWorld), ("place", Path(place))) if name in takes})
            except BaseException:  # noqa: BLE001  (whatever a check raises is what it shows)
                bad += 1
                print(f"FAILED {check.__name__}\n{traceback.format_exc()}", flush=True)
            else:
                print(f"passed {check.__name__}", flush=True)
    return min(bad, 1)


if __name__ == "__main__":
    import attached_checks  # bodies are found by their module's name on every rank

    sys.exit(together(attached_checks.main))
