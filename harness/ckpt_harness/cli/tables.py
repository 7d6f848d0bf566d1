"""``ckpt-harness sites`` and ``ckpt-harness effects``: what can fail, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ckpt_harness.cli.options import example

if TYPE_CHECKING:
    from ckpt_harness.faults.effects import Effect


@click.command(short_help="Prints the sites: the points where a fault can strike.", epilog=example("sites"))
def sites() -> None:
    """Prints the sites: the named points where an engine calls something that can be made to fail.

    A site is guarded if DCP catches an error there, and reports the error to every rank.
    """
    from rich.table import Column, Table
    from rich.text import Text

    from ckpt_harness.faults.sites import SITES
    from ckpt_harness.report.console import console, print_table

    table = Table(Column("site", no_wrap=True), "what it is", box=None, header_style="bold")
    for site in SITES.values():
        guarded = "guarded" if site.guarded else "not guarded"
        where = f"{site.phase} phase of {', '.join(site.operations)}; called by {site.callers}; {guarded}"
        table.add_row(site.name, Text.assemble(f"{site.about}\n", (where, "dim")))
    print_table(console(), table)


@click.command(short_help="Prints the effects: what can go wrong at a site.", epilog=example("effects"))
def effects() -> None:
    """Prints the effects, that is what can go wrong at a site, and the errors that can be raised.

    Where the column !after says yes, the effect can also strike after the call has acted: SITE@RANKS!after=EFFECT.
    """
    from rich.table import Column, Table

    from ckpt_harness.faults.effects import EFFECTS
    from ckpt_harness.faults.error_specs import ZOO
    from ckpt_harness.report.console import console, print_table

    screen = console()
    columns = (Column("effect", no_wrap=True), "what goes wrong", "!after", "legal at")
    table = Table(*columns, box=None, header_style="bold")
    for name, kind in EFFECTS.items():
        table.add_row(name, kind.about, "yes" if kind.can_be_after else "no", _legal_at(kind))
    print_table(screen, table)
    screen.print()
    errors = Table(Column("error", no_wrap=True), "what is special", box=None, header_style="bold")
    errors.add_row("ValueError, ...", "any builtin exception that takes a message")
    errors.add_row("OSError:ENOSPC", "an OSError with an errno")
    errors.add_row("mypackage.errors.SlowDown", "a class of yours")
    for name, (about, _) in ZOO.items():
        errors.add_row(name, about)
    print_table(screen, errors)


def _legal_at(kind: type[Effect]) -> str:
    """The sites where an effect is legal: their names where they are few, else their number."""
    from ckpt_harness.faults.sites import SITES

    legal = [site.name for site in SITES.values() if kind.legal_at(site)]
    if len(legal) == len(SITES):
        return "all sites"
    return f"{len(legal)} of {len(SITES)} sites" if len(legal) > 4 else ", ".join(legal)
