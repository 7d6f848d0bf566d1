"""Oracles of jobs about what ranks learn, on histories written by hand: agreement, recovery, and the futures of async saves."""

from __future__ import annotations

from typing import Any

import pytest
from written import (
    DEAD,
    EIO,
    ENOSPC,
    FAILS,
    HUNG,
    LIED_TO,
    RAISED,
    RETURNED,
    STALLS,
    UNDETERMINED,
    Both,
    blamed,
    holds,
    said,
    violations,
    with_singles,
    written,
)

from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.verdict import Verdict

OTHER = Outcome("raised", EIO)
"""The engine's own error, in place of a ``CheckpointException``."""
FULL = blamed(0, ENOSPC)
NO_SPACE = Expectation("", (0, 1), Ending.FAILS, "write", {0: ENOSPC})


def _verdict(oracle: str, evidence: JobEvidence, call: str) -> Verdict:
    return Verdict.worst(judgement.counts for judgement in said(oracle, evidence) if judgement.operation == call)


# -- agreement


@pytest.mark.parametrize(
    ("owed", "ends", "verdict"),
    [
        (None, RETURNED, Verdict.HOLDS),
        (FAILS, RAISED, Verdict.HOLDS),
        (FAILS, (RAISED, OTHER), Verdict.HOLDS),
        (FAILS, (RAISED, RETURNED), Verdict.VIOLATED),
        (None, (RETURNED, RAISED), Verdict.VIOLATED),
        (FAILS, (HUNG, RAISED), Verdict.VIOLATED),
        (STALLS, (HUNG, RAISED), Verdict.HOLDS),
        (STALLS, (RETURNED, DEAD), Verdict.VIOLATED),
        (UNDETERMINED, (RETURNED, RAISED), Verdict.VIOLATED),
    ],
)
def test_agreement_wants_all_ranks_to_end_alike(owed: Expectation | None, ends: Both, verdict: Verdict) -> None:
    """Call by call, by the rules of a single operation."""
    evidence = written("save a; save b", owed={1: owed} if owed else {}, ends={1: ends})
    assert _verdict("agreement", evidence, "save[2]") is verdict
    assert _verdict("agreement", evidence, "save[1]") is Verdict.HOLDS


def test_agreement_says_nothing_of_ranks_that_may_be_out_of_step() -> None:
    """After a failure that one rank saw, the next call of the same ranks may end in any way; after a restart it may not."""
    text, apart = "save a; continue; save b; restart; save c", (RETURNED, RAISED)
    evidence = written(text, ends={0: apart, 2: apart, 4: apart}, owed={0: FAILS})
    assert [_verdict("agreement", evidence, f"save[{number}]").name for number in (1, 2, 3)] == ["VIOLATED", "HOLDS", "VIOLATED"]


@pytest.mark.parametrize("text", ["save a; prune 1", "save a; restart", "save a; renew writer"])
def test_agreement_wants_it_of_what_calls_no_engine_too(text: str) -> None:
    """A prune that fails on one rank only, say."""
    assert "agreement" not in violations(written(text, ends={1: OTHER}))
    assert "rank 0 returned" in violations(written(text, ends={1: (RETURNED, OTHER)}))["agreement"]


def test_agreement_leaves_the_end_of_async_saves_to_others() -> None:
    """Ranks that end while a save is under way end as it does."""
    evidence = written("async a; restart", ends={0: (RETURNED, HUNG), 1: (RETURNED, HUNG)}, owed={0: STALLS})
    assert not [judgement for judgement in said("agreement", evidence) if not judgement.operation]


def test_agreement_wants_nothing_of_ranks_that_may_be_out_of_step() -> None:
    """One of them may hang in the call before, while the other prunes."""
    evidence = written("save a; prune 1", ends={0: (HUNG, RAISED), 1: (HUNG, RETURNED)}, owed={0: FAILS})
    assert [judgement.operation for judgement in said("agreement", evidence)] == ["save[1]"]


def test_agreement_wants_each_call_to_report_its_own_failure() -> None:
    """Not that of a call before it; the same failure twice is each call's own."""
    stale = written("save a; save b", owed={0: FAILS, 1: NO_SPACE}, ends={0: RAISED, 1: RAISED})
    assert violations(stale)["agreement"] == "save[2]: rank 0 reports the failure of save[1]; rank 1 reports the failure of save[1]"
    assert "agreement" not in violations(written("save a; save b", owed={0: FAILS, 1: NO_SPACE}, ends={0: RAISED, 1: FULL}))
    assert "agreement" not in violations(written("save a; save b", owed={0: FAILS, 1: FAILS}, ends={0: RAISED, 1: RAISED}))
    assert "agreement" not in violations(written("save a; save b", owed={0: FAILS, 1: LIED_TO}, ends={0: RAISED, 1: RAISED}))


# -- recovery

FAILED: dict[str, Any] = {"owed": {0: FAILS}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("save a; heal; save a", "the save to the old place a failed: rank 0 raised"),
        ("save a; heal; save b", "the save to the new place b failed: rank 0 raised"),
        ("save a; heal; retry", "the save to the old place a failed: rank 0 raised"),
        ("save a; heal; async a", "the save to the old place a failed: rank 0 raised"),
    ],
)
def test_recovery_wants_the_same_objects_to_work_again(text: str, words: str) -> None:
    """At the old place and at a new one; no other oracle complains of the call."""
    assert violations(written(text, ends={0: RAISED}, **FAILED)) == {}
    broken = violations(written(text, ends={0: RAISED, 2: OTHER}, **FAILED))
    assert set(broken) == {"recovery"}
    assert words in broken["recovery"]


def test_recovery_wants_loads_too() -> None:
    """Of what was saved before the failure."""
    text, looks = "save a; save b; heal; load a", ["a=1", "a=1 b=~", "a=1 b=~"]
    good = written(text, looks, ends={1: RAISED}, owed={1: FAILS}, loaded={3: (holds("save[1]"),) * 2})
    assert violations(good) == {}
    assert set(violations(written(text, looks, ends={1: RAISED, 3: HUNG}, owed={1: FAILS}))) == {"recovery"}


def test_recovery_wants_what_the_second_try_has_stored() -> None:
    """Success with nothing at the place, or with the values of the save before, is none."""
    for left, words in (("a=~", "holds no checkpoint"), ("a=1", "holds save[1]")):
        stale = violations(written("save a; retry", ["a=~", left], ends={0: RAISED}, **FAILED))
        assert set(stale) == {"recovery"}
        assert words in stale["recovery"]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("save a; save b", {"ends": {0: (RAISED, RETURNED), 1: OTHER}, **FAILED}),
        ("save a; save b", {"ends": {0: RAISED, 1: OTHER}, "owed": {0: LIED_TO}}),
        ("save a; save b", {"ends": {0: (RAISED, DEAD), 1: OTHER}, "owed": {0: STALLS}}),
        ("save a; save b", {"ends": {0: RAISED, 1: FULL}, "owed": {0: FAILS, 1: NO_SPACE}}),
        ("save a; load a", {"ends": {0: RAISED, 1: OTHER}, **FAILED}),
        ("save a; restart; load a", {"ends": {0: RAISED, 2: OTHER}, **FAILED}),
        ("async a; save b; wait", {"ends": {0: (RAISED, HUNG), 1: OTHER}, **FAILED}),
        ("save a; async a; save b; wait", {"ends": {0: RAISED, 1: HUNG, 2: HUNG}, **FAILED}),
    ],
)
def test_recovery_is_owed_after_a_clean_failure_only(text: str, more: dict[str, Any]) -> None:
    """Not by ranks that may be out of step, not while faults strike, and not from a place that may hold nothing."""
    assert "recovery" not in violations(written(text, **more))


def test_recovery_is_unknown_where_the_outcome_is() -> None:
    """Something outside of the world did not answer."""
    unknown = Outcome("unknown", where="a native thread")
    (judgement,) = said("recovery", written("save a; save a", ends={0: RAISED, 1: unknown}, **FAILED))
    assert judgement.verdict is Verdict.UNKNOWN


# -- futures

SAVED = {0: {"upload": RETURNED}, 1: {"upload": RETURNED}}

KEPT = {
    "it ends at its wait": written("async a; save b; wait", futures={0: SAVED}),
    "it ends at the end of its ranks": written("async a; restart", futures={0: SAVED}),
    "nobody waits for it": written("async a", futures={0: SAVED}),
    "it fails, and its wait says so": written(
        "async a; wait", owed={0: FAILS}, ends={0: RAISED, 1: RAISED}, futures={0: {0: {"upload": RAISED}, 1: {"upload": RAISED}}}
    ),
    "it cannot be begun": written("async a; wait", owed={0: FAILS}, began={0: RAISED}, ends={0: RAISED, 1: RETURNED}),
    "a rank is lost, and its save never ends": written("async a; wait", owed={0: STALLS}, ends={0: HUNG, 1: HUNG}),
    "two under way fail in the same way": written("async a; async b; wait", owed={0: FAILS, 1: FAILS}, ends={0: RAISED, 1: RAISED, 2: RAISED}),
    "the other fails": written("async a; async b; wait a; wait b", owed={1: FAILS}, ends={1: RAISED, 3: RAISED}),
}


@pytest.mark.parametrize("evidence", KEPT.values(), ids=KEPT)
def test_futures_end_at_their_wait_with_their_own_outcome(evidence: JobEvidence) -> None:
    """Or with the ranks, where nobody waits; where a rank is lost, they need not end."""
    assert "futures" not in violations(evidence)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (
            written("async a; wait; save b; restart", after={0: 3}),
            "the save ends during operation 4 (`restart`), although operation 2 (`wait`) has waited for it",
        ),
        (with_singles(written("async a; wait", futures={0: {1: {"staging": HUNG}}})), "rank 1: the staging future never completes"),
        (with_singles(written("async a; wait", futures={0: {1: {"upload": RAISED}}})), "rank 1: the upload future reports: raised"),
        (
            written("async a; wait; async b; wait", owed={0: FAILS, 2: NO_SPACE}, ends={0: RAISED, 1: RAISED, 2: RAISED, 3: RAISED}),
            "rank 0: the future reports the failure of async_save[1]",
        ),
        (
            written("async a; wait", owed={0: FAILS}, ends={0: RAISED}),
            "rank 0: operation 2 (`wait`) reports success, although the save raised",
        ),
        (written("async a; wait", ["a=~", "a=~"]), "the futures report success, and place a holds no checkpoint; it must hold async_save[1]"),
        (written("save a; async a; wait", ["a=1", "a=~", "a=1"]), "the futures report success, and place a holds save[1]; it must hold async_save[1]"),
    ],
    ids=["late", "staging", "contradicted", "of the save before", "swallowed", "too early", "not done"],
)
def test_futures_that_are_late_endless_or_untrue_are_found(evidence: JobEvidence, words: str) -> None:
    """In words that say which."""
    assert words in violations(evidence)["futures"]


# -- hygiene


def test_hygiene_wants_nothing_to_remain_of_a_life() -> None:
    """Each life answers for itself; the failure of a call that had to fail excuses nothing."""
    left = {1: [], 2: ["rank 1: thread 'flusher' is still running"]}
    evidence = written("save a; restart; save b", left=left, ends={2: RAISED}, owed={2: FAILS})
    assert violations(evidence)["hygiene"] == ": after life 2: rank 1: thread 'flusher' is still running"
    assert violations(written("save a; restart; save b", left={1: [], 2: []})) == {}


@pytest.mark.parametrize(("ends", "owed"), [(RAISED, UNDETERMINED), ((RAISED, HUNG), FAILS), (RETURNED, LIED_TO)])
def test_hygiene_judges_no_life_in_which_a_call_ended_in_an_unknown_way(ends: Both, owed: Expectation) -> None:
    """What remains may belong to that call."""
    struck = Expectation("", (0, 1), owed.ending, decisive=LIED_TO.decisive)
    evidence = written("save a; save b", left={1: ["rank 0: thread 'upload' is still running"]}, ends={1: ends}, owed={1: struck})
    assert "hygiene" not in violations(evidence)
