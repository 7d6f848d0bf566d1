"""An entry that should have shown and did not is reported as gone; on the versions that it was recorded for, this fails the run."""

from __future__ import annotations

import importlib.metadata

import pytest
from hand_made import entry, evidence

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import Record
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Judgement, Verdict
from ckpt_harness.report.summary import Summary

ENTRIES = Register.shipped().entries
HERE = importlib.metadata.version("torch").partition("+")[0]


def _record(known: tuple[str, ...], covered: tuple[str, ...] = ("T-1",), verdict: Verdict = Verdict.HOLDS) -> Record:
    return Record(Case(FaultPlan.parse("writer.reset@1=raise")), verdict, "fails", ("returned",), (), known, covered, 0.1)


@pytest.mark.parametrize(("versions", "status"), [((HERE,), 1), (("1.0.0",), 0)])
def test_a_finding_that_never_showed_is_gone(versions: tuple[str, ...], status: int) -> None:
    """An entry that was due and never showed fails the run on its versions of torch, and is only reported on others."""
    summary = Summary(Register([entry(versions=versions)]))
    summary.add(_record(known=()))
    assert summary.gone() == ["T-1"]
    assert summary.exit_status() == status


def test_a_finding_that_showed_once_is_not_gone() -> None:
    """One case that shows the finding is enough."""
    summary = Summary(Register([entry(versions=(HERE,))]))
    for known in ((), ("T-1",), ()):
        summary.add(_record(known))
    assert summary.gone() == []
    assert summary.exit_status() == 0


def test_a_finding_that_nothing_covered_is_not_gone() -> None:
    """A run that never injects the entry's fault does not report the entry."""
    summary = Summary(Register([entry(versions=(HERE,))]))
    summary.add(_record(known=(), covered=()))
    assert summary.gone() == []
    assert summary.exit_status() == 0


def test_a_new_violation_fails_the_run_beside_known_ones() -> None:
    """A known finding does not excuse a new violation."""
    summary = Summary(Register([entry(versions=(HERE,))]))
    summary.add(_record(known=("T-1",)))
    summary.add(_record(known=("T-1",), verdict=Verdict.VIOLATED))
    assert summary.exit_status() == 1


def test_a_case_covers_an_entry_whose_fault_alone_decided_it() -> None:
    """With a second decisive fault, too few ranks, another site, or a fault that never fired, the entry need not show."""
    register = Register([entry()])
    assert register.covered("filesystem", evidence()) == {"T-1"}
    assert register.covered("filesystem", evidence("writer.reset@1=raise; writer.write_data@0=raise")) == {"T-1"}
    assert register.covered("filesystem", evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise")) == set()
    assert register.covered("filesystem", evidence("writer.reset@0=raise", ranks=1)) == set()
    assert register.covered("filesystem", evidence("writer.write_data@1=raise")) == set()
    assert register.covered("filesystem", evidence(fired=False)) == set()
    assert register.covered("mine", evidence()) == set()


def test_an_engine_that_an_entry_does_not_name_may_do_better() -> None:
    """An entry about all engines is due on the engines that ship with the harness; an entry that names another engine is due there, too."""
    everywhere, named = Register([entry(engines=("*",))]), Register([entry(engines=("mine.py:*",))])
    assert everywhere.covered("filesystem", evidence()) == {"T-1"}
    assert everywhere.covered("mine.py:ENGINE", evidence()) == set()
    assert named.covered("mine.py:ENGINE", evidence()) == {"T-1"}


def test_a_crash_is_known_in_the_part_of_the_save_that_an_entry_names() -> None:
    """The entry about a removed checkpoint is about the commit; it is not about a method that the engine replaces, nor about a better claim."""
    register = Register.shipped()
    assert register.known_crash("filesystem", "overwrite kill nothing in finish") == "DCP-033"
    assert register.known_crash("filesystem", "overwrite kill nothing in plan") is None
    assert register.known_crash("filesystem", "overwrite kill nothing in write") is None
    assert register.known_crash("filesystem", "overwrite kill nothing in finish", replaced=["writer.finish"]) is None
    assert register.known_crash("filesystem", "overwrite kill nothing in finish", capabilities=["atomic overwrite"]) is None
    assert register.known_crash("filesystem", "overwrite kill mixture after success") is None


def test_a_finding_about_a_package_fails_the_run_with_its_version_only() -> None:
    """With another version of the package, or without the package, the absence of the finding is only reported."""
    here = importlib.metadata.version("click")
    for packages, recorded in (((), True), ((f"click=={here}",), True), (("click==0.1",), False), (("no-such-package==1",), False)):
        assert Register([entry(versions=(HERE,), packages=packages)]).recorded_here("T-1") is recorded


def test_an_entry_about_a_package_takes_the_place_of_a_general_entry() -> None:
    """If an entry about a package is due for a fault, the entry for all engines is not."""
    both = Register([entry(), entry(id="T-2", packages=("click==8",))])
    assert both.covered("filesystem", evidence()) == {"T-2"}
    assert Register(both.entries[:1]).covered("filesystem", evidence()) == {"T-1"}


def test_an_entry_is_not_due_where_another_finding_came_first() -> None:
    """If another finding explains what became of the operation, the entry could not show; a mark on another claim or operation explains nothing."""
    register = Register([entry()])

    def due(known: str, oracle: str = "bounded", operation: str = "save[1]") -> set[str]:
        return register.covered("filesystem", evidence(), [Judgement(oracle, Verdict.VIOLATED, "", operation, known=known)])

    assert due("T-2") == set()
    assert due("T-1") == due("T-2", "purity") == due("T-2", operation="save[2]") == {"T-1"}


def test_every_shipped_entry_has_a_site_or_says_why_not() -> None:
    """An entry names sites; or it is about crashes or crossing collectives; or it says why no site applies."""
    loose = [entry.id for entry in ENTRIES if "*" in entry.sites or not (entry.sites or entry.crashes or entry.crossing or entry.no_site)]
    assert loose == []


def test_no_signature_of_the_shipped_register_allows_everything() -> None:
    """Behind a signature of wildcards alone anything could hide."""
    assert [entry.id for entry in ENTRIES for signature in entry.signatures if signature.says_nothing] == []


def test_a_shipped_signature_that_leaves_an_error_open_is_held_by_evidence() -> None:
    """Where any error or any hang is allowed on each rank, the entry names what the oracle must say."""
    opened = {"raised *", "hung *", "*"}
    loose = {
        entry.id
        for entry in ENTRIES
        for signature in entry.signatures
        if all(not opened.isdisjoint(patterns) for patterns in signature.roles.values()) and entry.reasons == ("*",)
    }
    assert loose == set()


def test_a_shipped_entry_about_what_is_stored_or_left_names_the_evidence() -> None:
    """How the ranks ended says little about a checkpoint, a leftover, a future or the order of calls."""
    beyond_endings = {"commitment", "course", "filled", "futures", "hygiene", "integrity", "isolation", "purity"}
    loose = [entry.id for entry in ENTRIES if entry.signatures and not beyond_endings.isdisjoint(entry.oracles) and entry.reasons == ("*",)]
    assert loose == []
