"""``ckpt-harness job``: runs a sequence of operations with restarts between them, and tells its story."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ckpt_harness.cases import printed
from ckpt_harness.cli.console import Command
from ckpt_harness.cli.files import whole_lines
from ckpt_harness.cli.options import (
    MOST_RANKS,
    Whole,
    engine_option,
    example,
    json_option,
    manager_option,
    register_option,
    seed_option,
    workload_option,
    world_option,
)
from ckpt_harness.faults.calling import CALL_STYLES

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register
    from ckpt_harness.jobs.job import Job

_EXAMPLE = "job 'save a; load a' --faults 'save[1]/finish@0=raise'"


@click.command(cls=Command, short_help="Runs saves, loads and restarts one after the other.", epilog=example(_EXAMPLE))
@click.argument("operations")
@click.option(
    "--faults", default="", metavar="PLAN", help="What goes wrong. Each fault names its operation, counted over the whole job: save[2]/finish@0=raise."
)
@click.option("--ranks", type=Whole(1, MOST_RANKS), default=2, show_default=True, help="Number of ranks at the beginning.")
@engine_option("filesystem")
@workload_option
@seed_option
@click.option("--way", type=click.Choice(list(CALL_STYLES)), default="together", show_default=True, help="How ranks are grouped at the beginning.")
@manager_option
@world_option()
@json_option("Write the job and its result as one JSON line.")
@register_option
def job(json_file: Path | None, register: Register, **options: Any) -> int:
    """Runs saves, loads and restarts one after the other, and tells what became of them.

    OPERATIONS are joined by `;`, such as 'save a; async b; wait; restart 3; load latest'. docs/reference/jobs.md lists them.
    """
    wanted = job_of(**options)

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.jobs.binding import bind_job
    from ckpt_harness.jobs.record import JobRecord
    from ckpt_harness.jobs.rig import JobRig
    from ckpt_harness.report.console import console, say
    from ckpt_harness.report.job_story import job_story
    from ckpt_harness.report.summary import EXIT

    bound = bind_job(wanted)
    quiet()
    started = time.perf_counter()
    with JobRig(register=register) as rig:
        result = rig.run(bound)
    say(console(), printed.shown(printed.so_far(), most=200))
    job_story(console(), result)
    if json_file is not None:
        record = JobRecord.of_result(result, time.perf_counter() - started)
        with whole_lines(json_file) as write:
            write(json.dumps(record.to_json(), ensure_ascii=False))
    return EXIT[result.verdict]


def job_of(operations: str, faults: str, engine: str, world: str | None, **fields: Any) -> Job:
    """Returns the job that the options of ``job`` describe. A bad text answers before torch is imported.

    Args:
        operations: text of the operations.
        faults: text of the faults.
        engine: name of the engine.
        world: what runs the ranks; None for what is usual with the engine.
        fields: the other fields of a job.
    """
    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.jobs.text import parse_operations

    parse_operations(operations)
    FaultPlan.parse(faults)

    from ckpt_harness.cases.case import usual_world
    from ckpt_harness.jobs.job import Job

    return Job.parse(operations, faults=faults, engine=engine, world=world or usual_world(engine), **fields)
