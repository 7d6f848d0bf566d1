"""``ckpt-harness replay``: runs one case again, and tells its story rank by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ckpt_harness.cli.console import Command
from ckpt_harness.cli.options import (
    MOST_RANKS,
    Whole,
    async_save_options,
    engine_option,
    example,
    onto_option,
    planner_option,
    register_option,
    seed_option,
    way_option,
    workload_option,
    world_option,
)
from ckpt_harness.faults.calling import find_call_style
from ckpt_harness.faults.sites import OPERATION_KINDS
from ckpt_harness.worlds.launcher import Launch

if TYPE_CHECKING:
    from ckpt_harness.cases.case import Case
    from ckpt_harness.findings.register import Register


@click.command(cls=Command, short_help="Runs one case, and tells its story rank by rank.", epilog=example("replay 'writer.write_data@1=raise(OSError:EIO)'"))
@click.argument("plan")
@click.option("--op", "operation", type=click.Choice(OPERATION_KINDS), default="save", show_default=True, help="Operation that the ranks do.")
@click.option(
    "--ranks",
    type=Whole(1, MOST_RANKS),
    default=lambda: getattr(Launch.here(), "size", 2),
    show_default="2; under a launcher, its ranks",
    help="Number of ranks.",
)
@click.option("--coordinator", type=Whole(0), default=0, show_default=True, metavar="RANK", help="The rank that coordinates.")
@engine_option("filesystem")
@workload_option
@seed_option
@click.option("--retry/--no-retry", default=True, show_default=True, help="After a failure, have the ranks try again with the faults gone.")
@way_option
@planner_option
@onto_option
@async_save_options
@click.option("--disk", "watch_disk", is_flag=True, help="Record the calls below the storage (sites fs.*) even if no fault strikes there.")
@click.option("--network", "watch_network", is_flag=True, help="Record the requests to an object store (sites http.*) even if no fault strikes there.")
@world_option()
@register_option
def replay(register: Register, **options: Any) -> int:
    """Runs one case, and tells its story rank by rank.

    PLAN says what goes wrong, as a report prints it: SITE@RANKS=EFFECT, several faults joined by `;`, or '' for no fault. `ckpt-harness sites` and
    `ckpt-harness effects` print the choices.
    """
    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.faults.protocol import DCP

    way = find_call_style(options["way"])  # before torch is imported: a bad plan answers at once
    groups = way.groups(options["ranks"], options["coordinator"])
    FaultPlan.parse(options["plan"]).bind(options["ranks"], options["coordinator"], way.protocol(DCP, options["operation"]), groups)

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.report.console import console
    from ckpt_harness.report.story import story
    from ckpt_harness.report.summary import EXIT

    bound = case_of(options).bind()
    quiet()
    with Rig(register=register) as rig:
        rig.check_undisturbed(bound)
        result = rig.run(bound)
    story(console(), result)
    return EXIT[result.verdict]


def case_of(options: dict[str, Any]) -> Case:
    """The case that the options of ``replay`` describe.

    Args:
        options: name of each parameter of the command -> its value.
    """
    from ckpt_harness.cases.case import Case, usual_world
    from ckpt_harness.faults.plan import FaultPlan

    fields = {name: value for name, value in options.items() if name not in ("plan", "register")}
    fields["world"] = fields["world"] or usual_world(fields["engine"])
    return Case(plan=FaultPlan.parse(options["plan"]), **fields)


def case_of_line(words: list[str]) -> Case:
    """The case that a replay line describes.

    Args:
        words: what follows ``ckpt-harness replay``.
    """
    return case_of(replay.make_context("replay", words).params)
