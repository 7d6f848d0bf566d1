"""``ckpt-harness across``: what releases of torch do with each other's checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ckpt_harness.cli.console import Command, progress_of
from ckpt_harness.cli.files import write_json, write_text
from ckpt_harness.cli.options import Whole, engine_option, example, json_option, page_option


@click.command(cls=Command, short_help="Loads the checkpoints of one torch with another.", epilog=example("across --load ../new/bin/python --must-load"))
@click.option("--save", "saving", multiple=True, metavar="PYTHON", help="Interpreter whose torch saves. May be given several times. Default: this one.")
@click.option(
    "--load",
    "loading",
    multiple=True,
    metavar="PYTHON",
    help="Interpreter whose torch should load. May be given several times. Default: those of --save.",
)
@click.option("--ranks", type=Whole(1, 64), default=2, show_default=True, help="Number of ranks that save. As many load, and another number.")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="State that is saved. May be given several times. Default: every workload.")
@engine_option("filesystem")
@click.option("--must-load", is_flag=True, help="Exit with 1 also if --load does not load a checkpoint that --save loads: for jobs that must resume.")
@json_option("Write the results as JSON.")
@page_option("Write the results as a Markdown page, too.")
def across(
    saving: tuple[str, ...],
    loading: tuple[str, ...],
    ranks: int,
    workloads: tuple[str, ...],
    engine: str,
    must_load: bool,
    json_file: Path | None,
    write: Path | None,
) -> int:
    """Saves every workload with one torch, and loads it with another, both ways. Says for each pair what came back.

    Each torch is that of a Python interpreter. It needs nothing else: neither ckpt-harness nor its dependencies.
    """
    from ckpt_harness.campaigns.across.run import across as run
    from ckpt_harness.report.across import render, show_across
    from ckpt_harness.report.console import console

    before = saving or (sys.executable,)
    with progress_of("saving and loading") as progress:
        results = run(before, loading or before, engine=engine, ranks=ranks, workloads=workloads, progress=progress)
    if json_file:
        write_json(json_file, results.to_json())
    if write:
        write_text(write, render(results))
    show_across(console(), results)
    return results.status(must_load=must_load)
