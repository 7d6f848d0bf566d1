"""``ckpt-harness fuzz``: searches the life of jobs for sequences of operations and faults that break a claim."""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ckpt_harness.cli.console import INTERRUPTED, Command, header, note, processors, status
from ckpt_harness.cli.files import whole_lines
from ckpt_harness.cli.options import (
    Numbers,
    Whole,
    example,
    jobs_option,
    json_option,
    manager_option,
    on_option,
    register_option,
    world_option,
)
from ckpt_harness.cli.pools import chosen_pool
from ckpt_harness.faults.calling import CALL_STYLES

if TYPE_CHECKING:
    from ckpt_harness.campaigns.fuzz.work import Result
    from ckpt_harness.findings.register import Register
    from ckpt_harness.strategies.job_menu import JobMenu


@click.command(cls=Command, short_help="Searches jobs of many operations for broken claims.", epilog=example("fuzz --minutes 10 --corpus corpus"))
@click.option("--minutes", type=click.FloatRange(0, min_open=True), metavar="M", help="End after so many minutes. Default: at Ctrl-C.")
@click.option("--examples", type=Whole(1), metavar="N", help="End after so many jobs.")
@click.option("--seed", type=Whole(0), metavar="S", help="Seed of the sequence of jobs. Default: another one each time; the report begins with it.")
@click.option("--ranks", type=Numbers(), default="2,3,1", show_default=True, help="Numbers of ranks, the usual one first.")
@click.option(
    "--engine",
    "engines",
    default=("filesystem",),
    multiple=True,
    show_default=True,
    metavar="NAME",
    help="Engine under test. Given several times, jobs begin with the first, and restarts move to the others.",
)
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="State that is saved. May be given several times. Default: all that suit.")
@click.option("--way", "ways", type=click.Choice(list(CALL_STYLES)), multiple=True, help="How ranks are grouped. May be given several times. Default: all.")
@click.option("--operations", "max_operations", type=Whole(1), default=12, show_default=True, metavar="N", help="The most operations of a job.")
@click.option("--faults", "max_faults", type=Whole(0), default=3, show_default=True, metavar="N", help="The most faults of a job.")
@click.option(
    "--corpus",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory with a file for each job that failed. They are run first; those that hold now are moved to DIR/healed.",
)
@click.option("--shrink-known", is_flag=True, help="Shrink the first job that shows a known finding, too.")
@manager_option
@world_option()
@on_option
@jobs_option("Processes that share the jobs. Default: all processors; half of them where ranks are processes.")
@json_option("Write one JSON line for each job that runs, and for each that was shrunk.")
@register_option
def fuzz(
    minutes: float | None,
    examples: int | None,
    seed: int | None,
    corpus: Path | None,
    shrink_known: bool,
    jobs: int | None,
    on: str | None,
    json_file: Path | None,
    register: Register,
    **settings: Any,
) -> int:
    """Draws jobs: sequences of saves, loads, restarts and more, with faults. Runs them, and judges what each operation owes after those before it.

    What fails is shrunk to a short program, and printed with the line that replays it. Goes on until Ctrl-C, or as long as --minutes or --examples say.
    """
    from ckpt_harness.campaigns.fuzz.corpus import Corpus
    from ckpt_harness.campaigns.fuzz.running import RunJobs
    from ckpt_harness.campaigns.fuzz.search import Limits, Search
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.report.console import console, say
    from ckpt_harness.report.fuzz import progress_text, show_fuzz

    menu = _menu(**settings)
    menu.check()
    kept = None if corpus is None else Corpus(corpus)
    quiet()
    pool, where = chosen_pool(on, jobs, processors() if menu.world == "simulated" else max(1, processors() // 2), menu.engines[0], menu.manager)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    screen = console()
    say(screen, [header(", ".join(menu.engines), seed), *where])
    search = Search(menu, seed, Limits(None if minutes is None else 60 * minutes, examples), kept, shrinks_known=shrink_known)
    interrupted = False
    try:
        with status() as show, whole_lines(json_file) if json_file else contextlib.nullcontext(lambda line: None) as write:

            def note_result(result: Result) -> None:
                write(json.dumps(result.to_json(), ensure_ascii=False))

            search.run(RunJobs(register), pool, lambda tally, found: show(lambda: progress_text(tally, found)), note_result)
    except KeyboardInterrupt:
        interrupted = True
    exit_status = show_fuzz(screen, search, register, [] if kept is None else kept.unreadable)
    if interrupted:
        note(f"Interrupted after {search.tally.drawn} jobs.")
        return INTERRUPTED
    return exit_status


def _menu(
    *,
    ranks: tuple[int, ...],
    engines: tuple[str, ...],
    workloads: tuple[str, ...],
    ways: tuple[str, ...],
    max_operations: int,
    max_faults: int,
    world: str | None,
    manager: str,
) -> JobMenu:
    """What the options ask for."""
    from ckpt_harness.cases.case import usual_world
    from ckpt_harness.strategies.job_menu import JobMenu, usual_ways, usual_workloads

    return JobMenu(
        ranks=ranks,
        engines=engines,
        workloads=workloads or usual_workloads(engines[0]),
        ways=ways or (("together",) if manager else usual_ways(ranks)),
        max_operations=max_operations,
        max_faults=max_faults,
        world=world or usual_world(engines[0]),  # type: ignore[arg-type]  # one of the choices
        manager=manager,
    )
