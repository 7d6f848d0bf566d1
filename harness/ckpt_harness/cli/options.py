"""Options that several commands share, with the checks of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ckpt_harness.errors import quoted, unknown
from ckpt_harness.faults.calling import CALL_STYLES, EXECUTORS, OVERLAPS, STAGINGS
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind
from ckpt_harness.worlds.launcher import Launch

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register

MOST_RANKS = 1024
"""The largest world that the commands accept."""

_Command = TypeVar("_Command", bound=Callable[..., Any])
Decorator = Callable[[_Command], _Command]


def example(line: str) -> str:
    """The example that ends the help of a command, as click keeps it on one line.

    Args:
        line: what follows ``ckpt-harness``.
    """
    return f"\b\nExample: ckpt-harness {line}"


# -- kinds of values


class Numbers(click.ParamType[tuple[int, ...]]):
    """Numbers joined by commas, such as ``2,3,4``."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(_DIGITS.fullmatch(part) for part in parts):
            self.fail(f"{quoted(value)} is not a list of numbers such as 2,3,4", param, ctx)
        numbers = tuple(int(part) for part in parts)
        _once(numbers, param, ctx)
        return numbers


class Whole(click.IntRange):
    """A whole number in ASCII digits. Python also reads digits of other scripts, and underscores, which a replay line should not hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not _DIGITS.fullmatch(value.strip().removeprefix("-")):
            self.fail(f"{quoted(value)} is not a valid integer", param, ctx)
        return super().convert(value, param, ctx)


_DIGITS = re.compile("[0-9]{1,18}")


def _once(values: Sequence[object], param: click.Parameter | None, ctx: click.Context | None) -> None:
    """Refuses a list that names a value twice: the same cases would run twice."""
    for value in values if len(set(values)) < len(values) else ():
        if values.count(value) > 1:
            raise click.BadParameter(f"{value} is given {values.count(value)} times; valid: each once", ctx, param)


def operations(ctx: click.Context, param: click.Parameter, value: str) -> tuple[OperationKind, ...]:
    """Reads kinds of operation that are joined by commas."""
    names = tuple(part.strip() for part in value.split(","))
    for name in names:
        if name not in OPERATION_KINDS:
            raise click.BadParameter(unknown("operation", name, OPERATION_KINDS), ctx, param)
    _once(names, param, ctx)
    return cast("tuple[OperationKind, ...]", names)


def world_sizes(ctx: click.Context, param: click.Parameter, value: tuple[int, ...] | None) -> tuple[int, ...]:
    """Checks numbers of ranks. Under a launcher, the default is the number of ranks that it started."""
    launch = Launch.here()
    if value is None:
        return (2, 3, 4) if launch is None else (launch.size,)
    for size in value:
        if not 1 <= size <= MOST_RANKS:
            raise click.BadParameter(f"{size} ranks; valid: 1 to {MOST_RANKS}", ctx, param)
    return value


def coordinators(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...] | None:
    """Reads the rank that coordinates; None stands for all ranks in turn."""
    if value == "all":
        return None
    if not _DIGITS.fullmatch(value):
        raise click.BadParameter(f"{quoted(value)}; valid: a rank, or all", ctx, param)
    return (int(value),)


def _settled_world(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value == "attached":
        Launch.needed()
    return value or (None if Launch.here() is None else "attached")


def _registered(_ctx: click.Context, _param: click.Parameter, value: tuple[Path, ...]) -> Register:
    from ckpt_harness.findings.register import Register

    register = Register.shipped()
    for file in value:
        register += Register.read(file)
    return register


def writable(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuses a file that cannot be written, before anything runs: a check takes minutes."""
    if value is None or (value.exists() and not value.is_file()):  # a pipe or a device is not opened before its time
        if value is not None and value.is_dir():
            raise click.BadParameter(f"{quoted(str(value))} is a directory; valid: a file", ctx, param)
        return value
    is_new = not value.exists()
    try:
        with value.open("ab"):
            pass
        if is_new:
            value.unlink()
    except OSError as error:
        raise click.BadParameter(f"{quoted(str(value))} cannot be written: {error.strerror}", ctx, param) from error
    return value


# -- options


def engine_option(default: str) -> Decorator[Any]:
    """The engine under test.

    Args:
        default: name of the engine that the command takes where none is given.
    """
    about = "Engine under test: a name that `ckpt-harness engines` prints, module:object, or file.py:object."
    return click.option("--engine", default=default, show_default=True, metavar="NAME", help=about)


manager_option = click.option(
    "--manager",
    default="",
    metavar="NAME",
    help="What keeps the checkpoints, and is called in place of the engine: `plain`, module:Class, or file.py:Class. Places are steps then: 'save 8'.",
)

workload_option = click.option(
    "--workload",
    default="mixed",
    show_default=True,
    metavar="NAME",
    help="State that is saved. `mixed` stands for the mixture that the engine prefers.",
)
seed_option = click.option("--seed", type=Whole(), default=0, show_default=True, help="Seed of the order in which simulated ranks run.")
way_option = click.option(
    "--way",
    type=click.Choice(list(CALL_STYLES)),
    default="together",
    show_default=True,
    help="How ranks are grouped for the call: one group, sub-groups, or no collectives.",
)
planner_option = click.option(
    "--planner", default="default", show_default=True, metavar="NAME", help="Kind of planner, of the kinds that the engine has."
)
onto_option = click.option(
    "--onto",
    type=click.Choice(["nothing", "checkpoint"]),
    default="nothing",
    show_default=True,
    help="What a save finds at its place, nothing or a committed checkpoint that it overwrites. For a load: what the save found that made its checkpoint.",
)
register_option = click.option(
    "--register",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    multiple=True,
    callback=_registered,
    help="Your own register of known findings (TOML), used beside the findings that ship with the harness. May be given several times.",
)

_WORLD_DEFAULT = "Default: simulated, or processes for an engine that starts processes; under a launcher such as torchrun, attached to its ranks."


def world_option(*, both: bool = False) -> Decorator[Any]:
    """What runs the ranks.

    Args:
        both: whether the command can run each case in two worlds and compare them.
    """
    about = f"What runs the ranks. {_WORLD_DEFAULT}"
    names = ["simulated", "processes", "attached"]
    if both:
        names.append("both")
        about += " Both: each case that simulated ranks can run, on simulated ranks and on processes, compared."
    return click.option("--world", type=click.Choice(names), callback=_settled_world, help=about)


def async_save_options(command: _Command) -> _Command:
    """The options that only async saves have."""
    for name, valid, about in (
        ("overlap", OVERLAPS, "Second async save at the same time: none, in the same group, or in a group of its own."),
        ("staging", tuple(STAGINGS), "What copies the state of an async save."),
        ("executor", EXECUTORS, "What runs an async save in the background."),
    ):
        command = click.option(f"--{name}", type=click.Choice(valid), default=valid[0], show_default=True, help=about)(command)
    return command


def json_option(about: str) -> Decorator[Any]:
    """The option for a file that is written beside the report.

    Args:
        about: what the file holds.
    """
    path = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option("--json", "json_file", type=path, callback=writable, metavar="FILE", help=about)


def page_option(about: str) -> Decorator[Any]:
    """The option for a Markdown page that is written instead of a report.

    Args:
        about: what the page holds.
    """
    path = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option("--write", type=path, callback=writable, metavar="FILE", help=about)


class Scheduler(click.ParamType[str]):
    """The address of a Dask scheduler, such as ``dask://node0:8786``."""

    name = "dask://HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _SCHEDULER.fullmatch(str(value)):
            self.fail(f"{quoted(value)} names no cluster; valid: dask://HOST:PORT, the address of a Dask scheduler", param, ctx)
        return str(value)


_SCHEDULER = re.compile(r"dask://[^/\s]+:[0-9]{1,5}")

on_option = click.option(
    "--on",
    type=Scheduler(),
    help="Share the work among the workers of a Dask cluster, instead of processes of this machine. Needs ckpt-harness[dask].",
)


def jobs_option(about: str) -> Decorator[Any]:
    """The number of processes that share the work.

    Args:
        about: what is shared, and the default.
    """
    return click.option("--jobs", type=Whole(1), metavar="N", help=about)
