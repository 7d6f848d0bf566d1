"""Campaigns: the fault space that is discovered, the cases that cover it, and how they are run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from ckpt_harness.campaigns.fault_space import Cell, space
from ckpt_harness.campaigns.run_cases import run_all
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

EVERY_SAVE = (
    "writer.reset state.state_dict writer.checkpoint_id writer.storage_meta save_planner.set_up_planner writer.set_up_storage_writer "
    "save_planner.create_local_plan writer.prepare_local_plan save_planner.finish_plan writer.write_data save_planner.resolve_data writer.write_data.future"
).split()
EVERY_LOAD = (
    "reader.reset state.state_dict reader.checkpoint_id reader.read_metadata load_planner.set_up_planner reader.set_up_storage_reader "
    "load_planner.create_local_plan reader.prepare_local_plan load_planner.finish_plan reader.read_data load_planner.load_bytes "
    "load_planner.resolve_tensor load_planner.commit_tensor reader.read_data.future state.load_state_dict"
).split()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def _sites(cells: list[Cell], rank: int) -> list[str]:
    return [cell.site for cell in cells if cell.rank == rank and not cell.site.startswith("pg.") and cell.nth == 1]


@pytest.mark.parametrize(
    ("operation", "every", "coordinators"),
    [
        ("save", EVERY_SAVE, ["save_planner.create_global_plan", "writer.prepare_global_plan", "writer.finish"]),
        ("load", EVERY_LOAD, ["load_planner.create_global_plan", "reader.prepare_global_plan"]),
    ],
)
def test_the_fault_space_of_an_operation(rig: Rig, operation: OperationKind, every: list[str], coordinators: list[str]) -> None:
    """The calls of each rank, in their order; the coordinator makes some that nobody else makes."""
    cells = space(rig, Case(operation=operation))
    assert _sites(cells, 1) == every
    assert [site for site in _sites(cells, 0) if site in every] == every
    assert [site for site in _sites(cells, 0) if site not in every] == coordinators


@pytest.mark.parametrize(
    ("operation", "never"),
    [
        ("save", {"pg.barrier"}),
        ("load", {"pg.barrier", "pg.gather", "load_planner.resolve_bytes"}),
        (
            "async_save",
            {"pg.barrier", "writer.synchronize_staging", "executor.start", "executor.save"}
            | {"stager.stage", "stager.stage.future", "stager.synchronize_staging", "stager.close"},
        ),
    ],
)
def test_declared_sites_that_a_plain_run_never_reaches(rig: Rig, operation: OperationKind, never: set[str]) -> None:
    """A change of the engine that reaches one more, or one less, shows here."""
    _, coverage = plan_sweep(Sweep((operation,), workload="mixed"), rig)
    found = set(coverage.never_reached([operation]))
    assert {site for site in found if not site.startswith("pg.")} == {site for site in never if not site.startswith("pg.")}
    assert "pg.barrier" in found


def test_every_cell_fails_once_and_for_ever(rig: Rig) -> None:
    """With a plain error each; first of all nothing fails; and the zoo comes once a site and role."""
    sweep = Sweep(("save",), (2,), workload="objects")
    (ground,) = sweep.grounds()
    cases = [*sweep.cases(rig, ground)]
    assert cases[0] == ground
    struck = Counter(
        (fault.site, fault.ranks, fault.nth)
        for case in cases
        for fault in case.plan
        if str(fault.effect) in ("raise", "failfuture") and not fault.after
    )
    cells = space(rig, ground)
    assert struck == {(cell.site, (cell.rank,), cell.nth): 2 for cell in cells}
    special = {(fault.site, fault.ranks) for case in cases for fault in case.plan if "unpicklable" in str(fault.effect)}
    assert {site for site, _ in special} == {cell.site for cell in cells}
    assert len({case.plan for case in cases}) == len(cases)


def test_the_whole_zoo_visits_every_cell(rig: Rig) -> None:
    """Not only the first of a site and role."""
    sample, full = (Sweep(("load",), (2,), workload="mixed", zoo=zoo) for zoo in ("sample", "full"))
    (ground,) = sample.grounds()
    assert set(sample.cases(rig, ground)) < set(full.cases(rig, ground))


def test_pairs_are_of_two_different_cells(rig: Rig) -> None:
    """Each pair once, with errors that can be told apart; collectives are left out."""
    sweep = Sweep(("save",), (2,), workload="objects", pairs=True)
    (ground,) = sweep.grounds()
    plans = [case.plan for case in sweep.cases(rig, ground)][1:]
    cells = [cell for cell in space(rig, ground) if SITES[cell.site].side != "pg"]
    assert len(plans) == len(set(plans)) == len(cells) * (len(cells) - 1) // 2
    assert all(len(plan) == 2 and "ValueError" in str(plan.faults[1].effect) for plan in plans)


def test_grounds_are_every_combination() -> None:
    """Operations by sizes by coordinators; an async save has no coordinator to choose."""
    grounds = [*Sweep(("save", "async_save"), (1, 3), None).grounds()]
    assert [(one.operation, one.ranks, one.coordinator) for one in grounds] == [
        ("save", 1, 0),
        *(("save", 3, rank) for rank in range(3)),
        ("async_save", 1, 0),
        ("async_save", 3, 0),
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_cases_run_in_one_process_or_in_several(jobs: int) -> None:
    """With the same records."""
    plans = [FaultPlan.parse(f"writer.storage_meta@{index % 2}=delay({index + 1})") for index in range(50)]
    records = [*run_all([Case(plan, workload="objects") for plan in plans], jobs)]
    assert {record.case.plan for record in records} == set(plans)
    assert {record.verdict for record in records} == {Verdict.HOLDS}
    assert {record.outcomes for record in records} == {("returned", "returned")}
