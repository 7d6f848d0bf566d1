"""The oracles of the drill on hand-written evidence: what each accepts, and what it rejects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ckpt_harness.drill import oracles
from ckpt_harness.drill.evidence import Checkpoint, Deaths, Point, Read, Reference, Start, Try


def point(name: str, path: str, site: str = "file.write", role: str = "0", moment: str = "after") -> Point:
    return Point(name, role, site, path, moment)


POINTS = tuple(
    point(f"{site}({path})@{role}", path, site, role)
    for step in (2, 4, 6)
    for role, site, path in (
        ("0", "file.write", f"step-{step}/a"),
        ("1", "file.write", f"step-{step}/b"),
        ("0", "file.rename", f"step-{step}/done"),
        ("0", "file.rename", "latest"),
    )
)
REFERENCE = Reference(2.0, POINTS, ("0", "1"), final="step-6", whole_once=("step-2", "step-4", "step-6"))
WHOLE = (Checkpoint("step-2", True, 1), Checkpoint("step-4", True, 2))
GOOD = Start(0, 2.0, found=WHOLE, reads=(Read("0", "step-4/a"), Read("1", "step-4/b")))
AT = POINTS[8]
"""The first write of step-6."""


def name_of(path: str) -> str:
    return path.partition("/")[0] if path.startswith("step-") else ""


def attempt(**changes: object) -> Try:
    usual = Try(
        point=AT,
        effect="kill-job",
        reference=REFERENCE,
        struck=None,
        had_whole=True,
        left=WHOLE,
        starts=(GOOD,),
        limit=20,
        grace=5,
        differences=(),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_nothing_is_said_of_a_good_try() -> None:
    """Every claim holds, or does not apply."""
    assert {name: reasons for name, reasons in oracles.judged(attempt(), name_of).items() if reasons} == {}
    assert set(oracles.judged(attempt(), name_of)) == set(oracles.ORACLES)


def test_a_start_must_end_well_in_the_end() -> None:
    """A first start may fail, a crash loop and a start without an end are told with what was printed, and who waits where."""
    failed = Start(1, printed="Traceback\nOSError: torn", raised={"0": "OSError"}, found=WHOLE)
    assert oracles.restarts(attempt(starts=(failed, GOOD))) == ()
    assert oracles.restarts(attempt(starts=(failed,) * 3)) == ("3 starts in a row ended with status 1: OSError: torn",)
    stuck = Start(None, late=True, waits={"1": "in read, called at train.py:9"})
    assert oracles.restarts(attempt(starts=(stuck,))) == ("start 1 had not ended after 20 s: rank 1 waited in read, called at train.py:9",)
    assert oracles.restarts(attempt(starts=())) is None


def reading(*paths: str, role: str = "0", found: tuple[Checkpoint, ...] = WHOLE) -> Start:
    return Start(0, found=found, reads=tuple(Read(role, path) for path in paths))


TORN = (*WHOLE, Checkpoint("step-6", False, 3, "no done"))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (reading("step-2/a"), "step-2 was loaded, although step-4 was newer and whole"),
        (reading("step-6/a", found=TORN), "step-6 was loaded, which was not whole: no done"),
        (reading("latest"), "nothing was loaded, although step-4 was whole"),
        (reading("step-4/model", "step-2/optim"), "rank 0 loaded parts of step-2 and step-4"),
        (replace(GOOD, reads=(Read("0", "step-4/a"), Read("1", "step-2/a"))), "ranks loaded different checkpoints: rank 0 step-4, rank 1 step-2"),
    ],
)
def test_a_start_goes_on_from_the_newest_whole_checkpoint(start: Start, reason: str) -> None:
    """Older, torn, none, mixed by parts and mixed by ranks are rejected."""
    assert reason in (oracles.resume(attempt(starts=(start,)), name_of) or ())


def test_a_search_for_the_newest_checkpoint_is_no_load() -> None:
    """Metadata of all checkpoints may be read, and files that are read in several; the last read counts."""
    looked = reading("step-2/.metadata", "step-4/.metadata", "step-4/a.distcp")
    assert oracles.resume(attempt(starts=(looked,)), name_of) == ()
    assert oracles.resume(attempt(starts=(reading("step-2/info", "step-4/info"),)), name_of) == ()
    assert oracles.resume(attempt(starts=(reading("step-2/info", "step-4/info", "step-4/a"),)), name_of) == ()


def test_reads_after_the_first_save_are_no_loads() -> None:
    """A trainer may read what it has written."""
    start = replace(GOOD, points=(point("w", "step-6/a"),), reads=(*GOOD.reads, Read("0", "step-2/a", after=2)))
    assert oracles.resume(attempt(starts=(start,)), name_of) == ()


def test_between_the_commit_and_the_end_of_the_save_both_checkpoints_are_right() -> None:
    """A pointer may still name the one before; once the next save has begun, it must name the newest."""
    older = reading("step-2/a")
    before_the_pointer = attempt(point=POINTS[7], starts=(older,))
    assert oracles.resume(before_the_pointer, name_of) == ()
    assert oracles.resume(attempt(point=AT, starts=(older,)), name_of) != ()
    first = (Checkpoint("step-2", True, 1),)
    assert oracles.resume(attempt(point=POINTS[3], starts=(reading(found=first),)), name_of) == ()


def test_a_finished_run_need_not_load() -> None:
    """Where the last checkpoint is there, nothing is left to train."""
    done = (*WHOLE, Checkpoint("step-6", True, 3))
    assert oracles.resume(attempt(starts=(reading(found=done),)), name_of) == ()


def test_without_knowledge_of_checkpoints_resume_and_retention_say_nothing() -> None:
    """They are not judged, rather than guessed."""
    unknown = attempt(reference=replace(REFERENCE, knows_checkpoints=False))
    assert (oracles.resume(unknown, name_of), oracles.retention(unknown)) == (None, None)


def test_a_whole_checkpoint_is_always_there() -> None:
    """From the first on, and not before."""
    torn = (Checkpoint("step-2", False, 1, "a is missing"),)
    assert oracles.retention(attempt(left=torn)) == ("no whole checkpoint was there (step-2: a is missing), although there had been one",)
    assert oracles.retention(attempt(left=())) == ("no whole checkpoint was there (no checkpoint at all), although there had been one",)
    assert oracles.retention(attempt(left=torn, had_whole=False)) is None
    assert oracles.retention(attempt(left=(*torn, WHOLE[1]))) == ()
    lost = ("started again, no whole checkpoint was left after file.remove(step-4/done)@0#1!after",)
    assert oracles.retention(attempt(lost=("file.remove(step-4/done)@0#1!after",))) == lost
    assert oracles.retention(attempt(lost=("file.remove(step-4/done)@0#1!after",), had_whole=False)) == lost


def test_debris_does_not_grow() -> None:
    """Ten deaths may leave what two left."""
    assert oracles.debris(Deaths(AT, ("a", "t1"), ("a", "t9"))) == ()
    assert oracles.debris(Deaths(AT, ("a", "t1"), ("a", "t1", "t2"))) == ("2 files after two deaths, 3 after ten, such as t2",)


def test_an_undisturbed_run_that_removes_its_newest_checkpoint_is_noted() -> None:
    """And is no violation: a trainer may keep its best."""
    assert oracles.removed_the_newest(REFERENCE) == ""
    assert oracles.removed_the_newest(replace(REFERENCE, final="step-4")) == "step-6"
    assert oracles.removed_the_newest(replace(REFERENCE, whole_once=("a", "b"), final="a")) == ""


def test_survivors_end_within_the_grace() -> None:
    """After the death of a rank; after a hang or a signal to all, the drill ends them itself."""
    stuck = Start(None, late=True, struck=True, waits={"1": "in recv, called at train.py:7"})
    killed = attempt(effect="kill-rank", struck=stuck)
    assert oracles.ended(killed) == ("the job had not ended 5 s after rank 0 died: rank 1 waited in recv, called at train.py:7",)
    assert oracles.ended(attempt(effect="kill-rank", struck=replace(stuck, late=False))) == ()
    assert oracles.ended(attempt(effect="EIO", struck=stuck)) == ("the job had not ended 5 s after the error: rank 1 waited in recv, called at train.py:7",)
    assert oracles.ended(attempt(effect="hang", struck=stuck)) is None
    assert oracles.ended(attempt()) is None


def test_a_failed_save_is_noticed() -> None:
    """By a look at its future, by the exit status, or by a later save."""
    well = Start(0, struck=True)
    assert oracles.noticed(attempt(effect="EIO", struck=replace(well, status=1))) == ()
    all_there = (*WHOLE, Checkpoint("step-6", True, 3))
    assert oracles.noticed(attempt(effect="EIO", struck=well, left=all_there)) == ()
    assert oracles.noticed(attempt(effect="EIO", struck=well)) == ("the command ended with status 0, without its last checkpoint step-6",)
    dropped = replace(well, unobserved=("rank 0: save[2]",))
    assert oracles.noticed(attempt(effect="EIO", struck=dropped, left=all_there)) == ("rank 0: save[2] failed, and nobody looked at its future",)
    assert oracles.noticed(attempt()) is None


def test_all_ranks_decide_alike_after_an_error() -> None:
    """All go on or none, and they write parts of the same checkpoints; the struck checkpoint may lack a part."""
    written = tuple(seen for seen in POINTS if seen.path != "step-6/b")
    well = Start(0, struck=True, points=POINTS, raised={"0": "", "1": ""})
    assert oracles.agreed(attempt(effect="EIO", struck=well)) == ()
    assert oracles.agreed(attempt(effect="EIO", struck=replace(well, points=written))) == ()
    assert oracles.agreed(attempt(effect="EIO", point=POINTS[0], struck=replace(well, points=written))) == ("rank 0 wrote all, rank 1 wrote no part of 6",)
    in_a_storage = replace(AT, name="save[3]/writer.write_data@1#1", site="writer.write_data", path="")
    reference = replace(REFERENCE, points=(*POINTS[:8], in_a_storage, *POINTS[8:]))
    assert oracles.agreed(attempt(effect="EIO", point=in_a_storage, reference=reference, struck=replace(well, points=written))) == ()
    divided = replace(well, raised={"0": "", "1": "OSError"})
    assert oracles.agreed(attempt(effect="EIO", struck=divided)) == ("rank 0 went on to the end, rank 1 ended with OSError",)
    assert oracles.agreed(attempt(effect="kill-rank", struck=well)) is None


def test_the_result_must_equal_that_of_the_undisturbed_run() -> None:
    """What differs is told; without a result, nothing."""
    assert oracles.equal(attempt(differences=("result.json: value is 2 instead of 3",))) == ("result.json: value is 2 instead of 3",)
    assert oracles.equal(attempt(differences=None)) is None
