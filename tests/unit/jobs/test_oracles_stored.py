"""Oracles of jobs about what lies at each place, on histories written by hand: accepted and rejected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from written import ATOMIC, DCP, DEAD, FAILS, LIED_TO, RAISED, RETURNED, STALLS, UNDETERMINED, said, violations, written

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.evidence import JobEvidence, Reading, Seen
from ckpt_harness.judging.verdict import Verdict


def test_pairing_wants_the_shards_of_one_call() -> None:
    """A committed checkpoint with values of two saves is wrong, whoever reported what, and whatever the engine claims of overwriting."""
    for capabilities in (DCP, ATOMIC):
        evidence = written("save a; save a", ["a=1", "a=1+2"], ends={1: RAISED}, owed={1: FAILS}, capabilities=capabilities)
        (judgement,) = [each for each in said("pairing", evidence) if each.verdict is Verdict.VIOLATED]
        assert (judgement.operation, judgement.claimed) == ("save[2]", True)
        where = "after save[2] (`save a`): place a is committed and, loaded on"
        assert judgement.reasons == tuple(f"{where} {ranks} rank(s), holds values of save[1] and save[2]" for ranks in (2, 1))


def test_pairing_sees_a_rank_that_went_on_alone() -> None:
    """Ranks of two different calls meet: what one of them commits holds shards of both, and nothing else need be wrong."""
    evidence = written("save a; continue; save b", [None, None, "a=1+2 b=~"], ends={0: (RETURNED, RAISED), 2: RAISED}, owed={0: UNDETERMINED})
    assert set(violations(evidence)) == {"pairing"}


def test_pairing_wants_the_shards_of_every_rank() -> None:
    """A checkpoint that lacks a part is not that of the save."""
    assert set(violations(written("save a", ["a=1-"]))) == {"pairing"}


def test_pairing_wants_values_of_a_save_to_that_place() -> None:
    """Not of a save to another."""
    evidence = written("save a; save b", ["a=1", "a=1 b=1"])
    wrong = {"b=1": (Reading(2, calls=("save[1]",), differences={"save[2]": ("weight: of save[1]",)}),)}
    (said_of_second,) = [each for each in said("pairing", replace(evidence, readings={**evidence.readings, **wrong})) if each.operation == "save[2]"]
    assert "holds values of save[1], which saved to another place" in said_of_second.reason


FAILED: dict[str, Any] = {"ends": {1: RAISED}, "owed": {1: FAILS}}
"""The second operation failed on all ranks, as it had to."""

OPEN = {
    "a save": written("save a", ["a=1"]),
    "a second save": written("save a; save a", ["a=1", "a=2"]),
    "a failed overwrite leaves the old": written("save a; save a", ["a=1", "a=1"], **FAILED),
    "a failed overwrite leaves nothing": written("save a; save a", ["a=1", "a=0"], **FAILED),
    "a failed overwrite leaves what no rank can load": written("save a; save a", ["a=1", "a=x"], **FAILED),
    "a failed overwrite leaves the new": written("save a; save a", ["a=1", "a=2"], **FAILED),
    "a failed save leaves files": written("save a; save b", ["a=1", "a=1 b=~"], **FAILED),
    "an undetermined save commits": written("save a; save b", ["a=1", "a=1 b=2"], ends={1: RAISED}, owed={1: UNDETERMINED}),
    "storage lied, and a part is missing": written("save a", ["a=1-"], owed={0: LIED_TO}),
    "storage lied, and the old part is still there": written("save a; save a", ["a=1", "a=1+2"], owed={1: LIED_TO}),
    "storage lied, and no rank can load": written("save a", ["a=x"], owed={0: LIED_TO}),
    "storage lied, and nothing is committed": written("save a", ["a=~"], owed={0: LIED_TO}),
    "nobody has read what is committed": written("save a", ["a=?"]),
    "a save is under way": written("save a; async a; load b; wait", ["a=1", "a=~", "a=~", "a=2"]),
    "two saves to one place at once": written("async a; async a; wait", [None, None, "a=1"]),
    "what is older is pruned": written("save a; save b; prune 1", ["a=1", "a=1 b=2", "a=0 b=2"]),
    "a rank is lost": written("save a", ["a=~"], ends={0: (RAISED, DEAD)}, owed={0: STALLS}),
}


@pytest.mark.parametrize("evidence", OPEN.values(), ids=OPEN)
def test_what_could_be_right_violates_nothing(evidence: JobEvidence) -> None:
    """DCP overwrites in place and believes its storage: what a failure or a lie leaves is then open, as long as no load would show it as right."""
    assert violations(evidence) == {}


def test_claims_make_the_difference() -> None:
    """Engines that claim to overwrite safely, or to notice lies, owe it."""
    gone = written("save a; save a", ["a=1", "a=0"], capabilities=ATOMIC, **FAILED)
    assert set(violations(gone)) == {"commitment", "retention"}
    broken = written("save a; save a", ["a=1", "a=x"], capabilities=ATOMIC, **FAILED)
    assert set(violations(broken)) == {"metadata", "retention"}
    lied = written("save a", ["a=~"], owed={0: LIED_TO}, capabilities=DCP | {Capability.DETECTS_LIES})
    assert set(violations(lied)) == {"commitment"}


def test_what_is_not_claimed_is_reported_all_the_same() -> None:
    """As not claimed, never skipped."""
    evidence = written("save a; save a", ["a=1", "a=0"], **FAILED)
    (judgement,) = [each for each in said("commitment", evidence) if each.verdict is Verdict.VIOLATED]
    assert (judgement.operation, judgement.claimed) == ("save[2]", False)


@pytest.mark.parametrize(
    ("text", "looks", "expected"),
    [
        ("save a", ["a=0"], "save[1]: after save[1] (`save a`): place a holds no checkpoint; it must hold save[1]"),
        ("save a; save a", ["a=1", "a=1"], "save[2]: after save[2] (`save a`): place a holds save[1]; it must hold save[2]"),
        ("save a; save b", ["a=1", "a=0 b=2"], "save[2]: after save[2] (`save b`): place a holds no checkpoint; it must hold save[1]"),
        ("save a; load a", ["a=1", "a=~"], "load[1]: after load[1] (`load a`): place a holds no checkpoint; it must hold save[1]"),
        ("async a; wait; load a", ["a=~", "a=1", "a=0"], "load[1]: after load[1] (`load a`): place a holds no checkpoint; it must hold async_save[1]"),
        ("save a; restart", ["a=1", "a=0"], "save[1]: after operation 2 (`restart`): place a holds no checkpoint; it must hold save[1]"),
    ],
)
def test_commitment_wants_what_was_reported_as_saved(text: str, looks: list[str], expected: str) -> None:
    """At the first look and at every other, also after operations on another place."""
    assert violations(written(text, looks))["commitment"] == expected


def test_metadata_wants_what_it_names() -> None:
    """A committed checkpoint that no rank can load, one with contradictions inside, and one that is not what it describes."""
    assert set(violations(written("save a", ["a=x"]))) == {"metadata"}
    sound = written("save a; restart", ["a=1", "a=1"])
    for wrong in ({"flaws": ("weight is in the metadata, and not in storage",)}, {"described": ("weight: 8 elements of 16",)}):
        (reading, other) = sound.readings["a=1"]
        evidence = replace(sound, readings={"a=1": (replace(reading, **wrong), other)})  # type: ignore[arg-type]
        (judgement,) = [each for each in said("metadata", evidence) if each.verdict is Verdict.VIOLATED]
        assert judgement.reason == f"after save[1] (`save a`): place a is committed, and {next(iter(wrong.values()))[0]}"


def test_what_was_broken_before_is_no_fault_of_a_later_save() -> None:
    """A save that fails before it writes leaves what it found."""
    evidence = written("save a; save a", ["a=x", "a=x"], **FAILED)
    assert [judgement.operation for judgement in said("metadata", evidence) if judgement.verdict is Verdict.VIOLATED] == ["save[1]"]


def test_a_content_is_read_as_the_save_that_may_have_left_it() -> None:
    """A checkpoint of another structure cannot be loaded as if it had the old one: that shows nothing."""
    evidence = written("save a; change keys; save a", ["a=1", "a=1", "a=2"])
    as_old = Reading(2, failed={0: "raised KeyError('old')"}, differences={"save[1]": ()})
    as_new = Reading(2, calls=("save[2]",), differences={"save[2]": ()})
    assert violations(replace(evidence, readings={**evidence.readings, "a=2": (as_old, as_new)})) == {}


def test_without_commit_markers_what_loads_in_whole_is_there() -> None:
    """The engine shows no marker, and owes none."""
    evidence = written("save a; load a", capabilities=frozenset())
    seen = {"a": Seen(False, "a=1")}
    done = [replace(each, seen=seen) for each in evidence.done]
    assert violations(replace(evidence, done=done, readings={"a=1": (Reading(2, calls=("save[1]",), differences={"save[1]": ()}),)})) == {}
