"""Oracles of jobs about what ranks hold after a load, on histories written by hand: accepted and rejected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from written import DCP, FAILS, LIED_TO, RAISED, RETURNED, UNDETERMINED, held, holds, said, violations, written

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.evidence import JobEvidence, Loaded
from ckpt_harness.judging.verdict import Verdict

FIRST, SECOND = holds("save[1]"), holds("save[2]")
MIXED = held("save[1]", "save[2]")
FAILED: dict[str, Any] = {"ends": {1: RAISED}, "owed": {1: FAILS}}
"""The second operation failed on all ranks, as it had to."""

RIGHT = {
    "the only save": written("save a; load a", ["a=1"], loaded={1: (FIRST, FIRST)}),
    "the second save": written("save a; save a; load a", ["a=1", "a=2"], loaded={2: (SECOND, SECOND)}),
    "the old, after a failed overwrite": written("save a; save a; load a", [None, None], loaded={2: (FIRST, FIRST)}, **FAILED),
    "the new, after a failed overwrite": written("save a; save a; load a", [None, None], loaded={2: (SECOND, SECOND)}, **FAILED),
    "the new, from a place without a marker": written("save a; load a", ["a=~"], loaded={1: (FIRST, FIRST)}, ends={0: RAISED}, owed={0: FAILS}),
    "one rank, the other having failed": written("save a; load a", ["a=1"], loaded={1: (FIRST,)}, ends={1: (RETURNED, RAISED)}, owed={1: UNDETERMINED}),
    "a state of another structure": written("save a; change keys; load a", ["a=1", "a=1"], loaded={2: (Loaded(("save[1]",)),)}),
    "old values where storage lied": written("save a; save a; load a", [None, None], loaded={2: (FIRST, FIRST)}, owed={1: LIED_TO}),
    "other values where storage lied": written("save a; load a", [None], loaded={1: (held("save[1]"),)}, owed={0: LIED_TO}),
    "each rank of another place": written("save a; save b; load latest", ["a=1", "a=1 b=2"], latest={2: ("a", "b")}, loaded={2: (FIRST, SECOND)}),
}


@pytest.mark.parametrize("evidence", RIGHT.values(), ids=RIGHT)
def test_a_load_may_give_what_its_place_may_hold(evidence: JobEvidence) -> None:
    """Neither oracle about loads complains; from which place to load is for ``resume``."""
    assert not {"purity", "filled"} & set(violations(evidence))


def test_purity_wants_the_values_of_one_save() -> None:
    """On one rank, and on all ranks together; also after a failed overwrite, whatever the engine claims."""
    for loaded in ((MIXED, SECOND), (FIRST, SECOND)):
        evidence = written("save a; save a; load a", ["a=1", None], loaded={2: loaded}, **FAILED)
        (judgement,) = said("purity", evidence)
        assert (judgement.verdict, judgement.operation, judgement.claimed) == (Verdict.VIOLATED, "load[1]", True)
        assert "values of save[1] (ranks [0" in judgement.reason


def test_only_purity_sees_two_places_of_one_load() -> None:
    """Each rank holds a whole checkpoint that the place may hold; together they hold two."""
    evidence = written("save a; save a; load a", ["a=1", None], loaded={2: (FIRST, SECOND)}, **FAILED)
    assert set(violations(evidence)) == {"purity"}


@pytest.mark.parametrize(
    ("looks", "loaded", "words"),
    [
        (["a=1", "a=2"], FIRST, "rank 1, loaded from place a: differs from save[2]: weight: other values"),
        (["a=1", "a=2"], held("save[2]"), "differs from save[2]"),
        (["a=1", "a=2"], held(), "differs from save[2]"),
        (["a=1", "a=2"], held("save[2]", like="save[2]", unfilled=True), "the target still holds values from before the load"),
        ([None, None], FIRST, "differs from save[2]"),
    ],
)
def test_filled_wants_the_checkpoint_that_lay_there(looks: list[str | None], loaded: Loaded, words: str) -> None:
    """Bit by bit, on every rank, and nothing of what the target held before."""
    evidence = written("save a; save a; load a", looks, loaded={2: (SECOND, loaded)})
    (judgement,) = said("filled", evidence)
    assert (judgement.verdict, judgement.claimed) == (Verdict.VIOLATED, True)
    assert words in judgement.reason


def test_filled_wants_no_success_with_what_a_failed_save_has_left() -> None:
    """A load that is refused would be right; with an engine that believes its storage, lies excuse it."""
    failed: dict[str, Any] = {"ends": {0: RAISED}, "owed": {0: FAILS}}
    assert set(violations(written("save a; load a", ["a=~"], loaded={1: (held("save[1]"),)}, **failed))) == {"filled"}
    for capabilities, verdict in ((DCP, Verdict.HOLDS), (DCP | {Capability.DETECTS_LIES}, Verdict.VIOLATED)):
        (judgement,) = said("filled", written("save a; load a", [None], loaded={1: (held("save[1]"),)}, owed={0: LIED_TO}, capabilities=capabilities))
        assert judgement.counts is verdict


def test_a_partial_load_may_leave_values_as_they_were() -> None:
    """If its planner allows it."""
    unfilled = (held("save[1]", like="save[1]", unfilled=True),)
    assert violations(written("save a; load a planner=partial-load", ["a=1"], loaded={1: unfilled})) == {}
    assert set(violations(written("save a; load a", ["a=1"], loaded={1: unfilled}))) == {"filled"}


def test_filled_wants_no_success_where_nothing_was_saved() -> None:
    """There is nothing to load."""
    evidence = written("load b", loaded={0: (Loaded(), Loaded())})
    assert violations(evidence)["filled"].startswith("load[1]: rank 0, loaded from place b: success, although nothing was saved there")


def test_a_load_that_was_lied_to_is_excused() -> None:
    """Where the engine does not claim to notice."""
    evidence = written("save a; save a; load a", ["a=1", "a=2"], loaded={2: (MIXED, FIRST)}, owed={2: LIED_TO})
    assert violations(evidence) == {}
    assert {"purity", "filled"} <= set(violations(replace(evidence, capabilities=DCP | {Capability.DETECTS_LIES})))
