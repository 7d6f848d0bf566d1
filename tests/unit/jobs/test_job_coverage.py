"""What was tried: pairs of consecutive operations, with the class of the fault that struck the first."""

from __future__ import annotations

import pytest

from ckpt_harness.errors import UsageError
from ckpt_harness.faults.effects import EFFECTS
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES
from ckpt_harness.jobs.coverage import STEPS, Coverage, Pair, is_possible, pairs, steps
from ckpt_harness.jobs.fault_classes import FAULT_CLASSES, class_of, effects_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import OPERATIONS


def test_every_effect_has_a_class() -> None:
    """A new effect is added to a class."""
    for kind in EFFECTS.values():
        site = next(site for site in SITES.values() if kind.legal_at(site))
        assert class_of(Fault(site.name, "coordinator", kind())) in FAULT_CLASSES
    assert {kind for name in FAULT_CLASSES for kind in effects_of(name)} == {*EFFECTS.values()}


def test_an_unknown_class_is_refused() -> None:
    """The message has the choices."""
    with pytest.raises(UsageError, match="unknown class of faults 'errors'; valid: error, lost"):
        effects_of("errors")


def test_every_operation_has_a_step() -> None:
    """A new operation is counted."""
    assert set(OPERATIONS) <= set(STEPS)


def test_a_save_onto_a_used_place_is_a_step_of_its_own() -> None:
    """Whether the place was used by a save or by an async save, and in whichever life."""
    assert steps(Job.parse("async a; wait; restart; save a; save b")) == ("async", "wait", "restart", "overwrite", "save")


@pytest.mark.parametrize(
    ("text", "faults", "expected"),
    [
        ("save a; save b", "", [("save", "save", "none")]),
        ("save a; save b", "save[2]/writer.finish@0=raise", [("save", "save", "none")]),
        ("save a; retry; load a", "save[2]/writer.finish@0=hang", [("save", "retry", "none"), ("retry", "load", "stall")]),
        ("async a; wait; load a", "async_save/writer.finish@0=kill", [("async", "wait", "death"), ("wait", "load", "death")]),
        ("async a; async b; wait b; wait", "async_save[1]/writer.finish@0=skip", [
            ("async", "async", "lie"), ("async", "wait", "none"), ("wait", "wait", "none"),
        ]),
        ("async a; restart; async b; wait; load a", "async_save[1]/writer.finish@0=skip", [
            ("async", "restart", "lie"), ("restart", "async", "none"), ("async", "wait", "none"), ("wait", "load", "none"),
        ]),
        ("save a; continue; save b", "save[1]/writer.finish@0!after=raise", [("save", "continue", "lost"), ("continue", "save", "lost")]),
        ("save a; load a", "save[1]/writer.finish@0=raise; save[1]/fs.write@0=bitflip", [("save", "load", "error"), ("save", "load", "damage")]),
    ],
)  # fmt: skip
def test_the_pairs_of_a_job(text: str, faults: str, expected: list[tuple[str, str, str]]) -> None:
    """The class is that of the fault that strikes the first operation, or the async save that ends in it."""
    assert pairs(Job.parse(text, faults=faults)) == {Pair(*pair) for pair in expected}


def test_a_fault_that_did_not_fire_was_not_tried() -> None:
    """Only what fired counts, where it is known."""
    faults = FaultPlan.parse("save[1]/writer.finish@0=raise; save[2]/writer.finish@0=hang")
    job = Job.parse("save a; save b; restart", faults=str(faults))
    assert pairs(job, [str(faults.faults[1])]) == {Pair("save", "save", "none"), Pair("save", "restart", "stall")}


def test_pairs_that_jobs_have_are_possible() -> None:
    """What the text of jobs allows is among the possible pairs, and what it refuses is not."""
    for first, second in [("save", "wait"), ("async", "overwrite"), ("wait", "continue"), ("continue", "retry"), ("restart", "load"), ("heal", "prune")]:
        assert is_possible(first, second)
    for first, second in [("restart", "wait"), ("restart", "retry"), ("continue", "prune"), ("change", "continue"), ("continue", "continue")]:
        assert not is_possible(first, second)


def test_coverage_counts_what_can_be_tried() -> None:
    """Only pairs of the steps and classes that are drawn are possible; what was tried is counted once."""
    coverage = Coverage(["save", "load"], ["error"])
    job = Job.parse("save a; load a; load a", faults="save[1]/writer.finish@0=raise")
    coverage.add(pairs(job))
    coverage.add(pairs(job))
    assert coverage.share == (2, 8)  # 4 pairs of steps, each with an error and without a fault
    assert coverage.square("save", "load") == (1, 2)
    assert len(coverage.untried()) == 6
    assert coverage.untried()[0] == Pair("save", "save", "none")
