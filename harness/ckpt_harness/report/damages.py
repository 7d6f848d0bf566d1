"""What damage to stored files does, on a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ckpt_harness.campaigns.damage import Damages
from ckpt_harness.campaigns.damage_kinds import DAMAGE_KINDS
from ckpt_harness.cases import printed
from ckpt_harness.disk.shown import SHOWN
from ckpt_harness.engines.names import find_engine
from ckpt_harness.report.console import print_table, say
from ckpt_harness.report.shown import legend, style_of


def show_damages(console: Console, damages: Damages) -> int:
    """Prints what readers get of damaged checkpoints.

    Args:
        console: where to print.
        damages: what a reader gets after each damage.

    Returns:
        The exit status: 1 if a claim is violated.
    """
    kinds = {damaged.shown for damaged in damages.found}
    say(console, [Text("what a reader gets if a file is damaged", style="italic"), *legend(kinds, new="the whole checkpoint, as it was saved"), Text()])
    print_table(console, _table(damages))
    console.print()
    capabilities = find_engine(damages.scene.engine).capabilities
    status = 0
    for damaged in damages.broken():
        counts = damaged.needs is None or damaged.needs in capabilities
        verdict = "VIOLATED" if counts else "not claimed"
        needed = f" [{damaged.needs.value}]" if damaged.needs else ""
        style = "bold red" if counts else "dim"
        say(console, [Text.assemble((f"{verdict}: ", style), f"{damaged.claim}{needed}; with {damaged.what}, a reader gets: {damaged.shown}")])
        say(console, (Text(f"    {line}", style="dim") for line in printed.shown(damaged.printed) if counts))
        status = 1 if counts else status
    ranks = f"{damages.scene.ranks} rank{'s' * (damages.scene.ranks != 1)}"
    loaded = f"{len(damages.found)} damaged checkpoint{'s' * (len(damages.found) != 1)}"
    say(console, [Text(f"engine {damages.scene.engine}, workload {damages.scene.workload}, {ranks}: {loaded} loaded")])
    return status


def _table(damages: Damages) -> Table:
    """A line for each kind of damage: how many damaged checkpoints show a reader what."""
    shown = [kind for kind in SHOWN if any(damaged.shown == kind for damaged in damages.found)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("damage")
    for kind in shown:
        table.add_column(kind, justify="right", style=style_of(kind))
    for damage in DAMAGE_KINDS:
        counts = Counter(damaged.shown for damaged in damages.found if damaged.kind == damage)
        table.add_row(damage, *(str(counts[kind] or "") for kind in shown))
    return table
