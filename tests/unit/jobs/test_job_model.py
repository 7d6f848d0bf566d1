"""The reference model of jobs, on histories written by hand: what places may hold, what a restart may find, what calls owe."""

from __future__ import annotations

from dataclasses import replace

import pytest
from written import ATOMIC, DCP, DEAD, FAILS, HUNG, LIED_TO, RAISED, RETURNED, STALLS, UNDETERMINED, written

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.calls import Trouble
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.jobs.model import Model
from ckpt_harness.judging.expectation import Ending, Expectation


def _at_the_end(evidence: JobEvidence, place: str = "a") -> str:
    model = Model(evidence)
    return str(model.may_hold(place, len(evidence.done)))


@pytest.mark.parametrize(
    ("text", "ends", "expected"),
    [
        ("save a", {}, "save[1]"),
        ("save a", {0: RAISED}, "save[1] or no checkpoint"),
        ("save a", {0: (RETURNED, RAISED)}, "save[1] or no checkpoint"),
        ("save a; save a", {}, "save[2]"),
        ("save a; retry", {0: RAISED}, "save[2]"),
        ("save a; load a", {}, "save[1]"),
        ("async a", {}, "async_save[1]"),
        ("async a; wait", {0: RAISED}, "async_save[1] or no checkpoint"),
        ("save a; save b; prune 1", {}, "save[1] or no checkpoint"),
        ("save b", {}, "no checkpoint"),
    ],
)
def test_a_place_may_hold_what_was_reported(text: str, ends: dict[int, object], expected: str) -> None:
    """Success means the checkpoint; without success on every rank its commit may have acted, or not."""
    assert _at_the_end(written(text, ends=ends)) == expected  # type: ignore[arg-type]


def test_a_failed_overwrite_may_destroy_the_old_checkpoint() -> None:
    """With an engine that overwrites in place; others keep the old or have the new."""
    text, ends = "save a; save a", {1: RAISED}
    assert _at_the_end(written(text, ends=ends)) == "save[1] or save[2] or no checkpoint or a broken checkpoint"
    assert _at_the_end(written(text, ends=ends, capabilities=ATOMIC)) == "save[1] or save[2]"


def test_a_save_whose_storage_lied_may_have_left_anything() -> None:
    """Unless the engine claims to notice lies."""
    text, owed = "save a; save a", {1: LIED_TO}
    assert _at_the_end(written(text, owed=owed)) == "save[1] or save[2] or no checkpoint or a broken checkpoint"
    assert _at_the_end(written(text, owed=owed, capabilities=DCP | {Capability.DETECTS_LIES})) == "save[2]"


def test_of_two_saves_to_one_place_at_once_either_may_be_the_last() -> None:
    """Also of two that both report success."""
    assert _at_the_end(written("async a; async a; wait", capabilities=ATOMIC)) == "async_save[1] or async_save[2]"
    assert _at_the_end(written("async a; wait; async a; wait", capabilities=ATOMIC)) == "async_save[2]"


def test_while_a_save_is_under_way_its_place_may_hold_the_old_or_the_new() -> None:
    """The load comes before the wait."""
    model = Model(written("save a; async a; load a; wait; load a", capabilities=ATOMIC))
    assert str(model.may_hold("a", 2)) == "async_save[1] or save[1]"
    assert str(model.may_hold("a", 4)) == "async_save[1]"


def test_what_is_seen_of_a_place_under_way_does_not_last() -> None:
    """The look finds the old checkpoint, and the save may end a moment later."""
    model = Model(written("save a; async a; save b; wait", ["a=1", "a=1", "a=2 b=3", "a=2 b=3"], capabilities=ATOMIC))
    assert str(model.may_hold("a", 2)) == "async_save[1] or save[1]"
    assert model.surprises == []


def test_ranks_that_take_no_part_do_not_count() -> None:
    """Where fresh ranks load, those of the job stand still."""
    evidence = written("load a ranks=1", ends={0: (RAISED, RETURNED)})
    alone = replace(evidence, done=[replace(evidence.done[0], ranks=(0,))])
    assert Model(alone).calls["load[1]"].outcomes == {0: RAISED}


def test_a_look_settles_what_the_reports_left_open() -> None:
    """Afterwards the model goes on from what was seen."""
    lost = written("save a; save b", ["a=1", "a=1 b=2"], ends={1: RAISED})
    assert _at_the_end(lost, "b") == "save[2]"
    assert _at_the_end(written("save a; save b", ["a=1", "a=1 b=~"], ends={1: RAISED}), "b") == "no checkpoint"
    assert Model(lost).surprises == []


def test_what_was_seen_against_the_model_is_a_surprise_once() -> None:
    """The model goes on from there."""
    model = Model(written("save a; save b; load b", ["a=1", "a=0 b=2", "a=0 b=2"]))
    (surprise,) = model.surprises
    assert (surprise.index, str(surprise)) == (1, "place a holds no checkpoint; it must hold save[1]")


def test_a_manager_may_remove_older_checkpoints_when_it_saves() -> None:
    """Which, is for the oracle about retention."""
    model = Model(written("save a; save b", ["a=1", "a=0 b=2"], managed=True))
    assert model.surprises == []


@pytest.mark.parametrize(
    ("text", "looks", "ends", "expected"),
    [
        ("save a; save b; restart", ["a=1", "a=1 b=2"], {}, {"b"}),
        ("save a; save b; restart", ["a=1", "a=1 b=~"], {1: RAISED}, {"a"}),
        ("save a; save b; restart", [None, None], {1: RAISED}, {"a", "b"}),
        ("save a; restart", ["a=~"], {0: RAISED}, {None}),
        ("save a; restart", [None], {0: RAISED}, {"a", None}),
        ("save a; save b; save a; restart", ["a=1", "a=1 b=2", "a=1 b=2"], {2: RAISED}, {"a", "b"}),
        ("async a; save b; wait; restart", [None, None, "a=1 b=2"], {}, {"a", "b"}),
        ("save b; save a; restart", ["b=1", "b=1 a=2"], {}, {"a"}),
    ],
)
def test_a_restart_may_find_the_newest_whole_checkpoint(text: str, looks: list[str | None], ends: dict[int, object], expected: set[str | None]) -> None:
    """Of several that may be the newest, each. Without a manager, a place that was saved again may count as newer than its content."""
    evidence = written(text, looks, ends=ends)  # type: ignore[arg-type]
    assert Model(evidence).may_resume(len(evidence.done)) == expected


def test_a_manager_counts_in_steps() -> None:
    """So the save of the later step is newer, whichever ended first. A save that goes back to an earlier step may count as newer, too."""
    evidence = written("async a; save b; wait", [None, None, "a=1 b=2"], managed=True)
    assert Model(evidence).may_resume(3) == {"7"}
    failed = written("save a; save b; save a", ["a=1", "a=1 b=2", "a=1 b=2"], ends={2: RAISED}, managed=True)
    assert Model(failed).may_resume(3) == {"7"}
    back = written("save b; save a", ["b=1", "b=1 a=2"], managed=True)
    assert Model(back).may_resume(2) == {"6", "7"}


def test_a_manager_may_pass_over_what_a_failed_save_has_committed() -> None:
    """It goes by what the save reported. Whoever finds the commit marker is right, too."""
    evidence = written("save a; save b", ["a=1", "a=1 b=2"], ends={1: RAISED}, managed=True)
    assert Model(evidence).may_resume(2) == {"6", "7"}


@pytest.mark.parametrize(
    ("owed", "ends", "trouble"),
    [
        (None, RETURNED, Trouble.NONE),
        (FAILS, RAISED, Trouble.CLEAN),
        (None, RAISED, Trouble.CLEAN),
        (FAILS, (RAISED, RETURNED), Trouble.OPEN),
        (FAILS, (RAISED, HUNG), Trouble.OPEN),
        (STALLS, (RAISED, DEAD), Trouble.OPEN),
        (LIED_TO, RAISED, Trouble.OPEN),
        (LIED_TO, RETURNED, Trouble.NONE),
        (UNDETERMINED, RAISED, Trouble.CLEAN),
    ],
)
def test_only_a_failure_on_all_ranks_leaves_them_in_step(owed: Expectation | None, ends: object, trouble: Trouble) -> None:
    """As far as the model knows how it has to end; an ending that is open for lack of a checkpoint only is none of its doing."""
    evidence = written("save a", ends={0: ends}, owed={0: owed} if owed else {})  # type: ignore[dict-item]
    assert Model(evidence).calls["save[1]"].trouble is trouble


def _owes(evidence: JobEvidence, call: str) -> tuple[Ending, bool]:
    model = Model(evidence)
    (expectation,) = model.owes(model.calls[call])
    return expectation.ending, expectation.agreement


def test_after_an_open_failure_nothing_exact_is_owed_until_a_restart() -> None:
    """Ranks may be out of step; new ranks are not, and neither are fresh ranks that load."""
    text = "save a; save b; save c; load b ranks=1; restart; save d; load d"
    evidence = written(text, ends={1: (RAISED, RETURNED)}, owed={1: FAILS, 2: FAILS})
    assert _owes(evidence, "save[2]") == (Ending.FAILS, True)
    assert _owes(evidence, "save[3]") == (Ending.UNDETERMINED, False)
    assert _owes(evidence, "load[1]") == (Ending.UNDETERMINED, True)  # nobody knows what lies there
    assert _owes(evidence, "save[4]") == _owes(evidence, "load[2]") == (Ending.SUCCEEDS, True)


def test_a_call_after_a_clean_failure_is_for_recovery_to_judge() -> None:
    """All other oracles take any ending on which the ranks agree."""
    evidence = written("save a; save a; load a", ends={0: RAISED}, owed={0: FAILS})
    assert _owes(evidence, "save[2]") == (Ending.UNDETERMINED, True)
    model = Model(evidence)
    assert [call for call, made in model.calls.items() if model.recovers(made)] == ["save[2]", "load[1]"]


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("save a; load a", Ending.SUCCEEDS),
        ("save a; load b", Ending.UNDETERMINED),
        ("save a; change keys; load a", Ending.UNDETERMINED),
        ("change keys; save a; load a", Ending.SUCCEEDS),
        ("save a planner=no-flatten; load a", Ending.UNDETERMINED),
        ("save a; restart 1 way=alone; load a", Ending.UNDETERMINED),
        ("save a; restart 3; load a", Ending.SUCCEEDS),
        ("async a; load a; wait", Ending.UNDETERMINED),
    ],
)
def test_a_load_must_succeed_where_a_checkpoint_of_its_own_kind_lies(text: str, ending: Ending) -> None:
    """Elsewhere it may be refused."""
    assert _owes(written(text), "load[1]")[0] is ending


def test_a_load_that_may_be_refused_and_loses_a_rank_may_end_in_any_way() -> None:
    """Whether it gets as far as the fault, nobody can say."""
    assert _owes(written("load a", owed={0: STALLS}), "load[1]") == (Ending.UNDETERMINED, False)
    assert _owes(written("load a", owed={0: FAILS}), "load[1]") == (Ending.UNDETERMINED, True)


def test_with_a_manager_a_failure_in_the_background_may_surface_at_the_next_call() -> None:
    """So that call owes nothing exact; without a manager it does."""
    text, owed = "async a; save b; wait", {0: FAILS}
    assert _owes(written(text, ends={0: RAISED}, owed=owed, managed=True), "save[1]") == (Ending.UNDETERMINED, False)
    assert _owes(written("async a; save b; wait", managed=True), "save[1]") == (Ending.SUCCEEDS, True)


def test_ranks_that_go_on_alone_may_end_an_undetermined_call_differently() -> None:
    """A call whose ending is known owes the same as ever."""
    undetermined = written("save a; continue; save b", owed={0: LIED_TO})
    assert _owes(undetermined, "save[1]") == (Ending.UNDETERMINED, False)
    assert _owes(written("save a; continue; save b", owed={0: FAILS}), "save[1]") == (Ending.FAILS, True)
