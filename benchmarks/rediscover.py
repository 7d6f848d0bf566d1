"""Does a search find again, by itself, what is known? Fuzzes jobs from nothing, and shrinks the first job that shows each finding of the register.

Run by itself: ``python benchmarks/rediscover.py --minutes 10 --jobs 2``. Exits with 1 if a finding that takes more than one operation was missed, or took more
than four operations. The register only gives what was found its name; the search does not know it.
"""

from __future__ import annotations

import secrets
import sys

import click
from rich.console import Console
from rich.table import Table

from ckpt_harness.campaigns.fuzz.found import Found
from ckpt_harness.campaigns.fuzz.running import RunJobs
from ckpt_harness.campaigns.fuzz.search import Limits, Search, Tally
from ckpt_harness.campaigns.pools.local import LocalPool
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.findings.entry import Entry
from ckpt_harness.findings.register import Register
from ckpt_harness.strategies.job_menu import JobMenu, usual_ways, usual_workloads

MOST = 4
"""Operations that the shrunk job of a finding may have."""


def takes_several(entry: Entry) -> bool:
    """Whether a finding shows in no single operation on nothing: it needs a checkpoint before it, another save beside it, or a second try."""
    if "filesystem" not in entry.engines and "*" not in entry.engines:
        return False
    only_crashes = bool(entry.crashes) and not entry.signatures
    by_process = all(pattern.startswith("process") for pattern in entry.background)
    beside = all(pattern.endswith(("shared", "separate", "gone-on")) for pattern in entry.background)
    onto = bool(entry.calls) and all(call.endswith("onto a checkpoint") for call in entry.calls)
    several = beside or onto or entry.another_coordinator or entry.oracles == ("recovery",)
    return several and not only_crashes and not by_process


@click.command()
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--jobs", type=int, default=2, show_default=True)
@click.option("--seed", type=int, default=None, help="Default: another one each time; it is printed.")
def main(minutes: float, jobs: int, seed: int | None) -> None:
    """Prints which findings were found again, with how many operations, and which were missed."""
    quiet()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    print(f"seed {seed}, {minutes:g} minutes, {jobs} processes")
    ranks = (2, 3, 1)
    menu = JobMenu(ranks=ranks, workloads=usual_workloads("filesystem"), ways=usual_ways(ranks), max_operations=12, max_faults=3)
    search = Search(menu, seed, Limits(seconds=60 * minutes), shrinks_known=True)
    first: dict[str, float] = {}

    def note(tally: Tally, found: Found) -> None:
        for name in found.known:
            first.setdefault(name, tally.seconds)

    search.run(RunJobs(), LocalPool(jobs), note)
    register = Register.shipped()
    missed = _print(search.found, [entry for entry in register.entries if takes_several(entry)], first)
    print(f"{search.tally.drawn} jobs with {search.tally.operations} operations; {len(search.found.failures)} ways to fail that no finding describes")
    for failure in search.found.failures:
        print(f"    {', '.join(failure.record.claims)}: {failure.record.replay_line()}")
    sys.exit(1 if missed else 0)


def _print(found: Found, wanted: list[Entry], first: dict[str, float]) -> list[str]:
    """Prints the table. Returns the findings that were missed, or whose job is too long."""
    table = Table("finding", "found after", "jobs that show it", "operations", "shrunk job", title="findings that take more than one operation")
    missed = []
    for entry in wanted:
        job = found.known.get(entry.id)
        if job is None:
            missed.append(entry.id)
            table.add_row(entry.id, "missed", "", "", "")
            continue
        if len(job.operations) > MOST:
            missed.append(entry.id)
        line = job.replay_line().removeprefix("ckpt-harness ")
        table.add_row(entry.id, f"{first[entry.id]:.0f} s", str(found.shown[entry.id]), str(len(job.operations)), line)
    Console(width=200).print(table)
    return missed


if __name__ == "__main__":
    main()
