"""The command line, ``ckpt-harness``: one file for each command, or for commands that share their options.

Torch is imported only by the commands that run ranks, so that help, tables and usage errors answer at once.
"""

from __future__ import annotations

from ckpt_harness.cli import across, check, crash, damage, drill, engines, export, findings, fuzz, job, replay, sweep, tables, track_record
from ckpt_harness.cli.group import main

__all__ = ["main"]

for command in (
    sweep.sweep,
    replay.replay,
    job.job,
    export.export,
    fuzz.fuzz,
    crash.crash,
    damage.damage,
    drill.drill,
    across.across,
    check.check,
    engines.engines,
    findings.findings,
    tables.sites,
    tables.effects,
    track_record.track_record,
):
    main.add_command(command)
