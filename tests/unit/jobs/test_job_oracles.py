"""The oracles of jobs on histories written by hand: what each accepts, and what it rejects."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import FAILED, HUNG, RETURNED, broken, but, mixture, owed, then_lies, verdicts, went_well, whole

from ckpt_harness.errors import UsageError
from ckpt_harness.jobs.evidence import JobEvidence, Loaded, Seen
from ckpt_harness.jobs.model import Course
from ckpt_harness.jobs.oracles import JOB_ORACLES, job_claim, judge_job
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.expectation import Ending, Forecast
from ckpt_harness.judging.verdict import Judgement, Verdict

LIFE = "save a; save b; async c; load a; wait; load latest; restart; save a; prune 2; load latest"


@pytest.mark.parametrize("oracle", JOB_ORACLES)
@pytest.mark.parametrize("alone", [True, False])
def test_a_job_that_goes_well_is_accepted(oracle: str, alone: bool) -> None:
    """Whatever its operations, and whether or not its calls were judged alone."""
    assert verdicts(oracle, went_well(LIFE, alone=alone)) == {}


# -- pairing and metadata: what appears at a place, where no oracle of single operations has judged it


MIXED = Seen(True, "mixed")


def test_pairing_rejects_a_mixture_that_a_save_nobody_could_judge_has_left() -> None:
    """Behind ranks that are out of step, the model says nothing; a mixture is wrong all the same."""
    evidence = then_lies(went_well("save a; save a", alone=False), 2, "a", MIXED, mixture("save[1]", "save[2]"))
    assert verdicts("pairing", evidence) == {"save[2]": "behind operation 2, 'save a': a, loaded on 2 rank(s), holds values of save[1] and save[2]"}


def test_pairing_rejects_a_mixture_that_appears_behind_another_operation() -> None:
    """A load that changes what lies at a place."""
    evidence = then_lies(went_well("save a; save b; load a"), 3, "a", MIXED, mixture("save[1]", "save[2]"))
    assert list(verdicts("pairing", evidence)) == ["save[1]"]


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(then_lies(went_well("save a; save a"), 2, "a", MIXED, mixture("save[1]", "save[2]")), id="judged alone"),
        pytest.param(then_lies(went_well("save a; save a", alone=False), 2, "a", Seen(False, "mixed"), mixture("save[1]", "save[2]")), id="not committed"),
        pytest.param(
            replace(
                then_lies(went_well("save a; save a", alone=False), 2, "a", MIXED, mixture("save[1]", "save[2]")),
                fired=frozenset({("save[2]/writer.finish@0=skip", 0, "save[2]")}),
            ),
            id="struck itself",
        ),
    ],
)
def test_pairing_leaves_to_others_what_others_judge(evidence: JobEvidence) -> None:
    """What a single operation left is judged with it; without a marker nothing is claimed; of a save that was struck nothing is owed."""
    assert verdicts("pairing", evidence) == {}


def test_metadata_rejects_a_marker_without_its_files() -> None:
    """Both that the metadata names what no file holds, and that nothing loads."""
    evidence = then_lies(went_well("save a; save b", alone=False), 2, "b", Seen(True, "torn"), broken("save[2]"))
    assert verdicts("metadata", evidence) == {
        "save[2]": "behind operation 2, 'save b': b: weight is in the metadata, and not in storage; "
        "behind operation 2, 'save b': b has a commit marker, and does not load: rank 0 raised KeyError"
    }


# -- purity and filled: what a load gives


def _loaded(evidence: JobEvidence, number: int, *states: Loaded) -> JobEvidence:
    return but(evidence, number, loaded=dict(enumerate(states)))


OLD, NEW = Loaded(("save[1]",), {"save[1]": (), "save[2]": ("weight",)}), Loaded(("save[2]",), {"save[1]": ("weight",), "save[2]": ()})


def test_purity_rejects_ranks_that_hold_different_saves() -> None:
    """Though each rank by itself holds one save in whole."""
    assert verdicts("purity", _loaded(went_well("save a; save a; load a"), 3, OLD, NEW)) == {"load[1]": "ranks hold values of save[1] and save[2]"}


def test_purity_accepts_a_mixture_that_every_reader_gets() -> None:
    """The save that left it is to blame, and the load is not."""
    evidence = then_lies(went_well("save a; save a; load a"), 2, "a", MIXED, mixture("save[1]", "save[2]"))
    assert verdicts("purity", _loaded(evidence, 3, OLD, NEW)) == {}


def test_filled_rejects_success_with_another_save() -> None:
    """Fresh ranks get one save, and the ranks of the job another."""
    evidence = _loaded(went_well("save a; save a; load a", readings={"save[2]": whole("save[2]", "save[1]")}), 3, OLD, OLD)
    assert verdicts("filled", evidence) == {
        "load[1]": "rank 0 reports success, and does not hold save[2]: weight; rank 1 reports success, and does not hold save[2]: weight"
    }


def test_filled_rejects_success_with_holes() -> None:
    """Even where nobody knows what the place holds: a target is filled, or the load fails."""
    evidence = _loaded(went_well("save a; load a", readings={}), 2, Loaded(("save[1]",), {}, unfilled=True))
    assert verdicts("filled", evidence) == {"load[1]": "rank 0 reports success, and a part of its state was not loaded"}


# -- resume: which place a job takes for the latest


def _latest(evidence: JobEvidence, number: int, *places: str | None) -> JobEvidence:
    return but(evidence, number, latest=dict(enumerate(places)))


RESUMES = "save a; save b; load latest"


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (_latest(went_well(RESUMES), 3, "a", "a"), "a is taken for the latest, and b is the newest whole checkpoint"),
        (_latest(went_well(RESUMES), 3, None, None), "nothing is taken for the latest, and b holds a whole checkpoint"),
        (
            then_lies(went_well(RESUMES), 2, "b", Seen(False, "torn")),
            "b is taken for the latest, and is not committed",
        ),
    ],
)
def test_resume_rejects(evidence: JobEvidence, reason: str) -> None:
    """An older place, no place although there is one, and a place that is not committed."""
    assert verdicts("resume", evidence) == {"load[1]": reason}


def test_resume_rejects_ranks_that_resume_differently() -> None:
    """Though the places that they take hold whole checkpoints."""
    assert "ranks resume differently: rank 0 from b, rank 1 from a" in verdicts("resume", _latest(went_well(RESUMES), 3, "b", "a"))["load[1]"]


def test_resume_accepts_a_newer_place_with_a_marker_that_is_not_whole() -> None:
    """A job trusts markers. The save that set a wrong marker has been judged."""
    evidence = then_lies(went_well(RESUMES), 2, "b", Seen(True, "torn"), broken("save[2]"))
    assert verdicts("resume", evidence) == {}


def test_resume_follows_the_order_of_saves_and_not_of_names() -> None:
    """A place that is saved to again is the newest."""
    assert verdicts("resume", went_well("save b; save a; save b; load latest")) == {}
    assert verdicts("resume", _latest(went_well("save b; save a; save b; load latest"), 4, "a", "a")) != {}


# -- retention: what stays


def test_retention_rejects_a_checkpoint_that_changes_by_itself() -> None:
    """No save to its place has begun."""
    evidence = then_lies(went_well("save a; async b; load a; wait"), 4, "a", Seen(True, "other"), mixture("save[1]", "async_save[1]"))
    assert verdicts("retention", evidence) == {"save[1]": "behind operation 4, 'wait': a held save[1] in whole, and has changed"}


def test_retention_rejects_a_prune_that_removes_too_much() -> None:
    """Only what is older than as many whole checkpoints as shall stay."""
    evidence = then_lies(went_well("save a; save b; save c; prune 2"), 4, "b", Seen())
    assert verdicts("retention", evidence) == {"save[2]": "behind operation 4, 'prune 2': b was removed, and only 1 newer checkpoint(s) are committed"}


def test_retention_accepts_what_an_overwrite_destroys() -> None:
    """That is for the oracles of the save to judge."""
    assert verdicts("retention", then_lies(went_well("save a; save a"), 2, "a", Seen(False, "torn"))) == {}


# -- recovery and futures


def _failed(text: str, number: int, call: str) -> JobEvidence:
    return but(went_well(text), number, outcomes={0: FAILED, 1: FAILED}, owed=(owed(call, Ending.FAILS),))


def test_recovery_rejects_a_second_failure_without_a_fault() -> None:
    """The same ranks, behind a save that failed on all of them."""
    evidence = but(_failed("save a; save b", 1, "save[1]"), 2, outcomes={0: FAILED, 1: HUNG})
    reason = "behind the failed save[1]: rank 0 raised ValueError(no); behind the failed save[1]: rank 1 hung (gather)"
    assert verdicts("recovery", evidence) == {"save[2]": reason}


@pytest.mark.parametrize(
    "evidence",
    [
        _failed("save a; save b", 1, "save[1]"),
        but(_failed("save a; restart; save b", 1, "save[1]"), 3, outcomes={0: FAILED, 1: FAILED}),
        but(_failed("save a; save b", 1, "save[1]"), 2, outcomes={0: FAILED, 1: FAILED}, owed=(owed("save[2]", Ending.FAILS),)),
    ],
)
def test_recovery_accepts(evidence: JobEvidence) -> None:
    """Success, a failure of other ranks behind a restart, and a failure that a fault explains."""
    assert verdicts("recovery", evidence) == {}


def test_futures_reject_success_of_a_save_that_is_not_there() -> None:
    """The place holds what was saved before."""
    evidence = then_lies(went_well("save a; async a; wait"), 3, "a", Seen(True, "save[1]"))
    assert verdicts("futures", evidence) == {"async_save[1]": "every future reports success, and a holds save[1]"}


def test_futures_reject_a_future_that_is_never_completed() -> None:
    """Whatever the other future of the save says."""
    evidence = went_well("async a; wait")
    ending = evidence.ended["async_save[1]"]
    late = replace(ending, outcomes={0: RETURNED, 1: HUNG}, futures={0: {"upload": RETURNED}, 1: {"upload": HUNG}})
    assert verdicts("futures", replace(evidence, ended={"async_save[1]": late})) == {"async_save[1]": "rank 1: the upload future is never completed"}


# -- what holds for all of them


def test_an_oracle_that_crashes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never a pass."""
    monkeypatch.setitem(JOB_ORACLES, "pairing", lambda _: iter([{}["lost"]]))
    assert Judgement("pairing", Verdict.UNKNOWN, "the oracle crashed: KeyError: 'lost'") in judge_job(went_well("save a"))


def test_an_error_of_the_harness_is_unknown() -> None:
    """Whatever the oracles say."""
    judgements = judge_job(went_well("save a", internal_errors=("ValueError: ours",)))
    assert Verdict.worst(judgement.verdict for judgement in judgements) is Verdict.UNKNOWN


def test_every_oracle_states_its_claim() -> None:
    """In one line, which reports print."""
    assert all(job_claim(oracle).endswith(".") for oracle in JOB_ORACLES)
    with pytest.raises(UsageError, match="unknown oracle of jobs 'truth'; valid: pairing, "):
        job_claim("truth")


def test_the_model_knows_nothing_where_an_operation_is_undetermined() -> None:
    """Until storage is looked at."""
    evidence = went_well("save a; save a")
    undetermined = Evidence(Forecast((owed("save[2]", Ending.UNDETERMINED),), frozenset()), {})
    evidence = replace(evidence, single={**evidence.single, "save[2]": undetermined})
    assert Course(evidence).moments[1].predicted == {"a": None}
    assert Course(evidence).moments[1].known == {"a": frozenset({"save[2]"})}
