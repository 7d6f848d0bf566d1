"""``ckpt-harness damage``: damages each file of a checkpoint in turn, and loads it."""

from __future__ import annotations

from typing import Any

import click

from ckpt_harness.cli.console import INTERRUPTED, Command, note, progress_of
from ckpt_harness.cli.options import Whole, engine_option, example, workload_option


@click.command(cls=Command, short_help="Damages each file of a checkpoint in turn, and loads it.", epilog=example("damage --engine filesystem --ranks 3"))
@engine_option("filesystem")
@click.option("--ranks", type=Whole(1, 64), default=2, show_default=True, help="Number of ranks that save, and load.")
@workload_option
def damage(**settings: Any) -> int:
    """Damages each file of a checkpoint in turn, loads the checkpoint in fresh ranks, and prints what a reader gets.

    Files go missing, are cut short, zeroed or swapped, or have a bit flipped.
    """
    from ckpt_harness.campaigns.damage import DamagesInterrupted, damages
    from ckpt_harness.campaigns.recording import Scene
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.report.console import console
    from ckpt_harness.report.damages import show_damages

    quiet()
    try:
        with progress_of("loading damaged checkpoints") as progress:
            result = damages(Scene(**settings), progress=progress)
    except DamagesInterrupted as error:
        show_damages(console(), error.damages)
        note("Interrupted: the summary is about the damaged checkpoints that were loaded.")
        return INTERRUPTED
    return show_damages(console(), result)
