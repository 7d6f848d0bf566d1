"""``ckpt-harness findings``: the register of known findings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ckpt_harness.cli.options import example, page_option, register_option

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register


@click.command(short_help="Prints the known findings: violations that are expected.", epilog=example("findings"))
@register_option
@page_option("Write the whole register as a Markdown page, instead of the table.")
def findings(register: Register, write: Path | None) -> None:
    """Prints the known findings: violated claims that are in the register, so that a run fails only on what is new."""
    if write:
        from ckpt_harness.findings.page import render

        write.write_text(render(register), encoding="utf-8")
        return

    from rich.table import Column, Table

    from ckpt_harness.report.console import console, print_table

    table = Table(Column("id", no_wrap=True), "finding", "in", Column("torch", no_wrap=True), box=None, header_style="bold")
    for entry in register.entries:
        table.add_row(entry.id, entry.title, ", ".join(entry.operations), ", ".join(entry.versions))
    print_table(console(), table)
