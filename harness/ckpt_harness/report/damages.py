"""What damage to stored files does, on a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from ckpt_harness.campaigns.damage import Damages
from ckpt_harness.campaigns.damage_kinds import DAMAGE_KINDS
from ckpt_harness.disk.shown import SHOWN
from ckpt_harness.engines.names import find_engine


def show_damages(console: Console, found: Damages) -> int:
    """Prints what was found.

    Args:
        console: where.
        found: what a reader gets of each damage.

    Returns:
        The exit status: 1 if a claim is violated.
    """
    counts = {kind: Counter(one.shown for one in found.found if one.kind == kind) for kind in DAMAGE_KINDS}
    kinds = [shown for shown in SHOWN if any(count[shown] for count in counts.values())]
    table = Table(title="with a file damaged, a reader gets", title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", *kinds):
        table.add_column(name, justify="right" if name else "left")
    for kind, count in counts.items():
        table.add_row(kind, *(str(count[shown] or "") for shown in kinds))
    console.print(table)
    capabilities = find_engine(found.engine).capabilities
    status = 0
    for one in found.broken():
        counts_against = one.needs is None or one.needs in capabilities
        verdict = "VIOLATED" if counts_against else "not claimed"
        console.print(f"{verdict}: {one.claim}{f' [{one.needs.value}]' if one.needs else ''}: {one.what}: {one.shown}", markup=False)
        status = 1 if counts_against else status
    return status
