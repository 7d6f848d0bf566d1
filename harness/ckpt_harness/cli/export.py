"""``ckpt-harness export``: writes one case as a script that needs plain torch only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ckpt_harness.cases import printed
from ckpt_harness.cli.console import Command
from ckpt_harness.cli.options import example
from ckpt_harness.cli.replay import case_of, replay

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register


@click.command(
    cls=Command,
    params=replay.params,
    short_help="Writes one case as a script that needs plain torch only.",
    epilog=example("export 'writer.finish@0=raise(unpicklable)' > report.py"),
)
def export(register: Register, **options: Any) -> None:
    """Writes a stand-alone script that shows the same as `replay` does with the same options.

    The script needs plain torch only, starts real processes, and has at most 60 lines: something for a bug report. The options are those of `replay`.
    """
    from ckpt_harness.faults.plan import FaultPlan

    FaultPlan.parse(options["plan"]).bind(options["ranks"], options["coordinator"])

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.export import script

    case = case_of(options).settled()
    script.check(case)
    quiet()
    click.echo(script.export(case, register), nl=False, file=printed.stdout())
