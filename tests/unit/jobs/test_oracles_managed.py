"""Oracles of jobs about managers alone, on histories written by hand: calls that nothing strikes, and what training changes meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from written import DEAD, FAILS, HUNG, LIED_TO, RAISED, STALLS, said, violations, written

from ckpt_harness.jobs.evidence import JobEvidence, Reading
from ckpt_harness.judging.verdict import Verdict

ACCEPTED: dict[str, JobEvidence] = {
    "all went well": written("save a; async b; wait; load latest; prune 1", ["a=1"], latest={3: "bb"}, managed=True),
    "a fault strikes": written("save a; load a", ["a=~"], ends={0: RAISED, 1: RAISED}, owed={0: FAILS}, managed=True),
    "a manager tries again by itself": written("save a", ["a=1"], owed={0: FAILS}, managed=True),
    "a rank is lost": written("save a", ["a=~"], ends={0: HUNG}, owed={0: STALLS}, managed=True),
    "a wait reports a failure": written("async a; wait", [None, "a=~"], ends={0: RAISED, 1: RAISED}, owed={0: FAILS}, managed=True),
    "the next call reports a failure": written("async a; save b", [None, "a=~"], ends={0: RAISED, 1: RAISED}, owed={0: FAILS}, managed=True),
    "a prune reports a failure": written("async a; prune 1; wait", [None], ends={0: RAISED, 1: RAISED}, owed={0: FAILS}, managed=True),
    "nothing to load": written("save a; restart; load latest", ["a=~"], ends={0: RAISED, 2: RAISED}, owed={0: FAILS}, managed=True),
    "a rank is lost beside it": written("async a; save b", [None, "a=1 b=~"], ends={0: DEAD, 1: DEAD}, owed={1: STALLS}, managed=True),
    "without a manager, others judge": written("save a", ["a=~"], ends={0: RAISED}),
}


@pytest.mark.parametrize("evidence", ACCEPTED.values(), ids=ACCEPTED)
def test_a_call_may_fail_that_something_strikes(evidence: JobEvidence) -> None:
    """Itself, or an async save that nobody has waited for."""
    assert "undisturbed" not in violations(evidence)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (written("save a; save b", ["a=1", "a=1 b=~"], ends={1: RAISED}, managed=True), "save[2]: rank 0 raised"),
        (written("save a; load a", ["a=1"], ends={1: HUNG}, managed=True), "load[1]: rank 0 hung"),
        (written("async a; wait", [None, "a=~"], ends={0: RAISED}, managed=True), "async_save[1]: rank 0 raised"),
        (written("save a", ["a=~"], ends={0: HUNG}, owed={0: FAILS}, managed=True), "save[1]: rank 0 hung"),
        (written("async a; wait; save b; prune 1", [None, "a=1", "a=1 b=2"], ends={3: RAISED}, managed=True), "operation 4 (`prune 1`): rank 0 raised"),
        (
            written("async a; wait; async b; wait", [None, "a=~", None, "b=2"], ends={0: RAISED, 1: RAISED, 3: RAISED}, owed={0: FAILS}, managed=True),
            "operation 4 (`wait`): rank 0 raised",
        ),
        (
            written("save a; restart; load latest", ["a=1", "a=1"], ends={2: RAISED}, managed=True),
            "load[1]: no latest checkpoint was named: rank 0 raised",
        ),
    ],
    ids=["save", "load", "async", "a failure that never ends", "prune", "a failure reported twice", "latest"],
)
def test_a_call_that_nothing_strikes_succeeds(evidence: JobEvidence, words: str) -> None:
    """On all ranks; and one that fails ends on all of them."""
    assert words in violations(evidence)["undisturbed"]


def test_a_call_whose_end_nobody_knows_gives_no_verdict() -> None:
    """It may have ended well."""
    from ckpt_harness.judging.evidence import Outcome

    unknown = Outcome("unknown", where="a thread of a library")
    (judgement,) = [each for each in said("undisturbed", written("save a", ["a=1"], ends={0: unknown}, managed=True)) if each.operation]
    assert judgement.verdict is Verdict.UNKNOWN


def test_a_failure_in_the_background_is_reported_once() -> None:
    """By the wait, or by a call before it; with an engine, the wait for the save says it."""
    text, ends = "async a; save b; wait", {0: RAISED, 1: RAISED}
    looks = [None, None, "a=~ b=~"]
    assert violations(written(text, looks, ends=ends, owed={0: FAILS}, managed=True)) == {}
    swallowed = written(text, [None, None, "a=~ b=2"], ends={0: RAISED}, owed={0: FAILS}, managed=True)
    assert "reports success, although the save raised" in violations(swallowed)["futures"]
    assert "futures" in violations(written(text, looks, ends=ends, owed={0: FAILS}))


def _later(evidence: JobEvidence, *names: str) -> JobEvidence:
    """The same history; the readings show values which training wrote later."""
    readings: dict[str, list[Reading]] = {}
    for content, each in evidence.readings.items():
        readings[content] = [replace(reading, later=names) for reading in each]
    return replace(evidence, readings=readings)


def test_what_training_changes_is_not_saved() -> None:
    """Once ``async_save`` has returned."""
    more: dict[str, Any] = {"managed": True}
    evidence = written("async a; wait", [None, "a=1"], **more)
    assert violations(evidence) == {}
    assert "saved as it was later: weight" in violations(_later(evidence, "weight"))["isolation"]
    assert violations(_later(written("save a", ["a=1"], **more), "weight")) == {}
    assert violations(_later(written("async a; wait", [None, "a=1"]), "weight")) == {}


def test_a_stager_that_lies_is_owed_no_isolation() -> None:
    """It said that it had copied the state."""
    evidence = _later(written("async a; wait", [None, "a=1"], owed={0: LIED_TO}, managed=True), "weight")
    assert [judgement.claimed for judgement in said("isolation", evidence)] == [False]


def test_a_manager_may_remove_in_the_background() -> None:
    """What is older may go beside any operation."""
    assert violations(written("save a; save b; load b", ["a=1", "a=1 b=2", "a=0 b=2"], managed=True)) == {}


def test_a_step_behind_others_may_be_removed_at_once() -> None:
    """A manager that keeps two steps takes it for old."""
    assert violations(written("save b; save c; save a", ["b=1", "b=1 c=2", "b=1 c=2 a=0"], managed=True)) == {}
    assert "commitment" in violations(written("save a; save b", ["a=1", "a=1 b=0"], managed=True))


def test_where_ranks_go_on_alone_behind_a_failure_nothing_is_owed_to_the_next_restart() -> None:
    """The error of the second call may reach a rank that is still in the first."""
    evidence = written("save a; continue; save b", ["a=~", None, "a=~ b=~"], ends={0: RAISED, 2: (HUNG, RAISED)}, owed={0: FAILS}, managed=True)
    assert violations(evidence) == {}


def test_a_step_that_is_saved_again_may_be_lost() -> None:
    """An overwrite that destroys the only checkpoint is owed by those who claim that it does not."""
    lost = written("save a; async a; continue; wait", ["a=1", None, None, "a=0"], ends={1: RAISED, 3: RAISED}, owed={1: FAILS}, managed=True)
    assert "retention" not in violations(lost)


def test_an_overwritten_save_is_not_charged_with_what_a_later_one_saved() -> None:
    """Only the last save to a place can have left what lies there."""
    evidence = _later(written("async a; wait; async a; wait", [None, "a=~", None, "a=2"], managed=True), "weight")
    (first, second) = said("isolation", evidence)
    assert (first.verdict, second.verdict) == (Verdict.HOLDS, Verdict.VIOLATED)


def test_nothing_is_owed_of_a_save_whose_storage_lies() -> None:
    """What it leaves is for others to judge."""
    assert "undisturbed" not in violations(written("save a; load a", ["a=x"], owed={0: LIED_TO}, ends={1: RAISED}, managed=True))
