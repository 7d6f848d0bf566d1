"""Which looks at ranks prove a hang; no process is needed."""

from __future__ import annotations

import math

import pytest

from ckpt_harness.worlds.processes.evidence import Evidence, Stopped
from ckpt_harness.worlds.processes.messages import Doing, Thread


def waits(what: str = "barrier", switches: int = 5) -> tuple[Thread, ...]:
    return (Thread("waits", what, "train.py:3 in step", True, (switches, 0)),)


def does(doing: Doing, switches: int = 5) -> tuple[Thread, ...]:
    return (Thread(doing, "something", "train.py:4 in step", False, (switches, 0)),)


def test_three_equal_looks_at_waiting_ranks_prove_a_hang() -> None:
    """Fewer looks prove nothing."""
    evidence = Evidence(3)
    assert [evidence.add({0: waits(), 2: waits()}, {}) for _ in range(3)] == ["quiet", "quiet", "stuck"]


def test_a_thread_that_ran_between_two_looks_discards_earlier_looks() -> None:
    """It does not matter how often it is at the same place."""
    evidence = Evidence(3)
    assert "stuck" not in [evidence.add({0: waits(switches=number), 1: waits()}, {}) for number in range(9)]


@pytest.mark.parametrize("doing", ["runs", "sleeps"])
def test_no_rank_hangs_while_a_rank_runs(doing: Doing) -> None:
    """The other ranks may wait for it."""
    evidence = Evidence(3)
    assert [evidence.add({0: waits(), 1: does(doing)}, {}) for _ in range(9)] == ["busy"] * 9


def test_a_rank_that_does_not_answer_may_be_busy() -> None:
    """A missing answer proves nothing."""
    evidence = Evidence(3)
    assert [evidence.add({0: waits(), 1: None}, {}) for _ in range(9)] == ["busy"] * 9


def test_a_wait_for_something_outside_is_never_proved_a_hang() -> None:
    """The world does not know what may end such a wait."""
    evidence = Evidence(3)
    assert [evidence.add({0: waits(), 1: does("outside")}, {}) for _ in range(9)] == ["quiet"] * 9


def test_a_message_discards_earlier_looks() -> None:
    """Two looks, a message, and another look prove nothing."""
    evidence = Evidence(3)
    evidence.add({0: waits()}, {})
    evidence.add({0: waits()}, {})
    evidence.forget()
    assert evidence.add({0: waits()}, {}) == "quiet"


@pytest.mark.parametrize(("until", "asleep"), [(math.inf, False), (99.0, True)])
def test_a_stopped_rank_hangs_unless_it_is_to_be_continued(until: float, asleep: bool) -> None:
    """A rank that will be continued is only late."""
    evidence = Evidence(3)
    stopped = {1: Stopped("stop at writer.finish", "train.py:9 in save", until)}
    states = [evidence.add({0: waits(), 1: ()}, stopped) for _ in range(3)]
    assert (states[-1] == "stuck", evidence.asleep()) == (not asleep, asleep)


def test_a_rank_that_announced_its_stop_is_busy_until_it_is_stopped() -> None:
    """It still runs for a moment."""
    evidence = Evidence(3)
    stopped = {1: Stopped("stop at writer.finish", "train.py:9 in save", math.inf)}
    assert evidence.add({0: waits(), 1: None}, stopped) == "busy"


def test_missing_ranks_are_those_that_are_not_in_the_same_wait() -> None:
    """These are ranks that have ended, are stopped, or wait elsewhere."""
    evidence = Evidence(3)
    stopped = {3: Stopped("stop at writer.finish", "train.py:9 in save", math.inf)}
    evidence.add({0: waits(), 1: waits(), 2: waits("gather"), 3: ()}, stopped)
    wait = evidence.wait(0, 5)
    assert wait is not None
    assert (wait.what, wait.missing) == ("barrier", (2, 3, 4))
    assert str(evidence.wait(3, 5)) == "stop at writer.finish at train.py:9 in save"


def test_the_thread_that_waits_for_other_ranks_is_shown() -> None:
    """The main thread joins it and is not shown."""
    evidence = Evidence(3)
    join = Thread("waits", "lock", "train.py:7 in join", False, (1, 0))
    evidence.add({0: (join, *waits())}, {})
    wait = evidence.wait(0, 2)
    assert wait is not None
    assert wait.what == "barrier"


def test_ranks_that_form_a_group_continue_only_when_all_have_arrived() -> None:
    """While a rank is elsewhere, the others wait for it; once all have arrived, the group is about to be complete."""
    forming, late = Evidence(2), Evidence(2)
    assert [forming.add({0: does("meets"), 1: does("meets")}, {}) for _ in range(9)] == ["busy"] * 9
    assert [late.add({0: does("meets"), 1: waits()}, {}) for _ in range(3)] == ["quiet", "quiet", "stuck"]
