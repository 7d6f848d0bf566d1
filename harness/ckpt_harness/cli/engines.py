"""``ckpt-harness engines``: the engines by name, or a page of what `check` said of each."""

from __future__ import annotations

from pathlib import Path

import click

from ckpt_harness.cli.console import Command
from ckpt_harness.cli.files import write_text
from ckpt_harness.cli.options import example, page_option
from ckpt_harness.errors import UsageError


@click.command(cls=Command, short_help="Prints the engines, and what each of them claims.", epilog=example("engines"))
@click.argument("reports", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@page_option("Write a Markdown page of REPORTS, instead of the table.")
def engines(reports: tuple[Path, ...], write: Path | None) -> None:
    """Prints the engines that have a name: what each claims, and whether it can run here.

    With --write FILE REPORTS, writes a page of what `ckpt-harness check --json` wrote: what every oracle said of every engine.
    """
    if bool(reports) != bool(write):
        raise UsageError("a page is made of reports: engines --write FILE REPORT..., where `ckpt-harness check NAME --json REPORT` wrote each")
    if write:
        from ckpt_harness.report.engines import read_report, render

        write_text(write, render([read_report(report.read_bytes(), str(report)) for report in reports]))
        return
    _print_table()


def _print_table() -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from ckpt_harness.engines.names import BUILT_IN, THIRD_PARTY, find_engine, named
    from ckpt_harness.report.console import console, print_table

    table = Table(Column("engine", no_wrap=True), "what it is, and what it claims", box=None, header_style="bold")
    for name, target in named().items():
        source = "" if name in BUILT_IN else f" ({THIRD_PARTY[name].package if name in THIRD_PARTY else target})"
        try:
            engine = find_engine(name)
        except UsageError as error:
            why = str(error).partition("; engines:")[0].removeprefix(f"engine {name!r} ")
            table.add_row(name, f"cannot run here: {why}")
        else:
            claims = ", ".join(sorted(capability.value for capability in engine.capabilities))
            table.add_row(name, Text.assemble(f"{engine.about}{source}\n", (f"claims {claims}", "dim")))
    print_table(console(), table)
