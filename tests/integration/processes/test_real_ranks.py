"""Real ranks: who hangs and who is only slow, what death and SIGSTOP look like, and what is replaced."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bodies
import pytest

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import Crews, ProcessWorld


@pytest.fixture
def world(crews: Crews) -> Callable[..., ProcessWorld]:
    def make(size: int = 2, **options: Any) -> ProcessWorld:
        return ProcessWorld(size, crews=crews, **{"timeout": 60.0, **options})

    return make


def outcomes(results: Sequence[RankResult]) -> list[str]:
    return [result.outcome for result in results]


def values(results: Sequence[RankResult]) -> list[Any]:
    assert outcomes(results) == ["returned"] * len(results), results
    return [result.value for result in results]


Make = Callable[..., ProcessWorld]

# -- slow or hung


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.5])
def test_a_rank_that_is_late_is_waited_for(world: Make, seconds: float) -> None:
    """However long the others sit in a collective meanwhile."""
    assert len(values(world(3).run(bodies.late, seconds))) == 3


def test_a_rank_that_computes_is_waited_for_on_a_loaded_machine(world: Make) -> None:
    """With more to do than processors, ranks get no turn for long; that is no evidence."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        for _ in range(3):
            values(world(3).run(bodies.busy, 400_000))
            values(world(3).run(bodies.late, 0.3))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_a_rank_that_is_late_beyond_the_timeout_is_not_waited_for(world: Make) -> None:
    """The timers of the group end it with an error on all, as they do anywhere."""
    results = world(2, timeout=0.5).run(bodies.late, 1.5)
    assert outcomes(results) == ["raised", "raised"]
    assert results[1].record is not None
    assert "Timed out" in results[1].record.message


def test_a_stopped_rank_that_is_continued_was_only_late(world: Make) -> None:
    """SIGCONT comes when it was promised."""
    assert len(values(world(2).run(bodies.stop, 0.4))) == 2


def test_a_stopped_rank_hangs_and_so_do_those_who_wait_for_it(world: Make) -> None:
    """It is named by what stopped it, at which line."""
    results = world(3).run(bodies.stop, math.inf)
    assert outcomes(results) == ["hung", "hung", "hung"]
    assert str(results[1].wait).startswith("stop at a test at bodies.py:"), results[1].wait
    assert results[0].wait is not None
    assert (results[0].wait.what, results[0].wait.missing) == ("barrier", (1,))


def test_a_hang_is_told_without_the_timeout_of_the_group(world: Make) -> None:
    """From evidence. Had the timeout passed, the rank would have raised an error."""
    assert outcomes(world(2).run(bodies.leave_behind)) == ["hung", "returned"]


def test_a_rank_that_waits_on_a_lock_for_ever_hangs(world: Make) -> None:
    """It needs no collective to hang."""
    results = world(2).run(bodies.wait_on_a_lock)
    assert outcomes(results) == ["hung", "hung"]
    assert str(results[0].wait).startswith("lock at bodies.py:")


def test_the_thread_that_matters_is_shown(world: Make) -> None:
    """A main thread that joins another waits for what that one waits for."""
    results = world(2).run(bodies.wait_for_a_thread)
    assert outcomes(results) == ["hung", "returned"]
    assert results[0].wait is not None
    assert (results[0].wait.what, results[0].wait.missing) == ("barrier", (1,))


def test_a_wait_for_something_outside_is_never_called_a_hang(world: Make) -> None:
    """A wait that something outside may end is unknown after a limit; the report names the thread."""
    results = world(2, external_limit=0.5).run(bodies.wait_outside, 1)
    assert outcomes(results) == ["unknown", "unknown"]
    assert str(results[0].wait).startswith("something outside (thread 'MainThread') at bodies.py:")


def test_a_rank_that_reports_for_ever_is_given_up(world: Make) -> None:
    """Its reports are no end; each rank says where it is at that moment."""
    results = world(2, external_limit=0.1).run(bodies.poll)
    assert outcomes(results) == ["unknown", "unknown"]
    assert "bodies.py:" in str(results[0].wait)
    assert str(results[1].wait).startswith("barrier, waiting for rank 0, at bodies.py:")


# -- death


@pytest.mark.parametrize("how", ["die", "exit"])
def test_a_rank_that_ends_is_dead_and_its_peers_get_an_error(world: Make, how: str) -> None:
    """SIGKILL and an orderly exit look the same from outside."""
    results = world(2).run(bodies.end, how)
    assert outcomes(results) == ["raised", "dead"]
    assert results[0].record is not None
    assert "by peer" in results[0].record.message


def test_who_failed_for_a_death_does_not_hold_up_the_others(world: Make) -> None:
    """A failed rank stays alive to show who hangs; but not where a death is the cause, since then it would have ended."""
    assert outcomes(world(3).run(bodies.chain)) == ["raised", "dead", "raised"]


def test_who_caught_the_error_of_a_death_does_not_hold_up_the_others_either(world: Make) -> None:
    """Its part is over, and a launcher would end it too."""
    assert outcomes(world(3).run(bodies.chain_caught)) == ["returned", "dead", "raised"]


# -- warm ranks


def test_ranks_live_from_run_to_run(world: Make) -> None:
    """An error changes nothing about that."""
    first = values(world(2).run(bodies.barrier))
    assert outcomes(world(2).run(bodies.fail, ValueError("no matter"))) == ["raised", "raised"]
    assert values(world(2).run(bodies.barrier)) == first


@pytest.mark.parametrize("body", [bodies.leave_behind, bodies.leave_a_thread, bodies.leave_a_group], ids=lambda body: body.__name__)
def test_ranks_that_were_disturbed_are_replaced(world: Make, body: Callable[[], Any]) -> None:
    """After a hang, and where a thread or a group of the last body is still there."""
    before = values(world(2).run(bodies.barrier))
    world(2).run(body)
    assert not set(values(world(2).run(bodies.barrier))) & set(before)


def test_without_a_group_ranks_are_still_numbered(world: Make) -> None:
    """The rank of the world is not the group's to tell."""
    assert [rank for rank, _ in values(world(3, group=False).run(bodies.who))] == [0, 1, 2]


def test_a_forkserver_that_was_killed_is_replaced(crews: Crews, world: Make) -> None:
    """Its ranks die with it; a run that had begun fails, and the next one works."""
    values(world(2).run(bodies.barrier))
    with pytest.raises(HarnessError, match="forkserver"):
        world(2).run(bodies.kill, crews.server().pid)
    values(world(2).run(bodies.barrier))


# -- refusals


def test_a_body_that_cannot_be_sent_is_refused(world: Make) -> None:
    """Before anything runs, and with what to do about it."""
    with pytest.raises(UsageError, match="must pickle to reach the ranks; use a function at module level"):
        world(2).run(lambda: None)


def test_a_value_that_cannot_come_back_is_refused(world: Make) -> None:
    """It is an error of the body, not an outcome; the world still works."""
    with pytest.raises(UsageError, match="the value that the body returned on rank 0 cannot be pickled"):
        world(1).run(bodies.give_unpicklable)
    assert values(world(1).run(bodies.give, "value")) == ["value"]


@pytest.mark.parametrize("kind", ["unpicklable", "unloadable"])
def test_an_error_that_cannot_come_back_is_still_recorded(world: Make, kind: str) -> None:
    """As data."""
    (result,) = world(1).run(bodies.fail_with, kind)
    assert result.error is None
    assert result.record is not None
    assert result.record.short_name.lower() == kind


@pytest.mark.parametrize("size", [0, -1, 129, "2"])
def test_a_size_that_cannot_run_is_refused(size: Any) -> None:
    """With the value and the choices."""
    with pytest.raises(UsageError, match="from 1 to 128"):
        ProcessWorld(size)


def test_a_failed_import_on_a_rank_is_reported(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a failure of the harness's user, not of the engine."""
    module = types.ModuleType("only_here")
    exec("def body(): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(HarnessError, match="rank . could not start: ModuleNotFoundError: No module named 'only_here'"):
        world(1).run(module.body)


def test_no_garbage_is_collected_while_a_body_runs(world: Callable[..., ProcessWorld], tmp_path: Path) -> None:
    """It goes when the body has ended, before the judge looks."""
    seen: list[str] = []
    results = world().run(bodies.leave_open, tmp_path, judge=lambda _: seen.extend(sorted(path.name for path in tmp_path.iterdir())))
    assert values(results) == [False, False]
    assert seen == ["0", "1"]
