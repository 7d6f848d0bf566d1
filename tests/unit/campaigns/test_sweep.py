"""Campaigns: the fault space that is discovered, the cases that cover it, and how they are run."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from ckpt_harness.campaigns.fault_space import Cell, space, with_file_roles
from ckpt_harness.campaigns.pools.base import HERE, Pool
from ckpt_harness.campaigns.pools.local import LocalPool
from ckpt_harness.campaigns.run_cases import run_all
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.effects import DiskError
from ckpt_harness.faults.error_specs import MISTAKABLE
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.judging.trace import Moment
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


@pytest.mark.parametrize("operation", ["save", "load"])
def test_each_site_has_each_error_that_may_be_mistaken(rig: Rig, operation: OperationKind) -> None:
    """Once, and on both ranks in turn; collectives are left out."""
    sweep = Sweep((operation,), (2,), workload="mixed")
    (ground,) = sweep.grounds()
    cells = [cell for cell in space(rig, ground) if SITES[cell.site].side != "pg"]
    faults = [fault for case in sweep.cases(rig, ground) for fault in case.plan if getattr(fault.effect, "error", "") in MISTAKABLE]
    assert Counter((fault.site, fault.effect.error) for fault in faults) == dict.fromkeys(  # type: ignore[attr-defined]  # all have an error
        itertools.product({cell.site for cell in cells}, MISTAKABLE), 1
    )
    assert {(fault.site, fault.ranks) for fault in faults} == {(cell.site, (cell.rank,)) for cell in cells}


def test_the_data_and_the_commit_file_get_the_same_effects_of_disks(rig: Rig) -> None:
    """Each effect of a write strikes each rank's data once, and the file of the commit once."""
    sweep = Sweep(("save",), (2,), workload="objects", disk=True)
    (ground,) = sweep.grounds()
    files = {(cell.rank, cell.nth): cell.file_role for cell in space(rig, ground) if cell.site == "fs.write"}
    struck = Counter(
        (str(fault.effect), files[fault.ranks[0], fault.nth], fault.ranks[0])  # type: ignore[index]  # a sweep names ranks by number
        for case in sweep.cases(rig, ground)
        for fault in case.plan
        if fault.site == "fs.write" and not fault.after and not isinstance(fault.effect, DiskError)
    )
    roles = {(role, rank) for _, role, rank in struck}
    assert roles == {("writer.write_data .distcp", 0), ("writer.write_data .distcp", 1), ("writer.finish .tmp", 0)}
    assert set(struck.values()) == {1}
    assert set(struck) == {(effect, *role) for effect in {name for name, *_ in struck} for role in roles}


def test_calls_of_disks_fail_with_errors_that_differ(rig: Rig) -> None:
    """Each call fails once with one error, and for ever with another; a name that is not found comes once a role of a file."""
    sweep = Sweep(("save",), (2,), workload="objects", disk=True)
    (ground,) = sweep.grounds()
    faults = [fault for case in sweep.cases(rig, ground) for fault in case.plan if isinstance(fault.effect, DiskError) and not fault.after]
    cells = {(cell.site, cell.rank, cell.nth) for cell in space(rig, ground) if cell.site.startswith("fs.")}
    for errno in ("EIO", "ESTALE"):
        assert {(fault.site, fault.ranks[0], fault.nth) for fault in faults if fault.effect.errno == errno} == cells  # type: ignore[attr-defined]
    assert {fault.site for fault in faults if fault.effect.errno == "ENOENT"} == {"fs.mkdir", "fs.create_stream", "fs.rename"}  # type: ignore[attr-defined]


def test_files_that_differ_in_numbers_only_have_one_role() -> None:
    """Whatever a storage calls its files: an index of its own is no data file, and what no call of the storage uses is neither."""
    calls = [
        *(("fs.exists", "latest"), ("writer.write_data", ""), ("fs.write", "9f81c02e.0"), ("fs.write", "77aa00bb.13"), ("writer.write_data", "end")),
        *(("writer.finish", ""), ("fs.write", "index.json"), ("fs.rename", "COMMIT.new"), ("fs.exists", "COMMIT"), ("writer.finish", "end")),
    ]
    moments = [Moment(site, 1, after=file == "end", file=file if site.startswith("fs.") else "") for site, file in calls]
    assert [role for _, role in with_file_roles(moments) if role] == [
        *("no call ", "writer.write_data .#", "writer.write_data .#"),
        *("writer.finish .json", "writer.finish .new", "writer.finish "),
    ]


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


@pytest.mark.parametrize("pool", [HERE, LocalPool(2)], ids=["one", "several"])
def test_cases_run_in_one_process_or_in_several(pool: Pool) -> None:
    """With the same records."""
    plans = [FaultPlan.parse(f"writer.storage_meta@{index % 2}=delay({index + 1})") for index in range(50)]
    records = [*run_all([Case(plan, workload="objects") for plan in plans], pool)]
    assert {record.case.plan for record in records} == set(plans)
    assert {record.verdict for record in records} == {Verdict.HOLDS}
    assert {record.outcomes for record in records} == {("returned", "returned")}
