"""The command line. Torch is imported only by the commands that run ranks, so that help and usage errors answer at once."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ckpt_harness import __version__
from ckpt_harness.disk.durability import LIMIT, MODELS
from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.faults.calling import EXECUTORS, OVERLAPS, STAGINGS, WAYS, way_of
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind
from ckpt_harness.worlds.launcher import Launch

if TYPE_CHECKING:
    from ckpt_harness.campaigns.sweep import Sweep
    from ckpt_harness.cases.case import Case, WorldName
    from ckpt_harness.cases.result import CaseResult
    from ckpt_harness.findings.register import Register


class _Commands(click.Group):
    """Turns the harness's own errors into usage errors: one line, exit status 2, never a traceback.

    Under a launcher, rank 0 does what the command says, and the other ranks serve it; all exit with its status.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if Launch.here() is None:
            return super().main(*args, **kwargs)

        from ckpt_harness.worlds.attached import together

        sys.exit(together(lambda: super(_Commands, self).main(*args, **kwargs)))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            raise click.UsageError(str(error), ctx) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="ckpt-harness")
def main() -> None:
    """Injects faults into distributed checkpointing, and judges what every rank saw and what is left on storage.

    Exit status: 0 every claim holds or its violation is known; 1 a claim is violated; 2 usage; 3 vacuous or unknown.
    """


class _Numbers(click.ParamType[tuple[int, ...]]):
    """Numbers joined by commas, such as ``2,3,4``."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is not a list of numbers such as 2,3,4", param, ctx)
        return tuple(int(part) for part in parts)


def _operations(ctx: click.Context, param: click.Parameter, value: str) -> tuple[OperationKind, ...]:
    names = tuple(part.strip() for part in value.split(","))
    for name in names:
        if name not in OPERATION_KINDS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(OPERATION_KINDS)}", ctx, param)
    return cast("tuple[OperationKind, ...]", names)


def _sizes(ctx: click.Context, param: click.Parameter, value: tuple[int, ...] | None) -> tuple[int, ...]:
    launch = Launch.here()
    if value is None:
        return (2, 3, 4) if launch is None else (launch.size,)
    for size in value:
        if not 1 <= size <= 1024:
            raise click.BadParameter(f"{size} ranks; valid: 1 to 1024", ctx, param)
    return value


def _coordinators(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...] | None:
    if value == "all":
        return None
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r}; valid: a rank, or all", ctx, param)
    return (int(value),)


def _registered(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Register:
    from ckpt_harness.findings.register import Register

    return Register.shipped() + Register.read(value) if value else Register.shipped()


_register_option = click.option(
    "--register",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=_registered,
    help="Known findings of your own, beside those that ship with the harness.",
)


def _writable(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and not os.access(value.parent, os.W_OK):
        raise click.BadParameter(f"{str(value)!r}: its directory does not exist, or cannot be written", ctx, param)
    return value


def _json_file(about: str) -> Callable[[Any], Any]:
    """The option for a file that is written besides."""
    path = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option("--json", "json_file", type=path, callback=_writable, help=about)


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, gone at the end; what it gives is told how many of how many are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_way = click.option(
    "--way", type=click.Choice(list(WAYS)), default="together", show_default=True, help="Way of calling: who does the operation with whom."
)
_workload = click.option("--workload", default="mixed", show_default=True, help="Name of a workload; mixed stands for the engine's own mixture.")
_planner = click.option("--planner", default="default", show_default=True, help="Kind of planner, of those that the engine has.")


def _in_background(command: Any) -> Any:
    """The options of async saves."""
    for name, choices, about in (
        ("overlap", OVERLAPS, "A second async save under way at the same time, in the same group or in one of its own."),
        ("staging", tuple(STAGINGS), "What copies the state of an async save."),
        ("executor", EXECUTORS, "What an async save is done by."),
    ):
        command = click.option(f"--{name}", type=click.Choice(choices), default=choices[0], show_default=True, help=about)(command)
    return command


_onto = click.option(
    "--onto", type=click.Choice(["nothing", "checkpoint"]), default="nothing", show_default=True, help="What a save finds at its place, and overwrites."
)


def _settled(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value == "attached":
        Launch.needed()
    return value or (None if Launch.here() is None else "attached")


_world = click.option(
    "--world",
    type=click.Choice(["simulated", "processes", "attached"]),
    callback=_settled,
    help="What runs the ranks. Default: simulated, or processes where the engine starts some; under a launcher such as torchrun, attached to its ranks.",
)


@main.command()
@click.option("--ranks", "sizes", type=_Numbers(), callback=_sizes, help="Sizes of world. Default: 2,3,4; under a launcher, its own.")
@click.option("--coordinator", "coordinators", default="0", show_default=True, callback=_coordinators, help="The rank that coordinates, or all.")
@click.option("--op", "operations", default="save,load", show_default=True, callback=_operations, help="Operations.")
@click.option("--engine", default="filesystem", show_default=True, help="Name of an engine, or module:object.")
@_workload
@click.option("--disk", is_flag=True, help="Fail every call below the storage (fs.*), instead of those at and above it.")
@click.option("--network", is_flag=True, help="Fail every request to an object store (http.*), likewise.")
@click.option("--zoo", type=click.Choice(["sample", "full"]), default="sample", show_default=True, help="Special errors at a sample of cells, or at all.")
@click.option("--pairs", is_flag=True, help="All pairs of plain errors, instead of single faults.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which ranks run.")
@_way
@_planner
@_onto
@_in_background
@click.option(
    "--world",
    type=click.Choice(["simulated", "processes", "attached", "both"]),
    callback=_settled,
    help="What runs the ranks. Default: simulated, or processes where the engine starts some; under a launcher such as torchrun, attached to its ranks. "
    "Both: each case that simulated ranks can run, on them and on processes, compared.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes to spread the cases over. Default: all processors; half of them where ranks are processes.")
@_json_file("Write one JSON line a case.")
@_register_option
def sweep(
    sizes: tuple[int, ...],
    coordinators: tuple[int, ...] | None,
    operations: tuple[OperationKind, ...],
    engine: str,
    workload: str,
    zoo: str,
    pairs: bool,
    seed: int,
    world: str | None,
    jobs: int | None,
    json_file: Path | None,
    register: Register,
    **settings: Any,
) -> None:
    """Fails every cell of the fault space of real checkpoint operations on simulated or real ranks, and prints who learned what."""
    from ckpt_harness.campaigns.sweep import Sweep
    from ckpt_harness.cases.case import usual_world

    world = world or usual_world(engine)
    real = cast("WorldName", "processes" if world == "both" else world)
    wanted = Sweep(operations, sizes, coordinators, engine, workload, seed, cast(Any, zoo), pairs, real, **settings)
    for ground in wanted.grounds():
        ground.bind()
    if world == "attached" and jobs not in (None, 1):
        raise UsageError(f"--jobs {jobs}: the launcher's ranks run one case at a time; valid: 1")
    chosen = jobs or {"simulated": _processors(), "attached": 1}.get(world, max(1, _processors() // 2))
    sys.exit(_sweep(wanted, chosen, json_file, register, compared=world == "both"))


def _sweep(wanted: Sweep, jobs: int, json_file: Path | None, register: Register, *, compared: bool) -> int:
    from rich.console import Console

    from ckpt_harness.campaigns.compare_worlds import differences, simulated_twins
    from ckpt_harness.campaigns.sweep import plan_sweep, run_all
    from ckpt_harness.campaigns.workers import quiet, stay_on_one_processor
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.report.summary import Summary
    from ckpt_harness.report.terminal import disagreements, say, show

    quiet()
    if jobs == 1 and wanted.world != "attached":  # where rank 0 is one of several processes of this host
        stay_on_one_processor(0)
    started = time.perf_counter()
    console = Console(highlight=False)
    console.print(f"ckpt-harness {__version__}, torch {_version('torch')}, engine {wanted.engine}, seed {wanted.seed}")
    with Rig(register=register) as rig:
        cases, coverage = plan_sweep(wanted, rig)
        cases += simulated_twins(cases) if compared else []
        summary = Summary(register, coverage)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(json_file.open("w", encoding="utf-8")) if json_file else None
        progress = stack.enter_context(_bar("failing every cell"))
        for done, record in enumerate(run_all(cases, jobs, register), 1):
            summary.add(record)
            if lines:
                lines.write(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
            progress(done, len(cases))
    show(console, summary, tuple(dict.fromkeys(ground.operation for ground in wanted.grounds())), time.perf_counter() - started)
    elsewhere = sum(case.world != wanted.world for case in cases)
    if elsewhere and not compared:
        console.print(f"{elsewhere} of {len(cases)} cases end a rank, which a launcher would not survive: they ran on simulated ranks of rank 0")
    if not compared:
        return summary.exit_status()
    ran_in_both, found = differences(summary.records)
    say(console, disagreements(ran_in_both, found))
    return 1 if found else summary.exit_status()


def _version(distribution: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(distribution)


@main.command()
@click.argument("plan")
@click.option("--op", "operation", type=click.Choice(OPERATION_KINDS), default="save", show_default=True, help="Operation.")
@click.option(
    "--ranks",
    type=click.IntRange(1, 1024),
    default=lambda: getattr(Launch.here(), "size", 2),
    show_default="2; under a launcher, its own",
    help="Size of the world.",
)
@click.option("--coordinator", type=click.IntRange(0), default=0, show_default=True, help="The rank that coordinates.")
@click.option("--engine", default="filesystem", show_default=True, help="Name of an engine, or module:object.")
@_workload
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which ranks run.")
@click.option("--retry/--no-retry", default=True, help="Let the ranks try again, healed.")
@_way
@_planner
@_onto
@_in_background
@_world
@_register_option
def replay(register: Register, **options: Any) -> None:
    """Runs one case again and tells its story, rank by rank. PLAN is as a report prints it."""
    from rich.console import Console

    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.faults.protocol import DCP

    way = way_of(options["way"])  # before torch is imported: a bad plan answers at once
    groups = way.groups(options["ranks"], options["coordinator"])
    FaultPlan.parse(options["plan"]).bind(options["ranks"], options["coordinator"], way.protocol(DCP, options["operation"]), groups)

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.report.story import story
    from ckpt_harness.report.summary import EXIT

    case = case_of(options)
    case.bind()
    quiet()
    with Rig(register=register) as rig:
        result = rig.run(case)
    story(Console(highlight=False), result)
    sys.exit(EXIT[result.verdict])


def case_of(options: dict[str, Any]) -> Case:
    """The case that the options of `replay` mean."""
    from ckpt_harness.cases.case import Case, usual_world
    from ckpt_harness.faults.plan import FaultPlan

    said = {name: value for name, value in options.items() if name not in ("plan", "register")}
    return Case(plan=FaultPlan.parse(options["plan"]), **said | {"world": said["world"] or usual_world(said["engine"])})


@main.command(params=replay.params)
def export(register: Register, **options: Any) -> None:
    """Writes a stand-alone script that shows the same as `replay` with the same options: plain torch, real processes, at most 60 lines."""
    from ckpt_harness.faults.plan import FaultPlan

    FaultPlan.parse(options["plan"]).bind(options["ranks"], options["coordinator"])

    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.export.script import check
    from ckpt_harness.export.script import export as written

    case = case_of(options).settled()
    check(case)
    quiet()
    click.echo(written(case, register), nl=False)


@main.command()
@click.option("--ranks", type=click.IntRange(1, 64), default=2, show_default=True, help="How many ranks save, and load what is left.")
@click.option("--overwrite", is_flag=True, help="Save onto a committed checkpoint, instead of into a fresh directory.")
@click.option("--model", type=click.Choice(MODELS), default="posix", show_default=True, help="What survives; see docs/CRASHES.md.")
@click.option("--engine", default="filesystem-synced", show_default=True, help="Name of an engine, or module:object.")
@click.option("--workload", default="mixed", show_default=True, help="Name of a workload.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which ranks run, and of samples.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True, help="States to look at for each point; where there are more, a sample.")
@click.option("--jobs", type=click.IntRange(1), help="Processes to spread the states over. Default: all processors.")
@_json_file("Write what was found as JSON.")
@_register_option
def crash(model: str, limit: int, jobs: int | None, json_file: Path | None, register: Register, **scene: Any) -> None:
    """Loads every state that a crash during a save may leave on storage, and prints for each point what a reader gets."""
    from rich.console import Console

    from ckpt_harness.campaigns.crashes import Scene, crashes
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.report.crashes import as_json, show_crashes

    wanted = Scene(**scene)
    wanted.check()
    quiet()
    started = time.perf_counter()
    with _bar("loading every state") as progress:
        found = crashes(wanted, cast(Any, model), limit=limit, jobs=jobs or _processors(), progress=progress)
    known = found.known(register)
    if json_file:
        json_file.write_text(json.dumps(as_json(found, known), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    console.print(f"ckpt-harness {__version__}, torch {_version('torch')}, engine {wanted.engine}, seed {wanted.seed}")
    sys.exit(show_crashes(console, found, known, time.perf_counter() - started))


@main.command(name="track-record")
@click.option("--write", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE", help="Write the page, instead of printing it.")
def track_record(write: Path | None) -> None:
    """Runs the line of every public report that is known, and says what came of it, as a Markdown page."""
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.report.track_record import render, reports, shown

    quiet()
    with Rig() as rig, _bar("running every report") as progress:

        def run(words: list[str]) -> CaseResult:
            return rig.run(case_of(replay.make_context("replay", words).params))

        listed = reports()
        found = []
        for number, report in enumerate(listed, 1):
            found.append((report, shown(report, run)))
            progress(number, len(listed))
    page = render(found)
    if write:
        write.write_text(page, encoding="utf-8")
    else:
        click.echo(page, nl=False)


@main.command()
@click.option("--engine", default="filesystem", show_default=True, help="Name of an engine, or module:object.")
@click.option("--ranks", type=click.IntRange(1, 64), default=2, show_default=True, help="How many ranks save, and load.")
def damage(engine: str, ranks: int) -> None:
    """Damages each file of a checkpoint in turn, and prints what a reader gets."""
    from rich.console import Console

    from ckpt_harness.campaigns.damage import damages
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.report.damages import show_damages

    quiet()
    sys.exit(show_damages(Console(highlight=False), damages(engine, ranks)))


@main.command()
@click.argument("reports", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--write", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE", help="Make a Markdown page of REPORTS.")
def engines(reports: tuple[Path, ...], write: Path | None) -> None:
    """Prints the engines that have a name, with what they claim and whether they can run here.

    With --write, makes a page of what `check --json` found: every oracle on every engine.
    """
    if bool(reports) != bool(write):
        raise UsageError("a page is made of reports: engines --write FILE REPORT..., where `ckpt-harness check NAME --json REPORT` wrote each")
    if write:
        from ckpt_harness.report.engines import render

        write.write_text(render([json.loads(report.read_text("utf-8")) for report in reports]), encoding="utf-8")
        return

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from ckpt_harness.engines.names import BUILT_IN, THIRD_PARTY, find_engine, named

    table = Table(Column("engine", no_wrap=True), "what it is, and what it claims", box=None, header_style="bold")
    for name, target in named().items():
        source = "" if name in BUILT_IN else f" ({THIRD_PARTY[name].package if name in THIRD_PARTY else target})"
        try:
            engine = find_engine(name)
        except UsageError as error:
            why = str(error).partition("; engines:")[0].removeprefix(f"engine {name!r} ")
            table.add_row(name, escape(f"cannot run here: {why}"))
        else:
            claims = ", ".join(sorted(one.value for one in engine.capabilities))
            table.add_row(name, f"{escape(engine.about + source)}\n[dim]claims {claims}[/dim]")
    Console(highlight=False).print(table)


@main.command()
@click.argument("engine")
@click.option("--ranks", "sizes", type=_Numbers(), default="2", show_default=True, help="Sizes of world.")
@click.option("--jobs", type=click.IntRange(1), help="Processes to spread the states after crashes over. Default: all processors.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Try one in so many faults and crash states, for a slow storage.")
@_json_file("Write what was found as JSON.")
@_register_option
def check(engine: str, sizes: tuple[int, ...], jobs: int | None, every: int, json_file: Path | None, register: Register) -> None:
    """Tries everything on an ENGINE: a name, module:object or file.py:object. Says what is wrong, and which of its capabilities hold."""
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.conformance.check import check_engine

    quiet()
    with _bar("trying everything") as progress:
        report = check_engine(engine, ranks=sizes, register=register, every=every, jobs=jobs or _processors(), progress=progress)
    if json_file:
        json_file.write_text(json.dumps(report.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    click.echo(str(report))
    sys.exit(0 if report.ok else 1)


@main.command()
def sites() -> None:
    """Prints the table of sites."""
    from rich.console import Console
    from rich.table import Column, Table

    from ckpt_harness.faults.sites import SITES

    table = Table(Column("site", no_wrap=True), "phase", "in", "called by", "guarded", "what it is", box=None, header_style="bold")
    for site in SITES.values():
        table.add_row(site.name, site.phase, ", ".join(site.operations), site.callers, "yes" if site.guarded else "no", site.about)
    Console(highlight=False).print(table)


@main.command()
def effects() -> None:
    """Prints the effects, and the errors that can be raised."""
    from rich.console import Console
    from rich.table import Column, Table

    from ckpt_harness.faults.effects import EFFECTS
    from ckpt_harness.faults.error_specs import ZOO
    from ckpt_harness.faults.sites import SITES

    console = Console(highlight=False)
    table = Table(Column("effect", no_wrap=True), "what goes wrong", "!after", "legal at", box=None, header_style="bold")
    for name, kind in EFFECTS.items():
        legal = [site.name for site in SITES.values() if kind.legal_at(site)]
        where = "all sites" if len(legal) == len(SITES) else f"{len(legal)} of {len(SITES)} sites" if len(legal) > 4 else ", ".join(legal)
        table.add_row(name, kind.about, "yes" if kind.can_be_after else "no", where)
    console.print(table, "")
    errors = Table(Column("error", no_wrap=True), "special in that it is", box=None, header_style="bold")
    errors.add_row("ValueError, ...", "any builtin exception that takes a message")
    errors.add_row("OSError:ENOSPC", "an OSError with an errno")
    errors.add_row("mypackage.errors.SlowDown", "a class of yours")
    for name, (about, _) in ZOO.items():
        errors.add_row(name, about)
    console.print(errors)


@main.command()
@_register_option
@click.option("--write", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE", help="Write the whole register as a Markdown page.")
def findings(register: Register, write: Path | None) -> None:
    """Prints the known findings: what is expected to be violated, so that a run fails on what is new only."""
    if write:
        from ckpt_harness.findings.page import render

        write.write_text(render(register), encoding="utf-8")
        return

    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("id", no_wrap=True), "finding", "in", Column("torch", no_wrap=True), box=None, header_style="bold")
    for entry in register.entries:
        table.add_row(entry.id, entry.title, ", ".join(entry.operations), ", ".join(entry.versions))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
