"""``ckpt-harness drill``: kills the user's own training command at every point of its life, starts it again, and judges what comes of it."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ckpt_harness import __version__
from ckpt_harness.cli.console import INTERRUPTED, Command, note, progress_of
from ckpt_harness.cli.files import whole_lines
from ckpt_harness.cli.options import Whole, json_option
from ckpt_harness.drill.settings import EFFECTS, USUAL, Settings
from ckpt_harness.errors import quoted

if TYPE_CHECKING:
    from ckpt_harness.drill.launchers.base import Launcher

_EPILOG = "\b\nExample: ckpt-harness drill --state ckpt -- torchrun train.py --dir ckpt"


def _effects(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(","))


def _split(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise click.BadParameter(f"{quoted(value)} is no command: {error}", ctx, param) from error
    if not words:
        raise click.BadParameter("the command is empty", ctx, param)
    return words


@click.command(cls=Command, short_help="Kills your training at every point, and starts it again.", epilog=_EPILOG)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--state", required=True, metavar="DIR", help="Directory of the checkpoints, as the command or the environment names it. Never touched.")
@click.option("--result", metavar="PATH", help="File or directory that the command writes in the end. Default: the last checkpoint is compared.")
@click.option("--tolerance", type=click.FloatRange(0), default=0.0, show_default=True, help="How far numbers of the result may differ, relative.")
@click.option(
    "--effects", default=",".join(USUAL), show_default=True, metavar="LIST", callback=_effects, help=f"What happens at a point: {', '.join(EFFECTS)}."
)
@click.option("--points", type=click.Choice(["distinct", "all"]), default="distinct", show_default=True, help="Whether equal points are tried once.")
@click.option("--every", type=Whole(1), default=1, show_default=True, help="Try every N-th point only.")
@click.option("--sample", type=Whole(1), metavar="N", help="Try at most N points, drawn with --seed.")
@click.option("--seed", type=Whole(), default=0, show_default=True, help="Seed of the sample.")
@click.option("--only", metavar="GLOB", help="Try points of this name or pattern.")
@click.option("--restarts", type=Whole(1, 100), default=3, show_default=True, help="How often the command is started again at most.")
@click.option("--restart-with", metavar="COMMAND", callback=_split, help="Another command for these starts, for example with another number of ranks.")
@click.option("--grace", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds that the job has to end after a death or SIGTERM.")
@click.option("--patience", type=click.FloatRange(1), default=10.0, show_default=True, help="A start may take so many times the undisturbed run.")
@click.option("--whole", metavar="COMMAND", callback=_split, help="Says with status 0 that its last argument is a whole checkpoint. Default: DCP's.")
@click.option("--work", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where to make the copies. Default: the temporary directory.")
@click.option(
    "--launcher",
    type=click.Choice(["forked", "real"]),
    default="forked",
    show_default=True,
    help="forked: ranks of torchrun are forked from a process that has torch imported. real: the command as it is. Other commands are always real.",
)
@json_option("Write a JSON line for each try.")
def drill(
    words: tuple[str, ...],
    state: str,
    points: str,
    whole: list[str] | None,
    launcher: str,
    json_file: Path | None,
    **options: Any,
) -> int:
    """Kills your training command at every point of its life, starts it again, and judges what comes of it.

    The command runs unchanged, on copies of --state. A point is a call of DCP's storage, or an operation on a file below --state. Judged are: the
    command started again ends well; it goes on from the newest whole checkpoint; its result is that of the undisturbed run; a whole checkpoint is
    there at every moment; survivors of a death end; a failed save is noticed; all ranks decide alike.
    """
    from ckpt_harness.drill.checkpoints import command_says
    from ckpt_harness.report.console import console, say

    settings = Settings(
        words=words,
        state=state,
        every_equal=points == "all",
        whole=None if whole is None else command_says(whole),
        **options,
    )
    repeated = _repeated(click.get_current_context())
    screen = console()
    say(screen, [f"ckpt-harness {__version__}, drill, works on copies of {state}: {shlex.join(words)}"])
    return _run(settings, launcher, repeated, json_file, screen)


def _run(settings: Settings, launcher: str, repeated: list[str], json_file: Path | None, screen: Any) -> int:
    from ckpt_harness.drill.campaign import Drill
    from ckpt_harness.drill.launchers.forked import ChoosingLauncher
    from ckpt_harness.drill.launchers.real import RealLauncher
    from ckpt_harness.drill.starting import workshop
    from ckpt_harness.report.drill import as_json, show_drill

    began = time.perf_counter()
    interrupted = False
    starts: Launcher = RealLauncher() if launcher == "real" else ChoosingLauncher()
    with workshop(settings.work) as root, contextlib.closing(starts), _lines(json_file) as write, progress_of("drilling") as progress:
        campaign = Drill(settings, starts, root)
        drilled = campaign.begin()
        try:
            for outcome in campaign.run(drilled, progress):
                write(json.dumps(as_json(outcome, settings, repeated), ensure_ascii=False))
        except KeyboardInterrupt:
            interrupted = True
    status = show_drill(screen, drilled, settings, repeated, time.perf_counter() - began)
    if interrupted:
        note("Interrupted: the summary is about the tries that were made.")
        return INTERRUPTED
    return status


@contextlib.contextmanager
def _lines(file: Path | None) -> Iterator[Callable[[str], None]]:
    if file is None:
        yield lambda _: None
        return
    with whole_lines(file) as write:
        yield write


_NOT_REPEATED = {"words", "effects", "only", "points", "every", "sample", "seed", "json_file", "work"}
"""Parameters that a line which shows one point again does not repeat."""


def _repeated(context: click.Context) -> list[str]:
    """The options that were given, as words of a command line."""
    given = []
    for parameter in context.command.params:
        name = parameter.name
        value = context.params.get(name) if name else None
        if name is None or name in _NOT_REPEATED or value is None or value == parameter.get_default(context):
            continue
        given += [parameter.opts[0], shlex.join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)]
    return given
