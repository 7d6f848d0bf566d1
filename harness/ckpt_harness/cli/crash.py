"""``ckpt-harness crash``: loads every state that a crash during a save may leave on storage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ckpt_harness.cli.console import INTERRUPTED, Command, header, note, processors, progress_of
from ckpt_harness.cli.files import write_json
from ckpt_harness.cli.options import Whole, engine_option, example, jobs_option, json_option, on_option, register_option, workload_option
from ckpt_harness.cli.pools import chosen_pool
from ckpt_harness.disk.durability import LIMIT, MODELS

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register


@click.command(cls=Command, short_help="Loads every state that a crash during a save may leave.", epilog=example("crash --overwrite --model kill"))
@click.option("--ranks", type=Whole(1, 64), default=2, show_default=True, help="Number of ranks that save, and that load what is left.")
@click.option("--overwrite", is_flag=True, help="Save onto a committed checkpoint, instead of into an empty directory.")
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default="posix",
    show_default=True,
    help="What survives. kill: the job was killed. ordered: power cut on a file system like ext4. posix: power cut, with what POSIX promises of fsync.",
)
@engine_option("filesystem-synced")
@workload_option
@click.option("--seed", type=Whole(), default=0, show_default=True, help="Seed of the order in which ranks run, and of the samples of states.")
@click.option(
    "--limit",
    type=Whole(1),
    default=LIMIT,
    show_default=True,
    help="States to load for each point of the save; where more are possible, a sample.",
)
@jobs_option("Processes that share the states. Default: all processors.")
@on_option
@json_option("Write the results as JSON.")
@register_option
def crash(model: str, limit: int, jobs: int | None, on: str | None, json_file: Path | None, register: Register, **settings: Any) -> int:
    """Records one save, and loads every state of the files that a crash during the save may leave.

    Prints what a reader gets after a crash at each point of the save, and the shortest way to each result.
    """
    from ckpt_harness.campaigns.crashes import CrashesInterrupted, crashes
    from ckpt_harness.campaigns.recording import Scene
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.report.console import console, say
    from ckpt_harness.report.crashes import as_json, show_crashes

    scene = Scene(**settings).settled()
    scene.check_is_recorded()
    quiet()
    pool, where = chosen_pool(on, jobs, processors(), scene.engine)
    started = time.perf_counter()
    try:
        with progress_of("loading every state") as progress:
            result = crashes(scene, cast(Any, model), limit=limit, pool=pool, progress=progress)
    except CrashesInterrupted as error:
        result = error.crashes
    known = result.known(register)
    if json_file:
        write_json(json_file, as_json(result, known))
    screen = console()
    say(screen, [header(scene.engine, scene.seed), *where])
    status = show_crashes(screen, result, known, time.perf_counter() - started)
    if result.interrupted:
        note("Interrupted: the summary is about the points whose states were all loaded.")
        return INTERRUPTED
    return status
