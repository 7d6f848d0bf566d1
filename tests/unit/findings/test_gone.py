"""A finding that should have shown and did not is told, and fails the run on the versions that it was recorded for."""

from __future__ import annotations

import importlib.metadata

import pytest
from hand_made import entry, evidence

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import Record
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.summary import Summary

HERE = importlib.metadata.version("torch").partition("+")[0]


def _record(known: tuple[str, ...], covered: tuple[str, ...] = ("T-1",), verdict: Verdict = Verdict.HOLDS) -> Record:
    return Record(Case(FaultPlan.parse("writer.reset@1=raise")), verdict, "fails", ("returned",), (), known, covered, 0.1)


@pytest.mark.parametrize(("versions", "status"), [((HERE,), 1), (("1.0.0",), 0)])
def test_a_finding_that_never_showed_is_gone(versions: tuple[str, ...], status: int) -> None:
    """It fails the run where it was recorded, and is only told elsewhere."""
    summary = Summary(Register([entry(versions=versions)]))
    summary.add(_record(known=()))
    assert summary.gone() == ["T-1"]
    assert summary.exit_status() == status


def test_a_finding_that_showed_once_is_not_gone() -> None:
    """Not every case that covers it need show it."""
    summary = Summary(Register([entry(versions=(HERE,))]))
    for known in ((), ("T-1",), ()):
        summary.add(_record(known))
    assert summary.gone() == []
    assert summary.exit_status() == 0


def test_a_finding_that_nothing_covered_is_not_gone() -> None:
    """A run that never injects its fault says nothing of it."""
    summary = Summary(Register([entry(versions=(HERE,))]))
    summary.add(_record(known=(), covered=()))
    assert summary.gone() == []
    assert summary.exit_status() == 0


def test_a_new_violation_fails_the_run_beside_known_ones() -> None:
    """Knowing one finding excuses no other."""
    summary = Summary(Register([entry(versions=(HERE,))]))
    summary.add(_record(known=("T-1",)))
    summary.add(_record(known=("T-1",), verdict=Verdict.VIOLATED))
    assert summary.exit_status() == 1


def test_a_case_covers_an_entry_whose_fault_alone_decided_it() -> None:
    """A second decisive fault, too few ranks, another site, or a fault that never fired: then the entry need not show."""
    register = Register([entry()])
    assert register.covered("filesystem", evidence()) == {"T-1"}
    assert register.covered("filesystem", evidence("writer.reset@1=raise; writer.write_data@0=raise")) == {"T-1"}
    assert register.covered("filesystem", evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise")) == set()
    assert register.covered("filesystem", evidence("writer.reset@0=raise", ranks=1)) == set()
    assert register.covered("filesystem", evidence("writer.write_data@1=raise")) == set()
    assert register.covered("filesystem", evidence(fired=False)) == set()
    assert register.covered("mine", evidence()) == set()


def test_a_finding_about_a_package_is_held_to_the_version_it_was_recorded_for() -> None:
    """With another version of it, or without it, that it did not happen is only told."""
    here = importlib.metadata.version("click")
    for packages, recorded in (((), True), ((f"click=={here}",), True), (("click==0.1",), False), (("no-such-package==1",), False)):
        assert Register([entry(versions=(HERE,), packages=packages)]).recorded_here("T-1") is recorded


def test_what_a_package_does_stands_in_for_what_the_engine_does_alone() -> None:
    """Where it has an entry for a fault, that for all engines need not show."""
    both = Register([entry(), entry(id="T-2", packages=("click==8",))])
    assert both.covered("filesystem", evidence()) == {"T-2"}
    assert Register(both.entries[:1]).covered("filesystem", evidence()) == {"T-1"}
