"""``ckpt-harness sweep``: fails every cell of the fault space of real checkpoint operations."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ckpt_harness.cli.console import INTERRUPTED, Command, header, note, processors, progress_of
from ckpt_harness.cli.files import whole_lines
from ckpt_harness.cli.options import (
    Numbers,
    async_save_options,
    coordinators,
    engine_option,
    example,
    jobs_option,
    json_option,
    on_option,
    onto_option,
    operations,
    planner_option,
    register_option,
    seed_option,
    way_option,
    workload_option,
    world_option,
    world_sizes,
)
from ckpt_harness.cli.pools import chosen_pool
from ckpt_harness.errors import UsageError

if TYPE_CHECKING:
    from ckpt_harness.campaigns.pools.base import Pool
    from ckpt_harness.campaigns.sweep import Sweep
    from ckpt_harness.cases.case import Case, WorldName
    from ckpt_harness.findings.register import Register
    from ckpt_harness.report.summary import Summary


@click.command(
    cls=Command,
    short_help="Fails every call of real saves and loads; prints a matrix.",
    epilog=example("sweep --ranks 2,3 --engine filesystem-threads"),
)
@click.option(
    "--ranks", "sizes", type=Numbers(), callback=world_sizes, help="Numbers of ranks, swept in turn. Default: 2,3,4; under a launcher, its ranks."
)
@click.option(
    "--coordinator",
    "coordinators",
    default="0",
    show_default=True,
    callback=coordinators,
    metavar="RANK",
    help="The rank that coordinates, or `all` for each rank in turn.",
)
@click.option(
    "--op",
    "operations",
    default="save,load",
    show_default=True,
    callback=operations,
    metavar="KIND,...",
    help="Operations, joined by commas: save, async_save, load.",
)
@engine_option("filesystem")
@workload_option
@click.option("--disk", is_flag=True, help="Fail the calls below the storage (sites fs.*), instead of the calls at and above it.")
@click.option("--network", is_flag=True, help="Fail the requests to an object store (sites http.*), instead of the calls at and above the storage.")
@click.option(
    "--zoo",
    type=click.Choice(["sample", "full"]),
    default="sample",
    show_default=True,
    help="Where to try special errors and all other effects: at one cell of each site and role, or at every cell.",
)
@click.option("--pairs", is_flag=True, help="All pairs of plain errors, instead of single faults.")
@seed_option
@way_option
@planner_option
@onto_option
@async_save_options
@world_option(both=True)
@jobs_option("Processes that share the cases. Default: all processors; half of them where ranks are processes.")
@on_option
@json_option("Write one JSON line for each case.")
@register_option
def sweep(
    sizes: tuple[int, ...],
    zoo: str,
    world: str | None,
    jobs: int | None,
    on: str | None,
    json_file: Path | None,
    register: Register,
    **settings: Any,
) -> int:
    """Fails every cell of the fault space of real checkpoint operations, and prints who learned what.

    A cell is one call at one site on one rank. Every cell fails with a plain error; each site also meets special errors, delays, hangs, deaths and
    damage. Ranks are simulated unless --world says otherwise.
    """
    with contextlib.ExitStack() as stack:
        if world in (None, "simulated") and on is None and (jobs or processors()) > 1:
            from ckpt_harness.campaigns.pools.local import server_started

            stack.enter_context(server_started("ckpt_harness.campaigns.run_cases"))
        return _sweep(sizes, zoo, world, jobs, on, json_file, register, settings)


def _sweep(
    sizes: tuple[int, ...],
    zoo: str,
    world: str | None,
    jobs: int | None,
    on: str | None,
    json_file: Path | None,
    register: Register,
    settings: dict[str, Any],
) -> int:
    """Does what :func:`sweep` does. From here on torch is imported."""
    from ckpt_harness.campaigns.sweep import Sweep
    from ckpt_harness.campaigns.workers import quiet, stay_on_one_processor
    from ckpt_harness.cases.case import usual_world
    from ckpt_harness.report.console import console, say

    world = world or usual_world(settings["engine"])
    faulted_world = cast("WorldName", "processes" if world == "both" else world)
    wanted = Sweep(sizes=sizes, zoo=cast(Any, zoo), world=faulted_world, **settings)
    for ground in wanted.grounds():
        ground.bind()
    if world == "attached" and (on is not None or jobs not in (None, 1)):
        given = f"--jobs {jobs}" if on is None else f"--on {on}"
        raise UsageError(f"{given}: the launcher's ranks run one case at a time; valid: --jobs 1, or another world")
    quiet()
    usual_jobs = _usual_jobs(world)
    if world != "attached" and on is None and (jobs or usual_jobs) == 1:  # attached: rank 0 shares this host with other ranks
        stay_on_one_processor(0)
    pool, where = chosen_pool(on, jobs, usual_jobs, wanted.engine)
    say(console(), [header(wanted.engine, wanted.seed), *where])
    return _run(wanted, pool, json_file, register, compared=world == "both")


def _usual_jobs(world: str) -> int:
    """How many processes share the cases where the command line does not say."""
    if world == "attached":
        return 1
    return processors() if world == "simulated" else max(1, processors() // 2)


def _run(wanted: Sweep, pool: Pool, json_file: Path | None, register: Register, *, compared: bool) -> int:
    """Runs a sweep and prints its report. Returns the exit status."""
    from ckpt_harness.campaigns.compare_worlds import differences, simulated_twins
    from ckpt_harness.campaigns.pools.base import PoolError
    from ckpt_harness.campaigns.sweep import plan_sweep
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.report.console import console, say
    from ckpt_harness.report.summary import Summary
    from ckpt_harness.report.terminal import disagreements, show
    from ckpt_harness.worlds.interruption import interruptible

    started = time.perf_counter()
    screen = console()
    with interruptible(), Rig(register=register) as rig:
        cases, coverage = plan_sweep(wanted, rig)
    if compared:
        cases += simulated_twins(cases)
    summary = Summary(register, coverage)
    stopped: BaseException | None = None
    try:
        _run_cases(cases, pool, json_file, register, summary)
    except (KeyboardInterrupt, PoolError) as error:
        stopped = error
    kinds = tuple(dict.fromkeys(ground.operation for ground in wanted.grounds()))
    show(screen, summary, kinds, time.perf_counter() - started)
    if isinstance(stopped, PoolError):
        raise stopped
    if stopped is not None:
        note(f"Interrupted after {len(summary.records)} of {len(cases)} cases.")
        return INTERRUPTED
    if compared:
        ran_in_both, differing = differences(summary.records)
        say(screen, disagreements(ran_in_both, differing))
        return 1 if differing else summary.exit_status()
    _say_what_ran_elsewhere(cases, wanted)
    return summary.exit_status()


def _run_cases(cases: list[Case], pool: Pool, json_file: Path | None, register: Register, summary: Summary) -> None:
    """Runs cases, adds what each shows to the summary, and writes it to the file."""
    from ckpt_harness.campaigns.run_cases import run_all

    with contextlib.ExitStack() as stack:
        write = stack.enter_context(whole_lines(json_file)) if json_file else None
        progress = stack.enter_context(progress_of("failing every cell"))
        records = stack.enter_context(contextlib.closing(run_all(cases, pool, register)))
        for done, record in enumerate(records, 1):
            progress(done, len(cases))
            summary.add(record)
            if write:
                write(json.dumps(record.to_json(), ensure_ascii=False))


def _say_what_ran_elsewhere(cases: list[Case], wanted: Sweep) -> None:
    from ckpt_harness.report.console import console, say

    elsewhere = sum(case.world != wanted.world for case in cases)
    if elsewhere:
        text = f"{elsewhere} of {len(cases)} cases end a rank, which a launcher would not survive: they ran on simulated ranks of rank 0"
        say(console(), [text])
