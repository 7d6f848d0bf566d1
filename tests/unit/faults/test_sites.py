"""The table of sites, and what a plan's text may call them."""

from __future__ import annotations

import pytest

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.protocol import DCP, NESTED
from ckpt_harness.faults.sites import PHASES, PRINCIPAL, SITES, OperationKind, Site, direction, find_site, of_phase, resolve

USABLE = list(SITES.values())


@pytest.mark.parametrize("kind", DCP.operations)
def test_every_site_of_the_protocol_is_in_the_table(kind: OperationKind) -> None:
    """The protocol names no site that the table does not have, and none that the operation never reaches."""
    course = DCP.operations[kind]
    names = [*course.before, *course.after, *(name for step in course.steps for name in (*step.map, *step.reduce))]
    assert [name for name in names if name not in SITES or kind not in SITES[name].operations] == []


@pytest.mark.parametrize("site", [site for site in USABLE if site.side != "pg" and site.layer == "calls"], ids=lambda site: site.name)
def test_guarded_means_in_a_protocol_step(site: Site) -> None:
    """A site is guarded exactly where a protocol step calls it, in each kind of operation that reaches it."""
    assert {bool(DCP.step_of(site.name, kind)) for kind in site.operations} == {site.guarded}


@pytest.mark.parametrize("site", [site for site in USABLE if site.side != "pg" and site.layer == "calls"], ids=lambda site: site.name)
def test_the_coordinator_alone_runs_a_reduce(site: Site) -> None:
    """Coordinator-only sites are those of the reduces."""
    assert {DCP.in_reduce(site.name, kind) for kind in site.operations} == {site.callers == "coordinator"}


@pytest.mark.parametrize("site", [site for site in USABLE if site.side != "pg" and site.layer == "calls"], ids=lambda site: site.name)
def test_the_protocol_knows_every_site(site: Site) -> None:
    """Whatever can be injected has its place in the course of every operation that reaches it."""
    for kind in site.operations:
        course = DCP.operations[kind]
        assert site.name in (*course.before, *course.after) or DCP.step_of(site.name, kind)


def test_nested_sites_lie_in_the_step_of_their_caller() -> None:
    """A call from within another site's call belongs to the same protocol step."""
    for inner, outer in NESTED.items():
        for kind in SITES[inner].operations:
            assert DCP.step_of(inner, kind) == DCP.step_of(outer, kind) != ""


def test_a_future_belongs_to_a_method() -> None:
    """Every future has the site of the call that returns it, in the same phase."""
    for site in SITES.values():
        if site.is_future:
            assert SITES[site.name.removesuffix(".future")].phase == site.phase


def test_a_phase_stands_for_its_principal_site_among_others() -> None:
    """The one site that a phase means is one of those that it stands for."""
    for (phase, way), name in PRINCIPAL.items():
        assert SITES[name] in of_phase(phase, way)
        assert any(direction(kind) == way for kind in SITES[name].operations)
    assert {phase for phase, _ in PRINCIPAL} == {*PHASES}


@pytest.mark.parametrize(
    ("name", "side", "operation", "meant"),
    [
        ("writer.write_data", None, None, "writer.write_data"),
        ("write_data", None, None, "writer.write_data"),
        ("write_data.future", None, None, "writer.write_data.future"),
        ("reset", "reader", None, "reader.reset"),
        ("reset", None, "save", "writer.reset"),
        ("prepare_local_plan", None, "load", "reader.prepare_local_plan"),
        ("set_up_planner", None, "save", "save_planner.set_up_planner"),
        ("resolve_data", None, None, "save_planner.resolve_data"),
        ("pg.gather", "writer", None, "pg.gather"),
    ],
)
def test_a_name_is_found(name: str, side: str | None, operation: OperationKind | None, meant: str) -> None:
    """Full names always; short ones where the side or the operation tells which is meant."""
    assert resolve(name, side=side, operation=operation).name == meant


def test_an_unknown_name_is_told_the_nearest_spelling() -> None:
    """A typing error is answered with what was probably meant, and with all choices."""
    with pytest.raises(PlanError, match=r"unknown site 'writer\.wirte_data'; nearest: writer\.write_data, "):
        resolve("writer.wirte_data")
    with pytest.raises(PlanError, match=r"unknown site '@@@'; valid: writer\.reset, .*, \.\.\.; all: `ckpt-harness sites`"):
        find_site("@@@")


def test_an_ambiguous_name_is_told_the_candidates() -> None:
    """A name that both sides have is refused with both."""
    with pytest.raises(PlanError, match=r"ambiguous; valid: writer\.reset, reader\.reset"):
        resolve("reset")
