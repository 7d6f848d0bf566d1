"""Oracles about what is on storage, on evidence written by hand: accepted and rejected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.history import SOME_ERROR, ErrorRecord, Event, History
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Acting, Ending, Expectation, Forecast
from ckpt_harness.judging.oracles import ORACLES, judge
from ckpt_harness.judging.verdict import Verdict

EIO = ErrorRecord("OSError", errno="EIO", message="[Errno 5] Input/output error")
RETURNED = Outcome("returned")
RAISED = Outcome("raised", ErrorRecord("torch.distributed.checkpoint.api.CheckpointException", failures={1: EIO}, step="write"))


def _acting(plan: str, error: ErrorRecord | None = None) -> Acting:
    return Acting(FaultPlan.parse(plan).bind(2, 0).faults[0], 1, error, within="writer.write_data")


def _damaged(plan: str) -> Expectation:
    operation = "load[1]" if plan.startswith("load/") else "save[1]"
    return Expectation(operation, (0, 1), Ending.UNDETERMINED, decisive=(_acting(plan),), deceived=True)


FAILS = Expectation("save[1]", (0, 1), Ending.FAILS, "write", {1: EIO}, (_acting("fs.write@1=diskerror", EIO),), maskable=True)
FLIPPED = _damaged("fs.write@1=bitflip")
SUCCEEDS = Expectation("save[1]", (0, 1), Ending.SUCCEEDS)
WHOLE = StorageEvidence(
    committed=True, finish_acted=True, mismatches={"2 rank(s)": ()}, damaged={"previous": ".metadata is gone"}, removed=frozenset({"previous"})
)
"""A new checkpoint that is whole, beside an older one that was removed."""
WROTE = History()
WROTE.append(Event(0.0, 1, "enter", "save[1]", "writer.write_data", 1))


def _evidence(expectation: Expectation, outcome: Outcome, *storage: StorageEvidence, **more: object) -> Evidence:
    made = Evidence(Forecast((expectation,), frozenset()), {expectation.operation: {0: outcome, 1: outcome}}, storage={expectation.operation: storage})
    return replace(made, **more)  # type: ignore[arg-type]  # fields of Evidence


def _verdict(oracle: str, evidence: Evidence) -> Verdict:
    return Verdict.worst(judgement.verdict for judgement in ORACLES[oracle](evidence))


@pytest.mark.parametrize(("saves", "verdict"), [((2,), Verdict.HOLDS), ((1,), Verdict.HOLDS), ((1, 2), Verdict.VIOLATED)])
def test_purity_wants_the_values_of_one_save(saves: tuple[int, ...], verdict: Verdict) -> None:
    """Of whichever: which one it must be is for commitment to say."""
    assert _verdict("purity", _evidence(FAILS, RAISED, StorageEvidence(saves={"2 rank(s)": (2,), "1 rank(s)": saves}))) is verdict


def test_filled_wants_no_holes_from_who_may_be_refused() -> None:
    """Fewer ranks may be refused when they load what was saved without collectives, but must not succeed with holes."""
    succeeds = Expectation("save[1]", (0, 1), Ending.SUCCEEDS)
    refused = StorageEvidence(committed=True, mismatches={"2 rank(s)": ()}, refusable={"1 rank(s)": ()})
    assert _verdict("filled", _evidence(succeeds, RETURNED, refused)) is Verdict.HOLDS
    holes = replace(refused, refusable={"1 rank(s)": ("rank 0: weight: NaN",)})
    assert _verdict("filled", _evidence(succeeds, RETURNED, holes)) is Verdict.VIOLATED
    assert _verdict("commitment", _evidence(succeeds, RETURNED, holes)) is Verdict.HOLDS


LOADS = Expectation("load[1]", (0, 1), Ending.UNDETERMINED)


@pytest.mark.parametrize(
    ("outcome", "unread", "planner", "verdict"),
    [
        (RETURNED, ("layers[2]",), "default", Verdict.VIOLATED),
        (RETURNED, (), "default", Verdict.HOLDS),
        (RAISED, ("layers[2]",), "default", Verdict.HOLDS),
        (RETURNED, ("layers[2]",), "partial-load", Verdict.HOLDS),
    ],
)
def test_coverage_wants_all_that_the_checkpoint_holds(outcome: Outcome, unread: tuple[str, ...], planner: str, verdict: Verdict) -> None:
    """A load that is refused has left nothing out in silence, and a partial load may leave out what it likes."""
    assert _verdict("coverage", _evidence(LOADS, outcome, unread={"load[1]": unread}, planner=planner)) is verdict


def test_coverage_says_nothing_of_a_load_that_asks_for_everything() -> None:
    """Nor where a rank did not report success: the others cannot know what it received."""
    assert list(ORACLES["coverage"](_evidence(LOADS, RETURNED))) == []
    mixed = replace(_evidence(LOADS, RETURNED, unread={"load[1]": ("of rank 1",)}), outcomes={"load[1]": {0: RETURNED, 1: RAISED}})
    assert _verdict("coverage", mixed) is Verdict.HOLDS


@pytest.mark.parametrize("capabilities", [frozenset[Capability](), frozenset(Capability)])
def test_filled_wants_no_holes_after_a_failed_save(capabilities: frozenset[Capability]) -> None:
    """Whatever marker the engine claims: a load that an unfinished checkpoint refuses is fine, and success with holes is not."""
    refused = StorageEvidence(committed=True, saves={"2 rank(s)": ()}, mismatches={"2 rank(s)": ("rank 0 raised an error",)})
    holes = StorageEvidence(committed=False, saves={"2 rank(s)": (2,)}, holes={"2 rank(s)": ("rank 0: weight: NaN",)})
    for storage, outcome, verdict in ((refused, RAISED, Verdict.HOLDS), (holes, RAISED, Verdict.VIOLATED), (holes, RETURNED, Verdict.HOLDS)):
        judgements = [judgement for judgement in judge(_evidence(FAILS, outcome, storage, capabilities=capabilities)) if judgement.oracle == "filled"]
        assert Verdict.worst(judgement.counts for judgement in judgements) is verdict


def test_holes_that_damage_made_are_owed_by_engines_with_checksums() -> None:
    """A failed save whose bytes were damaged too."""
    holes = StorageEvidence(saves={"2 rank(s)": (2,)}, holes={"2 rank(s)": ("rank 0: weight: NaN",)})
    (judgement,) = [judgement for judgement in judge(_evidence(FLIPPED, RAISED, holes, capabilities=frozenset())) if judgement.oracle == "filled"]
    assert (judgement.verdict, judgement.claimed) == (Verdict.VIOLATED, False)


@pytest.mark.parametrize("plan", ["fs.write@1=bitflip", "fs.write@1=tornwrite", "load/fs.create_stream@1=misdirect", "load/fs.read@1=truncate"])
def test_integrity_wants_damage_detected_or_harmless(plan: str) -> None:
    """An error is detection, right values are harmless; wrong values with success are neither."""
    expectation = _damaged(plan)
    good = StorageEvidence(committed=True, mismatches={"2 rank(s)": ("rank 0 raised an error",)}, silent={"2 rank(s)": ()})
    assert _verdict("integrity", _evidence(expectation, RETURNED, good)) is Verdict.HOLDS
    loud = {expectation.operation: {0: (), 1: ()}}
    assert _verdict("integrity", _evidence(expectation, RETURNED, loaded=loud)) is Verdict.HOLDS
    bad = replace(good, silent={"2 rank(s)": ("rank 0: weight: wrong",)})
    assert _verdict("integrity", _evidence(expectation, RETURNED, bad)) is Verdict.VIOLATED
    assert _verdict("integrity", _evidence(expectation, RETURNED, loaded={expectation.operation: {1: ("weight: wrong",)}})) is Verdict.VIOLATED


def test_integrity_has_nothing_to_say_of_the_old_checkpoint_whole() -> None:
    """A commit that did not happen although the call said so is a save that was lost, and no damage."""
    for shown, verdict in (("old", Verdict.HOLDS), ("mixture", Verdict.VIOLATED)):
        stored = StorageEvidence(committed=True, silent={"2 rank(s)": ("rank 0: weight: of save 1",)}, replaced={"2 rank(s)": shown})
        assert _verdict("integrity", _evidence(_damaged("fs.create_stream@1=misdirect"), RETURNED, stored)) is verdict


def test_integrity_says_nothing_where_nothing_was_damaged() -> None:
    """Wrong values of another cause are for other oracles."""
    assert list(ORACLES["integrity"](_evidence(FAILS, RETURNED, StorageEvidence(silent={"2 rank(s)": ("wrong",)})))) == []


def test_integrity_is_claimed_by_engines_with_checksums() -> None:
    """For others it is reported, and does not count."""
    bad = StorageEvidence(committed=True, silent={"2 rank(s)": ("rank 0: weight: wrong",)})
    for capabilities, claimed in ((frozenset({Capability.CHECKSUMS}), True), (frozenset(), False)):
        (judgement,) = [judgement for judgement in judge(_evidence(FLIPPED, RETURNED, bad, capabilities=capabilities)) if judgement.oracle == "integrity"]
        assert (judgement.claimed, judgement.verdict) == (claimed, Verdict.VIOLATED)


@pytest.mark.parametrize("oracle", ["agreement", "attribution", "course"])
def test_a_failed_disk_call_may_be_made_good(oracle: str) -> None:
    """All ranks report success: the engine tried again. What it stored is for commitment to judge."""
    assert _verdict(oracle, _evidence(FAILS, RETURNED)) is Verdict.HOLDS


@pytest.mark.parametrize(("capabilities", "verdict"), [({Capability.DURABLE_COMMIT}, Verdict.VIOLATED), ((), Verdict.HOLDS)])
def test_what_could_not_be_made_durable_is_not_durable(capabilities: Iterable[Capability], verdict: Verdict) -> None:
    """Success although an fsync failed, of an engine that promises durability; others may do without."""
    failed = replace(FAILS, decisive=(_acting("fs.fsync@1=diskerror", EIO),))
    assert _verdict("attribution", _evidence(failed, RETURNED, capabilities=frozenset(capabilities))) is verdict


@pytest.mark.parametrize(("opened", "verdict"), [("data", Verdict.HOLDS), ("other", Verdict.VIOLATED), ("", Verdict.VIOLATED)])
def test_a_file_that_was_written_anew_after_its_fsync_failed_is_durable(opened: str, verdict: Verdict) -> None:
    """The bytes that the failed fsync may have lost are no longer those of the file."""
    failed = replace(FAILS, decisive=(_acting("fs.fsync@1=diskerror", EIO),))
    history = History()
    history.append(Event(0.0, 1, "enter", "save[1]", "fs.fsync", 1, "data"))
    history.append(Event(0.0, 1, "fault", "save[1]", "fs.fsync", 1, "fs.fsync@1=diskerror"))
    if opened:
        history.append(Event(0.1, 1, "enter", "save[1]", "fs.create_stream", 2, opened))
    assert _verdict("attribution", _evidence(failed, RETURNED, capabilities=frozenset(Capability), history=history)) is verdict


def test_nobody_may_make_good_what_failed_above_the_disk() -> None:
    """A call of the storage itself that fails, and success: that is no engine's to decide."""
    assert _verdict("attribution", _evidence(replace(FAILS, maskable=False), RETURNED)) is Verdict.VIOLATED


def test_success_wants_what_was_planned_within_its_files() -> None:
    """What the metadata promises and no file holds breaks the commitment."""
    flawed = StorageEvidence(committed=True, finish_acted=True, flaws=("weight at 0 is in the metadata, and nowhere in storage",), mismatches={"2 rank(s)": ()})
    assert _verdict("commitment", _evidence(FAILS, RETURNED, flawed)) is Verdict.VIOLATED
    assert _verdict("commitment", _evidence(FAILS, RETURNED, replace(flawed, flaws=()))) is Verdict.HOLDS


@pytest.mark.parametrize(("shown", "verdict"), [("old", Verdict.HOLDS), ("new", Verdict.HOLDS), ("error", Verdict.VIOLATED), ("mixture", Verdict.VIOLATED)])
def test_a_failed_overwrite_leaves_the_old_or_the_new(shown: str, verdict: Verdict) -> None:
    """Anything else is a loss; whether it counts depends on what the engine claims."""
    evidence = _evidence(FAILS, RAISED, StorageEvidence(committed=False, replaced={"2 rank(s)": shown}), history=WROTE)
    assert _verdict("commitment", evidence) is verdict
    for capabilities in (frozenset[Capability](), frozenset({Capability.ATOMIC_OVERWRITE})):
        (judgement,) = [judgement for judgement in judge(replace(evidence, capabilities=capabilities)) if judgement.oracle == "commitment"]
        assert judgement.claimed is bool(capabilities)


@pytest.mark.parametrize(
    ("expectation", "outcome", "needed"),
    [
        (FAILS, RAISED, {Capability.ATOMIC_OVERWRITE}),
        (FAILS, RETURNED, set()),
        (FLIPPED, RETURNED, {Capability.DETECTS_LIES}),
        (FLIPPED, RAISED, {Capability.ATOMIC_OVERWRITE, Capability.DETECTS_LIES}),
    ],
)
def test_what_an_overwrite_owes_depends_on_how_it_ended(expectation: Expectation, outcome: Outcome, needed: set[Capability]) -> None:
    """What was reported as saved is owed by all, the old checkpoint by those that overwrite atomically; and lies must be detected by those that claim it."""
    lost = StorageEvidence(committed=True, mismatches={"2 rank(s)": ("wrong",)}, replaced={"2 rank(s)": "error"})
    for missing in Capability:
        evidence = _evidence(expectation, outcome, lost, capabilities=frozenset(Capability) - {missing}, history=WROTE)
        (judgement,) = [judgement for judgement in judge(evidence) if judgement.oracle == "commitment"]
        assert judgement.claimed is (missing not in needed)


@pytest.mark.parametrize(("mismatches", "counts"), [({}, False), ({"2 rank(s)": ()}, False), ({"2 rank(s)": ("rank 0 raised FileNotFoundError()",)}, True)])
def test_without_a_marker_success_is_owed_all_the_same(mismatches: dict[str, tuple[str, ...]], counts: bool) -> None:
    """An engine that claims no commit marker may leave none. What it reports as saved must load."""
    left = StorageEvidence(committed=False, mismatches=mismatches)
    for capabilities, claimed in ((frozenset[Capability](), counts), (frozenset({Capability.COMMIT_MARKER}), True)):
        (judgement,) = [judgement for judgement in judge(_evidence(SUCCEEDS, RETURNED, left, capabilities=capabilities)) if judgement.oracle == "commitment"]
        assert (judgement.verdict, judgement.claimed) == (Verdict.VIOLATED, claimed)


@pytest.mark.parametrize(("apart", "needed"), [(False, Capability.COLLECTIVES), (True, Capability.DETECTS_LIES)])
def test_parts_that_contradict_each_other_must_be_noticed_where_ranks_save_together(apart: bool, needed: Capability) -> None:
    """The coordinator has the plans of all ranks. Without collectives nobody has, and only an engine that claims to detect lies owes it."""
    gap = Acting(FaultPlan.parse("save_planner.create_local_plan@1=wrong(gap)").bind(2, 0).faults[0], 1)
    expectation = replace(FLIPPED, decisive=(gap,), apart=apart)
    holes = StorageEvidence(committed=True, finish_acted=True, mismatches={"2 rank(s)": ("rank 1: sharded@3: 3 of 3 elements, first NaN (never filled)",)})
    for missing in (Capability.COLLECTIVES, Capability.DETECTS_LIES):
        evidence = _evidence(expectation, RETURNED, holes, capabilities=frozenset(Capability) - {missing})
        (judgement,) = [judgement for judgement in judge(evidence) if judgement.oracle == "commitment"]
        assert (judgement.verdict, judgement.claimed) == (Verdict.VIOLATED, missing is not needed)
    refused = _evidence(expectation, RAISED, StorageEvidence(committed=False))
    assert [judgement.verdict for judgement in judge(refused) if judgement.oracle == "commitment"] == [Verdict.HOLDS]


def test_until_somebody_writes_the_old_checkpoint_is_owed_by_all() -> None:
    """Overwriting in place is no reason to lose it to an error of planning."""
    lost = _evidence(FAILS, RAISED, StorageEvidence(committed=False, replaced={"2 rank(s)": "error"}), capabilities=frozenset({Capability.COMMIT_MARKER}))
    for history, claimed in ((History(), True), (WROTE, False)):
        (judgement,) = [judgement for judgement in judge(replace(lost, history=history)) if judgement.oracle == "commitment"]
        assert (judgement.verdict, judgement.claimed) == (Verdict.VIOLATED, claimed)


def test_a_mixture_that_damage_made_is_owed_by_engines_with_checksums() -> None:
    """Elsewhere a mixture counts against every engine."""
    mixed = StorageEvidence(committed=True, saves={"2 rank(s)": (1, 2)})
    for expectation, claimed in ((FLIPPED, False), (FAILS, True)):
        (judgement,) = [judgement for judgement in judge(_evidence(expectation, RETURNED, mixed, capabilities=frozenset())) if judgement.oracle == "purity"]
        assert (judgement.verdict, judgement.claimed) == (Verdict.VIOLATED, claimed)


@pytest.mark.parametrize(
    ("expectation", "outcome", "storage", "counts"),
    [
        (SUCCEEDS, RETURNED, WHOLE, Verdict.HOLDS),
        (FAILS, RAISED, WHOLE, Verdict.HOLDS),  # the commit acted, and its acknowledgement was lost
        (SUCCEEDS, RETURNED, replace(WHOLE, removed=frozenset[str]()), Verdict.VIOLATED),  # the older checkpoint was changed
        (SUCCEEDS, RETURNED, replace(WHOLE, flaws=("bytes are missing",)), Verdict.VIOLATED),
        (FAILS, RAISED, replace(WHOLE, mismatches={"2 rank(s)": ("weight: NaN",)}), Verdict.VIOLATED),
        (FAILS, RAISED, replace(WHOLE, committed=False, finish_acted=False, mismatches={}), Verdict.VIOLATED),
        (FLIPPED, RETURNED, replace(WHOLE, mismatches={"2 rank(s)": ("weight: wrong",)}), Verdict.HOLDS),  # a lie, which it need not notice
    ],
)
def test_an_engine_with_retention_removes_older_checkpoints_only_once_its_own_is_whole(
    expectation: Expectation, outcome: Outcome, storage: StorageEvidence, counts: Verdict
) -> None:
    """Without the claim, every removal is damage."""
    for capabilities, expected in ((frozenset({Capability.RETENTION}), counts), (frozenset[Capability](), Verdict.VIOLATED)):
        judgements = judge(_evidence(expectation, outcome, storage, capabilities=capabilities))
        assert Verdict.worst(judgement.counts for judgement in judgements if judgement.oracle == "commitment") is expected


def test_a_second_save_may_remove_what_the_first_left_to_it() -> None:
    """Of two saves under way at once, one is whole and removes; the other fails."""
    failed = StorageEvidence(committed=False, damaged=WHOLE.damaged, removed=WHOLE.removed)
    evidence = replace(_evidence(FAILS, RAISED, failed), storage={"save[1]": (failed,), "save[2]": (WHOLE,)})
    assert _verdict("commitment", evidence) is Verdict.HOLDS
    assert _verdict("commitment", replace(evidence, capabilities=frozenset())) is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("commits", "second", "counts"),
    [
        (("save[1]", "save[2]"), WHOLE, Verdict.HOLDS),
        (("save[2]", "save[1]"), WHOLE, Verdict.VIOLATED),  # what it removed was not older
        (("save[1]", "save[2]"), replace(WHOLE, mismatches={"2 rank(s)": ("weight: NaN",)}), Verdict.VIOLATED),
        (("save[1]",), StorageEvidence(committed=False), Verdict.VIOLATED),  # the second save failed, and nothing is left
    ],
)
def test_of_two_saves_the_later_may_remove_the_earlier_once_it_is_whole(commits: tuple[str, ...], second: StorageEvidence, counts: Verdict) -> None:
    """Each removal is judged by the save that was committed later; without the claim of retention, the earlier checkpoint is lost."""
    history = History()
    for number, operation in enumerate(commits):
        history.append(Event(float(number), 0, "exit", operation, "writer.finish", 1))
    gone = StorageEvidence(committed=False, finish_acted=True)
    evidence = replace(_evidence(SUCCEEDS, RETURNED), storage={"save[1]": (gone,), "save[2]": (second,)}, history=history)
    for capabilities, expected in ((frozenset(Capability), counts), (frozenset({Capability.COMMIT_MARKER}), Verdict.VIOLATED)):
        judgements = judge(replace(evidence, capabilities=capabilities))
        first = [judgement for judgement in judgements if (judgement.oracle, judgement.operation) == ("commitment", "save[1]")]
        assert Verdict.worst(judgement.counts for judgement in first) is expected


REFUSED = Expectation("save[1]", (0, 1), Ending.FAILS, "plan", {1: SOME_ERROR}, (_acting("http.put@1#1x*=status", SOME_ERROR),), maskable=True, lasting=True)


def test_of_a_refused_request_any_error_of_its_rank_will_do() -> None:
    """In whichever step it comes, where the store stays so; but in its own where it does not, and of no other rank."""
    assert _verdict("attribution", _evidence(REFUSED, RAISED)) is Verdict.HOLDS
    assert _verdict("attribution", _evidence(replace(REFUSED, lasting=False), RAISED)) is Verdict.VIOLATED
    assert _verdict("attribution", _evidence(replace(REFUSED, failures={0: SOME_ERROR}), RAISED)) is Verdict.VIOLATED


def test_alone_a_refused_rank_owes_some_error_of_its_own() -> None:
    """Success without it being made good is none."""
    alone = replace(REFUSED, apart=True, agreement=False)
    assert _verdict("attribution", _evidence(alone, Outcome("raised", EIO))) is Verdict.HOLDS
    assert _verdict("attribution", _evidence(replace(alone, maskable=False), RETURNED)) is Verdict.VIOLATED


def test_an_engine_that_cannot_even_be_prepared_is_judged_by_its_error_alone() -> None:
    """No oracle breaks on a case that never began."""
    prepared = Expectation("preparation", (0, 1), Ending.SUCCEEDS)
    verdicts = {judgement.oracle: judgement.verdict for judgement in judge(_evidence(prepared, RAISED)) if judgement.verdict is not Verdict.HOLDS}
    assert verdicts == {"attribution": Verdict.VIOLATED}
