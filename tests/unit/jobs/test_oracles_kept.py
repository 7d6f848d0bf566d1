"""Oracles of jobs about which checkpoints stay, and which a job resumes from, on histories written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from written import ATOMIC, FAILS, LIED_TO, RAISED, RETURNED, held, holds, said, violations, written

from ckpt_harness.jobs.evidence import JobEvidence, Seen
from ckpt_harness.judging.verdict import Verdict

LOOKS = ["a=1", "a=1 b=2", "a=1 b=2"]
FAILED: dict[str, Any] = {"ends": {1: RAISED}, "owed": {1: FAILS}}
"""The second operation failed on all ranks, as it had to."""

# -- resume

RESUMED = {
    "the newest": written("save a; save b; load latest", LOOKS, latest={2: "bb"}),
    "the newest by time, not by name": written("save b; save a; load latest", ["b=1", "a=2 b=1"], latest={2: "aa"}),
    "the older, since the newer has failed": written("save a; save b; load latest", ["a=1", "a=1 b=~"], latest={2: "aa"}, **FAILED),
    "the newer, whose commit has acted": written("save a; save b; load latest", ["a=1", "a=1 b=2"], latest={2: "bb"}, **FAILED),
    "either, where nobody could look": written("save a; save b; load latest", [None, None], latest={2: "bb"}, **FAILED),
    "nothing, since nothing is committed": written("save a; load latest", ["a=~"], ends={0: RAISED}, owed={0: FAILS}, latest={1: (None, None)}),
    "the older, since storage lied": written("save a; save b; load latest", [None, None], latest={2: "aa"}, owed={1: LIED_TO}),
    "different ones, while a save is under way": written("save a; async b; load latest; wait", ["a=1", None, None], latest={2: "ab"}),
    "nothing yet, while the save is under way": written("async a; load latest; wait", [None, None, "a=1"], latest={1: (None, None)}),
    "nothing yet, while the save is under way and has committed": written("async a; load latest; wait", ["a=1", "a=1", "a=1"], latest={1: (None, None)}),
    "nothing yet, where other ranks may still save": written("save a; continue; load latest", [None, None, "a=1"], latest={2: ("a", None)}),
    "the first of two that were under way at once": written("async a; save b; wait; load latest", [None, None, "a=1 b=2"], latest={3: "aa"}),
}


@pytest.mark.parametrize("evidence", RESUMED.values(), ids=RESUMED)
def test_a_job_may_resume_from_what_may_be_the_newest(evidence: JobEvidence) -> None:
    """As far as the reports of the ranks tell."""
    assert not {"resume", "retention"} & set(violations(evidence))


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (
            written("save a; save b; load latest", LOOKS, latest={2: "aa"}),
            "load[1] (`load latest`): rank 0 resumes from place a (save[1]); the newest whole checkpoint is place b (save[2])",
        ),
        (written("save a; save b; load latest", LOOKS, latest={2: "ba"}), "the ranks resume from different places: rank 0 from b, rank 1 from a"),
        (
            written("save a; save b; load latest", LOOKS, latest={2: (None, None)}),
            "rank 0 resumes from no place; the newest whole checkpoint is place b (save[2])",
        ),
        (
            written("save a; save b; load latest", LOOKS, latest={2: "bb"}, loaded={2: (holds("save[2]"), holds("save[1]"))}),
            "parts of the state come from different saves: rank 0 holds save[2], rank 1 holds save[1]",
        ),
        (
            written("async a; save b; wait; load latest", [None, None, "a=1 b=2"], latest={3: "aa"}, managed=True),
            "rank 0 resumes from place 6 (async_save[1]); the newest whole checkpoint is place 7 (save[1])",
        ),
        (
            written("save a; async b; load latest; wait", ["a=1", None, None], latest={2: "ab"}, managed=True),
            "the ranks resume from different places: rank 0 from 6, rank 1 from 7",
        ),
    ],
    ids=["older", "different", "none", "parts", "out of order", "different with a manager"],
)
def test_resume_wants_the_newest_whole_checkpoint_on_all_ranks(evidence: JobEvidence, words: str) -> None:
    """The same place, and in all parts of the state."""
    found = violations(evidence)
    assert words in " ".join(judgement.reasons[number] for judgement in said("resume", evidence) for number in range(len(judgement.reasons)))
    assert "resume" in found


def test_a_mixture_that_lay_there_is_no_fault_of_the_resume() -> None:
    """Nor of the load: it is judged where it was left."""
    mixed = (held("save[1]", "save[2]"),) * 2
    evidence = written("save a; save a; load latest", ["a=1", "a=1+2"], latest={2: "aa"}, loaded={2: mixed}, **FAILED)
    assert set(violations(evidence)) == {"pairing"}


# -- retention

KEPT = {
    "one after the other": written("save a; save b; save c", ["a=1", "a=1 b=2", "a=1 b=2 c=3"]),
    "older ones are pruned": written("save a; save b; prune 1", ["a=1", "a=1 b=2", "a=0 b=2"]),
    "two are kept": written("save a; save b; save c; prune 2", ["a=1", "a=1 b=2", "a=1 b=2 c=3", "a=0 b=2 c=3"]),
    "a manager removes when it saves": written("save a; save b", ["a=1", "a=0 b=2"], managed=True),
    "a manager keeps the old where the new fails": written("save a; save b", ["a=1", "a=1 b=~"], managed=True, **FAILED),
    "nothing was ever whole": written("save a; save a", ["a=~", "a=~"], ends={0: RAISED, 1: RAISED}, owed={0: FAILS, 1: FAILS}),
    "an overwrite in place fails": written("save a; save a", ["a=1", "a=~"], **FAILED),
    "an overwrite in place is under way": written("save a; async a; load b; wait", ["a=1", "a=~", "a=~", "a=2"]),
    "nobody has read the new one": written("save a; save b; prune 1", ["a=1", "a=1 b=?", "a=0 b=?"]),
    "storage lied, and the whole one is pruned": written("save a; save b; prune 1", ["a=1", "a=1 b=x", "a=0 b=x"], owed={1: LIED_TO}),
}


@pytest.mark.parametrize("evidence", KEPT.values(), ids=KEPT)
def test_retention_accepts_what_leaves_a_whole_checkpoint(evidence: JobEvidence) -> None:
    """Or what an engine that overwrites in place and believes its storage cannot help."""
    assert violations(evidence) == {}


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (
            written("save a; save b", ["a=1", "a=0 b=~"], managed=True, **FAILED),
            "after save[2] (`save 7`) there is no whole checkpoint; before, there was place 6 (save[1])",
        ),
        (
            written("save a; save b; prune 1", ["a=1", "a=1 b=2", "a=1 b=0"]),
            "operation 3 (`prune 1`) has removed place b (save[2]), which is among the 1 newest whole checkpoints",
        ),
        (
            written("save a; save b; save c; prune 2", ["a=1", "a=1 b=2", "a=1 b=2 c=3", "a=1 b=0 c=3"]),
            "operation 4 (`prune 2`) has removed place b (save[2]), which is among the 2 newest whole checkpoints",
        ),
        (
            written("save a; save b; save c", ["a=1", "a=1 b=2", "a=1 b=0 c=~"], ends={2: RAISED}, owed={2: FAILS}, managed=True),
            "save[3] (`save 8`) has removed place 7 (save[2]), which is among the 1 newest whole checkpoints",
        ),
        (
            written("save a; save b; load latest", ["a=1", "a=1 b=~"], latest={2: "bb"}, **FAILED),
            "load[1] (`load latest`) takes place b for the latest, where nothing is committed",
        ),
        (
            written("save a; save b; save c; prune 1", ["a=1", "a=1 b=2", "a=1 b=2 c=3", "a=0 b=2 c=3"]),
            "operation 4 (`prune 1`) keeps 2 checkpoints instead of 1: places b, c",
        ),
        (written("save a; restart", ["a=1", "a=0"]), "after operation 2 (`restart`) there is no whole checkpoint"),
    ],
    ids=["pruned too early", "the newest", "the second", "with a failed save", "uncommitted", "too many", "gone"],
)
def test_retention_wants_a_whole_checkpoint_at_every_moment(evidence: JobEvidence, words: str) -> None:
    """And the right ones to stay, and nothing unfinished to be the latest."""
    assert words in violations(evidence)["retention"]


def test_an_overwrite_that_destroys_the_only_checkpoint_is_owed_by_those_who_claim_it() -> None:
    """For others it is reported as not claimed."""
    lost = written("save a; save a", ["a=1", "a=0"], **FAILED)
    judgements = [judgement for judgement in said("retention", lost) if judgement.verdict is Verdict.VIOLATED]
    assert [judgement.claimed for judgement in judgements] == [False]
    assert "retention" in violations(replace(lost, capabilities=ATOMIC))


def _counted(files: list[int], text: str, **more: Any) -> JobEvidence:
    evidence = written(text, [f"a={number}" for number in range(1, len(files) + 1)], **more)
    done = [replace(each, seen={"a": replace(each.seen["a"], files=count)}) for each, count in zip(evidence.done, files, strict=True) if each.seen]
    return replace(evidence, done=done)


def test_what_a_place_holds_does_not_grow_from_save_to_save() -> None:
    """A backup beside the first is no growth, and a state of another structure may need more files."""
    text = "save a; save a; save a; save a"
    assert "leaves more files at place a than each save before: 3, 4, 5" in violations(_counted([3, 4, 5, 5], text))["retention"]
    assert violations(_counted([3, 4, 4, 4], text)) == {}
    assert violations(_counted([3, 4, 3, 4], text)) == {}


def test_debris_of_failed_saves_does_not_grow_under_a_manager() -> None:
    """From prune to prune; without a manager the user has named the places, and removes what is left there."""
    text = "save a; save b; prune 1; save c; prune 1; save d; prune 1"
    looks = ["a=1", "a=1 b=~", "a=1 b=~", "a=1 b=~ c=~", "a=1 b=~ c=~", "a=1 b=~ c=~ d=~", "a=1 b=~ c=~ d=~"]
    failed = {"ends": dict.fromkeys((1, 3, 5), RAISED), "owed": dict.fromkeys((1, 3, 5), FAILS)}
    managed = violations(written(text, looks, managed=True, **failed))  # type: ignore[arg-type]
    assert "leaves more places without a commit marker than each prune before: 1, 2, 3" in managed["retention"]
    assert violations(written(text, looks, **failed)) == {}  # type: ignore[arg-type]
    cleaned = [look.replace("b=~", "b=0") if number > 3 else look for number, look in enumerate(looks)]
    assert violations(written(text, cleaned, managed=True, **failed)) == {}  # type: ignore[arg-type]


def test_an_empty_look_is_no_loss() -> None:
    """Before anything was whole there is nothing to lose."""
    evidence = written("renew writer; save a", ["", "a=1"])
    assert violations(evidence) == {}
    assert evidence.done[0].seen == {} or evidence.done[0].seen == {"": Seen()}


def test_what_the_load_of_the_latest_gives_is_judged_by_its_place() -> None:
    """Each rank by the place that it has named."""
    evidence = written("save a; save b; load latest", LOOKS, latest={2: "bb"}, loaded={2: (holds("save[2]"), held("save[1]", like="save[1]"))})
    assert "rank 1, loaded from place b: differs from save[2]" in violations(evidence)["filled"]
    assert violations(written("save a; save b; load latest", LOOKS, latest={2: "bb"}, ends={2: RETURNED}, loaded={2: (holds("save[2]"),) * 2})) == {}
