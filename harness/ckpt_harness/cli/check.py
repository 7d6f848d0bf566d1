"""``ckpt-harness check``: tries everything on an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ckpt_harness.cli.console import INTERRUPTED, Command, note, processors, progress_of
from ckpt_harness.cli.files import write_json
from ckpt_harness.cli.options import Numbers, Whole, example, jobs_option, json_option, register_option, world_sizes

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register


@click.command(cls=Command, short_help="Tries everything on an engine; prints what is wrong.", epilog=example("check my_storage.py:ENGINE --every 10"))
@click.argument("engine")
@click.option("--ranks", "sizes", type=Numbers(), callback=world_sizes, default="2", show_default=True, help="Numbers of ranks, tried in turn.")
@jobs_option("Processes that share the states after crashes. Default: all processors.")
@click.option(
    "--every",
    type=Whole(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Try one of every N faults and states after crashes: for a slow storage.",
)
@json_option("Write the results as JSON; `ckpt-harness engines --write` makes a page of such files.")
@register_option
def check(engine: str, sizes: tuple[int, ...], jobs: int | None, every: int, json_file: Path | None, register: Register) -> int:
    """Tries everything on an engine: fails its calls, crashes its saves, damages its files. Prints what is wrong, and which capabilities hold.

    ENGINE is a name that `ckpt-harness engines` prints, module:object, or file.py:object.
    """
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.conformance.check import check_engine
    from ckpt_harness.conformance.report import CheckInterrupted
    from ckpt_harness.report.console import console, say

    quiet()
    interrupted = False
    try:
        with progress_of("trying everything") as progress:
            report = check_engine(engine, ranks=sizes, register=register, every=every, jobs=jobs or processors(), progress=progress)
    except CheckInterrupted as error:
        interrupted, report = True, error.report
    if json_file:
        write_json(json_file, report.to_json())
    say(console(), [str(report)])
    if interrupted:
        note("Interrupted: the report is about what ran until then.")
        return INTERRUPTED
    return 0 if report.ok else 1
