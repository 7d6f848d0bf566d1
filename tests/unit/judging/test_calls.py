"""Oracles on evidence written by hand: what each accepts, and what it rejects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from ckpt_harness.errors import InjectedFault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.history import ErrorRecord, Event, History
from ckpt_harness.judging import oracles
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Acting, Ending, Expectation, Forecast
from ckpt_harness.judging.oracles import ORACLES, judge
from ckpt_harness.judging.oracles.attribution import misattributed
from ckpt_harness.judging.verdict import Judgement, Verdict

ERROR = ErrorRecord.of(OSError(28, "No space left on device"))
OTHER = ErrorRecord.of(InjectedFault("elsewhere"))
FAULT = "writer.write_data@1=raise(OSError:ENOSPC)"

SUCCEEDS = Expectation("save[1]", (0, 1), Ending.SUCCEEDS)
FAILS = Expectation("save[1]", (0, 1), Ending.FAILS, "write", {1: ERROR}, must_fire=frozenset({(FAULT, 1)}))
STALLS = Expectation("save[1]", (0, 1), Ending.STALLS, "write")
UNDETERMINED = Expectation("save[1]", (0, 1), Ending.UNDETERMINED, "write")

RETURNED, DEAD, UNKNOWN = Outcome("returned"), Outcome("dead"), Outcome("unknown", where="a native thread")
HUNG = Outcome("hung", where="gather, waiting for rank 1, at utils.py:1 in gather_object")


def _checkpoint_exception(failures: Mapping[int, ErrorRecord], step: str = "write", text: str = "") -> Outcome:
    kind = "torch.distributed.checkpoint.api.CheckpointException"
    return Outcome("raised", ErrorRecord(kind, failures=failures, step=step, message=text))


BLAMED = _checkpoint_exception({1: ERROR})
PLAIN = Outcome("raised", ERROR)


def _evidence(expectation: Expectation, *outcomes: Outcome, **more: object) -> Evidence:
    by_rank = {expectation.operation: dict(enumerate(outcomes))}
    evidence = Evidence(Forecast((expectation,), frozenset()), by_rank, fired=frozenset({(FAULT, 1)}))
    return replace(evidence, **more)  # type: ignore[arg-type]  # fields of Evidence


def _verdict(oracle: str, evidence: Evidence) -> Verdict:
    return Verdict.worst(judgement.verdict for judgement in ORACLES[oracle](evidence))


@pytest.mark.parametrize(
    ("oracle", "expectation", "outcomes", "verdict"),
    [
        ("bounded", SUCCEEDS, (RETURNED, RETURNED), Verdict.HOLDS),
        ("bounded", FAILS, (BLAMED, PLAIN), Verdict.HOLDS),
        ("bounded", SUCCEEDS, (replace(RETURNED, finished_at=1799.0), RETURNED), Verdict.HOLDS),
        ("bounded", SUCCEEDS, (replace(RETURNED, finished_at=1800.0), RETURNED), Verdict.VIOLATED),
        ("bounded", replace(SUCCEEDS, delayed=60.0), (replace(RETURNED, finished_at=1859.0), RETURNED), Verdict.HOLDS),
        ("bounded", replace(SUCCEEDS, delayed=60.0), (replace(RETURNED, finished_at=1860.0), RETURNED), Verdict.VIOLATED),
        ("bounded", FAILS, (BLAMED, HUNG), Verdict.VIOLATED),
        ("bounded", FAILS, (BLAMED, DEAD), Verdict.VIOLATED),
        ("bounded", STALLS, (HUNG, DEAD), Verdict.HOLDS),
        ("bounded", UNDETERMINED, (HUNG, BLAMED), Verdict.HOLDS),
        ("bounded", FAILS, (BLAMED, UNKNOWN), Verdict.UNKNOWN),
        ("bounded", STALLS, (UNKNOWN, UNKNOWN), Verdict.UNKNOWN),
        ("bounded", FAILS, (BLAMED,), Verdict.UNKNOWN),
        ("agreement", SUCCEEDS, (RETURNED, RETURNED), Verdict.HOLDS),
        ("agreement", FAILS, (BLAMED, PLAIN), Verdict.HOLDS),
        ("agreement", FAILS, (BLAMED, RETURNED), Verdict.VIOLATED),
        ("agreement", SUCCEEDS, (RETURNED, BLAMED), Verdict.VIOLATED),
        ("agreement", FAILS, (BLAMED, HUNG), Verdict.VIOLATED),
        ("agreement", UNDETERMINED, (BLAMED, RETURNED), Verdict.VIOLATED),
        ("agreement", replace(UNDETERMINED, agreement=False), (BLAMED, RETURNED), Verdict.HOLDS),
        ("agreement", STALLS, (HUNG, BLAMED), Verdict.HOLDS),
        ("agreement", STALLS, (PLAIN, DEAD), Verdict.HOLDS),
        ("agreement", STALLS, (RETURNED, DEAD), Verdict.VIOLATED),
        ("attribution", SUCCEEDS, (RETURNED, RETURNED), Verdict.HOLDS),
        ("attribution", SUCCEEDS, (RETURNED, BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (BLAMED, BLAMED), Verdict.HOLDS),
        ("attribution", FAILS, (RETURNED, RETURNED), Verdict.VIOLATED),
        ("attribution", FAILS, (BLAMED, PLAIN), Verdict.VIOLATED),
        ("attribution", FAILS, (BLAMED, HUNG), Verdict.HOLDS),
        ("attribution", FAILS, (_checkpoint_exception({0: ERROR}), BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (_checkpoint_exception({0: ERROR, 1: ERROR}), BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (_checkpoint_exception({}), BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (_checkpoint_exception({1: OTHER}), BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (_checkpoint_exception({1: replace(ERROR, errno=None)}), BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (_checkpoint_exception({1: ERROR}, step="plan"), BLAMED), Verdict.VIOLATED),
        ("attribution", FAILS, (_checkpoint_exception({1: ERROR}, text="it failed"), BLAMED), Verdict.VIOLATED),
        ("attribution", replace(FAILS, step=""), (_checkpoint_exception({1: ERROR}, step="setup"), BLAMED), Verdict.HOLDS),
        ("attribution", STALLS, (PLAIN, DEAD), Verdict.HOLDS),
        ("attribution", UNDETERMINED, (PLAIN, PLAIN), Verdict.HOLDS),
    ],
)
def test_who_ends_how(oracle: str, expectation: Expectation, outcomes: tuple[Outcome, ...], verdict: Verdict) -> None:
    """Bounded, agreement and attribution, on two ranks."""
    assert _verdict(oracle, _evidence(expectation, *outcomes)) is verdict


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (RETURNED, "reported success"),
        (PLAIN, "raised OSError([Errno 28] No space left on device) instead of a CheckpointException"),
        (_checkpoint_exception({0: ERROR}), "it blames ranks [0]; faults were injected on ranks [1]"),
        (_checkpoint_exception({1: OTHER}), "for rank 1 it reports InjectedFault(elsewhere); injected was OSError([Errno 28] No space left on device)"),
        (_checkpoint_exception({1: replace(ERROR, errno=None)}), "different errno"),
        (_checkpoint_exception({1: replace(ERROR, message="[Errno 28]")}), "different message"),
        (_checkpoint_exception({1: replace(ERROR, args=("28",))}), "different args"),
        (_checkpoint_exception({1: ERROR}, step="plan"), "it reports protocol step 'plan'; the fault was in step 'write'"),
        (_checkpoint_exception({1: ERROR}, text="it failed"), "its text does not mention every failed rank and error: 'it failed'"),
        (BLAMED, ""),
    ],
)
def test_what_is_wrong_with_an_attribution_is_said(outcome: Outcome, words: str) -> None:
    """The difference, in words that name both sides."""
    difference = misattributed(FAILS, outcome)
    assert words in difference
    assert bool(words) == bool(difference)


@pytest.mark.parametrize("outcome", [RETURNED, BLAMED], ids=["success", "error"])
def test_real_seconds_alone_are_no_violation(outcome: Outcome) -> None:
    """A process that ends after the timeout may have been slow on a busy machine: UNKNOWN, with the time. A rank that hangs is VIOLATED all the same."""
    late = replace(outcome, finished_at=1801.0)
    owed = FAILS if outcome is BLAMED else SUCCEEDS
    (judgement,) = ORACLES["bounded"](_evidence(owed, late, outcome, in_turns=False))
    assert judgement.verdict is Verdict.UNKNOWN
    assert "rank 0 " in judgement.reason
    assert judgement.reason.endswith("after 1801 real seconds")
    assert _verdict("bounded", _evidence(owed, outcome, outcome, in_turns=False)) is Verdict.HOLDS
    assert _verdict("bounded", _evidence(owed, late, HUNG, in_turns=False)) is Verdict.VIOLATED


@pytest.mark.parametrize("outcome", [HUNG, UNKNOWN], ids=["hung", "unknown"])
def test_a_rank_that_waits_is_named_with_the_error_that_reached_nobody(outcome: Outcome) -> None:
    """The first on that rank; errors of other ranks, and other events, say nothing about it."""
    events = [(0, "escaped"), (1, "raised"), (1, "lost"), (1, "escaped")]
    history = History([Event(0.0, rank, kind, detail=f"thread {number}") for number, (rank, kind) in enumerate(events)])
    (judgement,) = ORACLES["bounded"](_evidence(FAILS, BLAMED, outcome, history=history))
    assert judgement.reasons == (f"rank 1 {outcome}; error lost on thread 2",)


def test_each_slow_rank_is_named_with_its_own_seconds() -> None:
    """Also in a group that does not number its ranks in the order of the world."""
    owed = replace(SUCCEEDS, ranks=(1, 0))
    (judgement,) = ORACLES["bounded"](_evidence(owed, replace(RETURNED, finished_at=1900.0), replace(RETURNED, finished_at=2000.0), in_turns=False))
    assert judgement.reasons == ("rank 0 returned after 1900 real seconds", "rank 1 returned after 2000 real seconds")


def test_a_fault_that_never_fired_makes_a_case_vacuous() -> None:
    """Unless it is optional; what broke in the harness itself makes it unknown."""
    assert _verdict("fired", _evidence(FAILS, BLAMED, BLAMED)) is Verdict.HOLDS
    silent = _evidence(FAILS, BLAMED, BLAMED, fired=frozenset())
    assert _verdict("fired", silent) is Verdict.VACUOUS
    assert _verdict("fired", replace(silent, fired=frozenset({(FAULT, 0)}))) is Verdict.VACUOUS
    assert _verdict("fired", replace(silent, optional=frozenset({FAULT}))) is Verdict.HOLDS
    assert _verdict("fired", replace(silent, internal_errors=("KeyError: 1",))) is Verdict.UNKNOWN

    unreachable = replace(silent, forecast=Forecast((SUCCEEDS,), frozenset({(FAULT, 1)})))
    assert _verdict("fired", unreachable) is Verdict.VACUOUS
    assert _verdict("fired", replace(unreachable, fired=frozenset({(FAULT, 1)}))) is Verdict.HOLDS


def test_what_broke_in_the_harness_is_no_failure_of_the_engine() -> None:
    """The error may have reached the engine, which reports it: only that is said, and once."""
    broken = _evidence(FAILS, BLAMED, PLAIN, internal_errors=("KeyError: 1", "KeyError: 1", "KeyError: 2"))
    assert _verdict("attribution", broken) is Verdict.VIOLATED
    (judgement,) = judge(broken)
    assert (judgement.oracle, judgement.verdict) == ("fired", Verdict.UNKNOWN)
    assert judgement.reasons == ("error inside the harness: KeyError: 1", "error inside the harness: KeyError: 2")


@pytest.mark.parametrize(
    ("expectation", "outcomes", "storage", "verdict"),
    [
        (SUCCEEDS, (RETURNED, RETURNED), StorageEvidence(True, True, {}, {"2 ranks": ()}), Verdict.HOLDS),
        (SUCCEEDS, (RETURNED, RETURNED), StorageEvidence(False, True), Verdict.VIOLATED),
        (SUCCEEDS, (RETURNED, RETURNED), StorageEvidence(True, True, {}, {"2 ranks": (), "1 rank": ("x: NaN",)}), Verdict.VIOLATED),
        (FAILS, (BLAMED, BLAMED), StorageEvidence(False, False), Verdict.HOLDS),
        (FAILS, (BLAMED, BLAMED), StorageEvidence(True, False), Verdict.VIOLATED),
        (STALLS, (HUNG, DEAD), StorageEvidence(True, False), Verdict.VIOLATED),
        (FAILS, (BLAMED, BLAMED), StorageEvidence(True, True, {}, {"2 ranks": ()}), Verdict.HOLDS),
        (FAILS, (BLAMED, BLAMED), StorageEvidence(True, True, {}, {"2 ranks": ("x: NaN",)}), Verdict.VIOLATED),
        (FAILS, (BLAMED, BLAMED), StorageEvidence(False, False, {"previous": ".metadata is gone"}), Verdict.VIOLATED),
        (SUCCEEDS, (RETURNED, RETURNED), StorageEvidence(True, True, {"previous": "x is new"}), Verdict.VIOLATED),
        (UNDETERMINED, (BLAMED, BLAMED), StorageEvidence(True, False), Verdict.HOLDS),
        (replace(SUCCEEDS, operation="load[1]"), (RETURNED, RETURNED), StorageEvidence(None), Verdict.HOLDS),
        (replace(FAILS, operation="load[1]"), (BLAMED, BLAMED), StorageEvidence(None, damaged={"previous": "x is gone"}), Verdict.VIOLATED),
    ],
)
def test_what_is_committed(expectation: Expectation, outcomes: tuple[Outcome, ...], storage: StorageEvidence, verdict: Verdict) -> None:
    """A marker after success and not after failure, whole if it is there, and nothing else touched."""
    assert _verdict("commitment", _evidence(expectation, *outcomes, storage={expectation.operation: [storage]})) is verdict


def test_a_load_that_reports_success_is_filled() -> None:
    """What a failed load left in its targets does not matter."""
    load = replace(SUCCEEDS, operation="load[1]")
    wrong = {"load[1]": {0: (), 1: ("x: 5 of 5 elements, first NaN",)}}
    assert _verdict("filled", _evidence(load, RETURNED, RETURNED, loaded=wrong)) is Verdict.VIOLATED
    assert _verdict("filled", _evidence(load, RETURNED, BLAMED, loaded=wrong)) is Verdict.HOLDS
    assert _verdict("filled", _evidence(load, RETURNED, RETURNED, loaded={"load[1]": {0: (), 1: ()}})) is Verdict.HOLDS
    assert _verdict("filled", _evidence(load, RETURNED, RETURNED)) is Verdict.HOLDS


def test_the_same_ranks_can_try_again() -> None:
    """Healed, all of them succeed, and what they then stored is right; without a second attempt nothing is owed."""
    assert _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED)) is Verdict.HOLDS
    assert _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED, retry={0: RETURNED, 1: RETURNED})) is Verdict.HOLDS
    assert _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED, retry={0: RETURNED, 1: HUNG})) is Verdict.VIOLATED
    assert _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED, retry={0: BLAMED, 1: BLAMED})) is Verdict.VIOLATED
    assert _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED, retry={0: RETURNED, 1: UNKNOWN})) is Verdict.UNKNOWN
    assert _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED, retry={0: BLAMED, 1: UNKNOWN})) is Verdict.VIOLATED
    assert (
        _verdict("recovery", _evidence(FAILS, BLAMED, BLAMED, retry={0: RETURNED, 1: RETURNED}, retry_mismatches=("x: NaN",)))
        is Verdict.VIOLATED
    )


# -- groups, and ranks apart

EVEN = Expectation("save[1]", (0, 2), Ending.FAILS, "write", {1: ERROR})
ODD = Expectation("save[1]", (1, 3), Ending.SUCCEEDS, coordinator=1)


def _of_groups(outcomes: tuple[Outcome, ...], **more: object) -> Evidence:
    evidence = Evidence(Forecast((EVEN, ODD), frozenset()), {"save[1]": dict(enumerate(outcomes))})
    return replace(evidence, **more)  # type: ignore[arg-type]  # fields of Evidence


def _by_group(oracle: str, evidence: Evidence) -> dict[tuple[int, ...], Verdict]:
    return {judgement.ranks: judgement.verdict for judgement in ORACLES[oracle](evidence)}


def test_groups_are_judged_one_by_one() -> None:
    """A group may fail as it should while the other succeeds; a judgement says which ranks it is about."""
    fine = (BLAMED, RETURNED, BLAMED, RETURNED)
    for oracle in ("bounded", "agreement", "attribution"):
        assert _by_group(oracle, _of_groups(fine)) == {(0, 2): Verdict.HOLDS, (1, 3): Verdict.HOLDS}
    leaked = _of_groups((BLAMED, BLAMED, BLAMED, BLAMED))
    assert _by_group("agreement", leaked) == {(0, 2): Verdict.HOLDS, (1, 3): Verdict.HOLDS}
    assert _by_group("attribution", leaked) == {(0, 2): Verdict.HOLDS, (1, 3): Verdict.VIOLATED}
    assert _by_group("bounded", _of_groups((BLAMED, RETURNED, HUNG, RETURNED))) == {(0, 2): Verdict.VIOLATED, (1, 3): Verdict.HOLDS}


def test_a_failed_rank_is_named_as_its_group_counts() -> None:
    """Rank 2 of the world is rank 1 of the group of ranks 0 and 2; an exception that names rank 2 confuses the two."""
    raised = _checkpoint_exception({2: ERROR})
    assert _by_group("attribution", _of_groups((raised, RETURNED, raised, RETURNED)))[0, 2] is Verdict.VIOLATED


def test_each_group_commits_for_itself() -> None:
    """A marker that one owes is none that the other may have."""
    fine = (BLAMED, RETURNED, BLAMED, RETURNED)
    left = StorageEvidence(False, False, ranks=(0, 2)), StorageEvidence(True, True, ranks=(1, 3))
    assert _by_group("commitment", _of_groups(fine, storage={"save[1]": left})) == {(0, 2): Verdict.HOLDS, (1, 3): Verdict.HOLDS}
    swapped = StorageEvidence(True, False, ranks=(0, 2)), StorageEvidence(False, True, ranks=(1, 3))
    assert _by_group("commitment", _of_groups(fine, storage={"save[1]": swapped})) == {(0, 2): Verdict.VIOLATED, (1, 3): Verdict.VIOLATED}


def test_only_groups_that_tried_again_are_asked_for_it() -> None:
    """The one that succeeded has nothing to recover from."""
    fine = (BLAMED, RETURNED, BLAMED, RETURNED)
    assert _by_group("recovery", _of_groups(fine, retry={0: RETURNED, 2: RETURNED})) == {(0, 2): Verdict.HOLDS}
    assert _by_group("recovery", _of_groups(fine, retry={0: RETURNED, 2: BLAMED})) == {(0, 2): Verdict.VIOLATED}


APART = replace(FAILS, step="", agreement=False, apart=True)


@pytest.mark.parametrize(
    ("oracle", "outcomes", "verdict"),
    [
        ("attribution", (RETURNED, PLAIN), Verdict.HOLDS),
        ("attribution", (PLAIN, PLAIN), Verdict.HOLDS),
        ("attribution", (RETURNED, RETURNED), Verdict.VIOLATED),
        ("attribution", (RETURNED, Outcome("raised", OTHER)), Verdict.VIOLATED),
        ("attribution", (RETURNED, BLAMED), Verdict.VIOLATED),
        ("attribution", (RETURNED, HUNG), Verdict.HOLDS),
        ("agreement", (RETURNED, PLAIN), Verdict.HOLDS),
        ("bounded", (RETURNED, PLAIN), Verdict.HOLDS),
        ("bounded", (HUNG, PLAIN), Verdict.VIOLATED),
    ],
)
def test_apart_only_the_failed_owe_their_error_and_all_owe_an_end(oracle: str, outcomes: tuple[Outcome, ...], verdict: Verdict) -> None:
    """Each its own, as it is; what the others say is not asked, unless nothing was injected at all."""
    assert _verdict(oracle, _evidence(APART, *outcomes)) is verdict


def test_apart_nobody_fails_of_itself() -> None:
    """As together."""
    owed = replace(SUCCEEDS, agreement=False, apart=True)
    assert _verdict("attribution", _evidence(owed, RETURNED, RETURNED)) is Verdict.HOLDS
    assert _verdict("attribution", _evidence(owed, RETURNED, PLAIN)) is Verdict.VIOLATED


# -- the panel of judges


def test_a_crashing_oracle_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a pass; the others are heard all the same."""

    def broken(evidence: Evidence) -> list[Judgement]:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(oracles.ORACLES, "agreement", broken)
    found = {judgement.oracle: judgement for judgement in judge(_evidence(FAILS, RETURNED, RETURNED))}
    assert found["agreement"].verdict is Verdict.UNKNOWN
    assert "the oracle crashed: ZeroDivisionError: oops" in found["agreement"].reason
    assert found["attribution"].verdict is Verdict.VIOLATED


def test_what_an_oracle_said_before_it_crashed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation is no less one because a later place cannot be judged."""

    def broken(evidence: Evidence) -> Iterator[Judgement]:
        yield Judgement("agreement", Verdict.VIOLATED, "ranks disagree")
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(oracles.ORACLES, "agreement", broken)
    found = [judgement.verdict for judgement in judge(_evidence(FAILS, RETURNED, RETURNED)) if judgement.oracle == "agreement"]
    assert found == [Verdict.VIOLATED, Verdict.UNKNOWN]


def test_every_oracle_is_asked_and_says_what_it_found() -> None:
    """A violation comes with a reason, and a claim that holds without a reason."""
    load = replace(FAILS, operation="load[1]")
    found = judge(
        _evidence(
            load,
            RETURNED,
            HUNG,
            storage={"load[1]": [StorageEvidence(damaged={"previous": "gone"})]},
            loaded={"load[1]": {0: ("x",)}},
            retry={0: HUNG},
        )
    )
    upload = {"async_save[1]": {0: {"upload": RETURNED}}}
    stored = {"async_save[1]": [StorageEvidence(committed=True, mismatches={"2 ranks": ()}, later=("x",), saves={"2 ranks": (1, 2)})]}
    flip = Acting(FaultPlan.parse("fs.read@1=bitflip").bind(2, 0).faults[0], 1)
    part = {"loaded": {"load[1]": {0: ("x",)}}, "unread": {"load[1]": ("x",)}}
    found += judge(_evidence(replace(load, ending=Ending.UNDETERMINED, decisive=(flip,)), RETURNED, RETURNED, **part))
    found += judge(_evidence(replace(SUCCEEDS, operation="async_save[1]"), RETURNED, RETURNED, futures=upload, storage=stored, left=("a thread",)))
    assert {judgement.oracle for judgement in found} == set(ORACLES)
    assert all(bool(judgement.reason) == (judgement.verdict is not Verdict.HOLDS) for judgement in found)


def test_the_worst_verdict_wins() -> None:
    """Violated over unknown over vacuous over holds; no verdict at all holds."""
    assert Verdict.worst([Verdict.HOLDS, Verdict.UNKNOWN, Verdict.VACUOUS]) is Verdict.UNKNOWN
    assert Verdict.worst([Verdict.VIOLATED, Verdict.UNKNOWN]) is Verdict.VIOLATED
    assert Verdict.worst([Verdict.VACUOUS, Verdict.HOLDS]) is Verdict.VACUOUS
    assert Verdict.worst([]) is Verdict.HOLDS


def test_a_known_or_unclaimed_violation_does_not_count() -> None:
    """They stay what they are, and hold as far as the run's result is concerned."""
    violated = Judgement("filled", Verdict.VIOLATED, "x")
    assert violated.counts is Verdict.VIOLATED
    assert replace(violated, known="DCP-001").counts is Verdict.HOLDS
    assert replace(violated, claimed=False).counts is Verdict.HOLDS


@pytest.mark.parametrize(
    ("capabilities", "deceived", "damaged", "counts"),
    [
        (set(Capability), False, False, True),
        (set(Capability), True, False, True),
        ({Capability.COMMIT_MARKER}, False, False, True),
        ({Capability.COMMIT_MARKER}, True, False, False),
        (set(), False, False, False),
        (set(), False, True, True),
        (set(), True, True, True),
    ],
)
def test_what_the_engine_does_not_claim_is_said_and_does_not_count(
    capabilities: set[Capability], deceived: bool, damaged: bool, counts: bool
) -> None:
    """Lies that it need not notice, markers that it does not write; that it leaves other checkpoints alone goes without saying."""
    storage = StorageEvidence(False, False, {"previous": "gone"} if damaged else {})
    evidence = _evidence(
        replace(SUCCEEDS, deceived=deceived), RETURNED, RETURNED, storage={"save[1]": [storage]}, capabilities=frozenset(capabilities)
    )
    (found,) = [judgement for judgement in judge(evidence) if judgement.oracle == "commitment"]
    assert found.verdict is Verdict.VIOLATED
    assert (found.counts is Verdict.VIOLATED) == counts == found.claimed
