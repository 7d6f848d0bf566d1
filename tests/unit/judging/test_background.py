"""The oracles of async saves and of what is left behind, on evidence written by hand: what each accepts, and what it rejects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import ErrorRecord, Event, History
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Acting, Ending, Expectation, Forecast
from ckpt_harness.judging.oracles import ORACLES
from ckpt_harness.judging.verdict import Verdict

NAME = "async_save[1]"
ERROR = ErrorRecord.of(MemoryError("staging"))
RETURNED, RAISED, PENDING = Outcome("returned"), Outcome("raised", ERROR), Outcome("hung", where="it is not completed")
SUCCEEDS = Expectation(NAME, (0, 1), Ending.SUCCEEDS)
_FAULT = FaultPlan.parse("stager.stage.future@1=failfuture(wait,MemoryError)").bind(2).faults[0]
FAILS = Expectation(NAME, (0, 1), Ending.FAILS, failures={1: ERROR}, decisive=(Acting(_FAULT, 1, ERROR),))
STALLS = Expectation(NAME, (0, 1), Ending.STALLS)


def _verdict(oracle: str, evidence: Evidence) -> Verdict:
    return Verdict.worst(judgement.verdict for judgement in ORACLES[oracle](evidence))


def _evidence(expectation: Expectation, *outcomes: Outcome, **more: object) -> Evidence:
    evidence = Evidence(Forecast((expectation,), frozenset()), {NAME: dict(enumerate(outcomes))})
    return replace(evidence, **more)  # type: ignore[arg-type]  # fields of Evidence


@pytest.mark.parametrize(
    ("expectation", "outcome", "futures", "verdict"),
    [
        (SUCCEEDS, RETURNED, {"upload": RETURNED, "staging": RETURNED}, Verdict.HOLDS),
        (SUCCEEDS, RETURNED, {"upload": RETURNED, "staging": PENDING}, Verdict.VIOLATED),
        (SUCCEEDS, RETURNED, {"upload": PENDING}, Verdict.VIOLATED),
        (SUCCEEDS, RETURNED, {"upload": RAISED}, Verdict.VIOLATED),
        (SUCCEEDS, RETURNED, {"upload": RETURNED, "staging": RAISED}, Verdict.VIOLATED),
        (FAILS, RAISED, {"upload": RAISED, "staging": RAISED}, Verdict.HOLDS),
        (FAILS, RAISED, {"upload": RAISED, "staging": RETURNED}, Verdict.VIOLATED),
        (FAILS, RAISED, {"upload": RAISED, "staging": PENDING}, Verdict.VIOLATED),
        (STALLS, RAISED, {"upload": RAISED, "staging": PENDING}, Verdict.HOLDS),
    ],
)
def test_a_future_completes_and_says_the_truth(expectation: Expectation, outcome: Outcome, futures: dict[str, Outcome], verdict: Verdict) -> None:
    """The staging future fails exactly on the rank whose staging failed; the upload future reports what its waiter saw."""
    assert _verdict("futures", _evidence(expectation, RETURNED, outcome, futures={NAME: {1: futures}})) is verdict


@pytest.mark.parametrize(
    ("rank", "effect", "verdict"),
    [(1, "failfuture(wait,MemoryError)", Verdict.HOLDS), (1, "delay", Verdict.VIOLATED), (0, "failfuture(wait,MemoryError)", Verdict.VIOLATED)],
)
def test_beside_a_stall_staging_may_have_failed(rank: int, effect: str, verdict: Verdict) -> None:
    """The stall alone decides, so the history says whether the staging of the rank failed."""
    struck = History([Event(0.0, rank, "fault", NAME, "stager.stage.future", 1, f"stager.stage.future@{rank}={effect}")])
    evidence = _evidence(STALLS, RETURNED, RAISED, futures={NAME: {1: {"upload": RAISED, "staging": RAISED}}}, history=struck)
    assert _verdict("futures", evidence) is verdict


def test_where_no_future_was_returned_nothing_is_judged() -> None:
    """A rank that raised from the call itself has none."""
    assert list(ORACLES["futures"](_evidence(SUCCEEDS, RETURNED, RETURNED))) == []


@pytest.mark.parametrize(("later", "verdict"), [((), Verdict.HOLDS), (("weight",), Verdict.VIOLATED)])
def test_what_is_saved_is_what_was_staged(later: tuple[str, ...], verdict: Verdict) -> None:
    """An entry that holds what the state was given later was shared and not staged."""
    storage = {NAME: [StorageEvidence(committed=True, mismatches={"2 rank(s)": ()}, later=later)]}
    assert _verdict("isolation", _evidence(SUCCEEDS, RETURNED, RETURNED, storage=storage)) is verdict


def test_a_checkpoint_that_nobody_read_shows_no_isolation() -> None:
    """Nor does the checkpoint of a plain save, whose state does not change meanwhile."""
    unread = _evidence(SUCCEEDS, RETURNED, RETURNED, storage={NAME: [StorageEvidence(committed=False)]})
    plain = replace(unread, storage={"save[1]": [StorageEvidence(committed=True, mismatches={"2 rank(s)": ()}, later=("weight",))]})
    assert [*ORACLES["isolation"](unread), *ORACLES["isolation"](plain)] == []


@pytest.mark.parametrize(
    ("expectation", "outcomes", "left", "verdicts"),
    [
        (SUCCEEDS, (RETURNED, RETURNED), (), [Verdict.HOLDS]),
        (SUCCEEDS, (RETURNED, RETURNED), ("rank 1: thread 'upload' goes on",), [Verdict.VIOLATED]),
        (FAILS, (RAISED, RAISED), ("temporary file .metadata.tmp",), [Verdict.VIOLATED]),
        (FAILS, (RAISED, PENDING), ("rank 1: thread 'upload' goes on",), []),
        (STALLS, (RAISED, RAISED), ("rank 1: thread 'upload' goes on",), []),
    ],
)
def test_nothing_goes_on_once_all_has_ended(
    expectation: Expectation, outcomes: tuple[Outcome, ...], left: tuple[str, ...], verdicts: list[Verdict]
) -> None:
    """Where a rank hangs, or somebody was lost, what goes on is a part of that."""
    assert [judgement.verdict for judgement in ORACLES["hygiene"](_evidence(expectation, *outcomes, left=left))] == verdicts


@pytest.mark.parametrize(
    ("other", "outcome", "verdicts"),
    [
        (Ending.SUCCEEDS, RETURNED, [Verdict.VIOLATED, Verdict.VIOLATED]),
        (Ending.SUCCEEDS, Outcome("hung"), []),
        (Ending.STALLS, RAISED, []),
        (Ending.UNDETERMINED, RETURNED, []),
    ],
)
def test_what_one_of_two_saves_may_have_left_is_not_held_against_the_other(other: Ending, outcome: Outcome, verdicts: list[Verdict]) -> None:
    """A save that hangs, or that the storage deceived, keeps files open or temporary."""
    second = Expectation("async_save[2]", (0, 1), other)
    outcomes = {NAME: {0: RETURNED, 1: RETURNED}, "async_save[2]": {0: RETURNED, 1: outcome}}
    evidence = Evidence(Forecast((SUCCEEDS, second), frozenset()), outcomes, left=("a temporary file",))
    assert [judgement.verdict for judgement in ORACLES["hygiene"](evidence)] == verdicts
