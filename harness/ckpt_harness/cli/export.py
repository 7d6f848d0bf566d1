"""``ckpt-harness export``: writes one case, or one job, as a script that needs plain torch only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ckpt_harness.cases import printed
from ckpt_harness.cli.console import Command
from ckpt_harness.cli.job import job, job_of
from ckpt_harness.cli.options import example
from ckpt_harness.cli.replay import case_of, replay

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register


class _Export(Command):
    """Takes whatever follows ``ckpt-harness`` in a replay line: a job if the first word is ``job``, else a case."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        if args[:1] == ["job"]:
            return _export_job.make_context("export job", args[1:], parent, **extra)
        return super().make_context(info_name, args[1:] if args[:1] == ["replay"] else args, parent, **extra)


@click.command(
    cls=_Export,
    params=replay.params,
    short_help="Writes a case or a job as a script for plain torch.",
    epilog=example("export 'writer.finish@0=raise(unpicklable)' > report.py"),
)
def export(register: Register, **options: Any) -> None:
    """Writes a stand-alone script that shows the same as `replay` does with the same options.

    The script needs plain torch only, starts real processes, and has at most 60 lines: something for a bug report. The options are those of `replay`.
    To export a job, write `export job` and what follows `job` in its replay line.
    """
    from ckpt_harness.faults.plan import FaultPlan

    FaultPlan.parse(options["plan"]).bind(options["ranks"], options["coordinator"])

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.export import script

    case = case_of(options).settled()
    script.check(case)
    quiet()
    click.echo(script.export(case, register), nl=False, file=printed.stdout())


@click.command(
    cls=Command,
    params=[parameter for parameter in job.params if parameter.name != "json_file"],
    epilog=example("export job 'save a; save a' --faults 'save[2]/write_data@1=raise' --workload sharded > report.py"),
)
def _export_job(register: Register, **options: Any) -> None:
    """Writes a stand-alone script that shows the same as `job` does with the same options.

    The script needs plain torch only and starts real processes. Each operation of the job is a statement in it.
    """
    wanted = job_of(**options)

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.export import job_script

    quiet()
    click.echo(job_script.export(wanted, register), nl=False, file=printed.stdout())
