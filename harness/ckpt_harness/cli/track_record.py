"""``ckpt-harness track-record``: public reports of checkpoints that failed, each with the line that shows the same."""

from __future__ import annotations

from pathlib import Path

import click

from ckpt_harness.cases import printed
from ckpt_harness.cli.console import Command, progress_of
from ckpt_harness.cli.files import write_text
from ckpt_harness.cli.options import example, page_option
from ckpt_harness.cli.replay import case_of_line


@click.command(
    cls=Command,
    name="track-record",
    short_help="Runs the line of every known public report of a failure.",
    epilog=example("track-record --write docs/TRACK_RECORD.md"),
)
@page_option("Write the page to a file, instead of printing it.")
def track_record(write: Path | None) -> None:
    """Runs the replay line of every public report that is known, and prints what each shows, as a Markdown page."""
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.report.track_record import render, reports, shown

    quiet()
    results = []
    with Rig() as rig, progress_of("running every report") as progress:
        listed = reports()
        for number, report in enumerate(listed, 1):
            results.append((report, shown(report, lambda words: rig.run(case_of_line(words)))))
            progress(number, len(listed))
    page = render(results)
    if write:
        write_text(write, page)
    else:
        click.echo(page, nl=False, file=printed.stdout())
