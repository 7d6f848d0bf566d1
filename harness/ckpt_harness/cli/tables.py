"""``ckpt-harness sites`` and ``ckpt-harness effects``: what can fail, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ckpt_harness.cli.console import console

if TYPE_CHECKING:
    from ckpt_harness.faults.effects import Effect


@click.command(epilog="Example: ckpt-harness sites")
def sites() -> None:
    """Prints the sites: the named points where an engine calls something that can be made to fail."""
    from rich.table import Column, Table

    from ckpt_harness.faults.sites import SITES

    table = Table(Column("site", no_wrap=True), "phase", "in", "called by", "guarded", "what it is", box=None, header_style="bold")
    for site in SITES.values():
        table.add_row(site.name, site.phase, ", ".join(site.operations), site.callers, "yes" if site.guarded else "no", site.about)
    console().print(table)


@click.command(epilog="Example: ckpt-harness effects")
def effects() -> None:
    """Prints the effects, that is what can go wrong at a site, and the errors that can be raised."""
    from rich.table import Column, Table

    from ckpt_harness.faults.effects import EFFECTS
    from ckpt_harness.faults.error_specs import ZOO

    screen = console()
    table = Table(Column("effect", no_wrap=True), "what goes wrong", "!after", "legal at", box=None, header_style="bold")
    for name, kind in EFFECTS.items():
        table.add_row(name, kind.about, "yes" if kind.can_be_after else "no", _legal_at(kind))
    screen.print(table, "")
    errors = Table(Column("error", no_wrap=True), "special in that it is", box=None, header_style="bold")
    errors.add_row("ValueError, ...", "any builtin exception that takes a message")
    errors.add_row("OSError:ENOSPC", "an OSError with an errno")
    errors.add_row("mypackage.errors.SlowDown", "a class of yours")
    for name, (about, _) in ZOO.items():
        errors.add_row(name, about)
    screen.print(errors)


def _legal_at(kind: type[Effect]) -> str:
    """The sites where an effect is legal: their names where they are few, else their number."""
    from ckpt_harness.faults.sites import SITES

    legal = [site.name for site in SITES.values() if kind.legal_at(site)]
    if len(legal) == len(SITES):
        return "all sites"
    return f"{len(legal)} of {len(SITES)} sites" if len(legal) > 4 else ", ".join(legal)
