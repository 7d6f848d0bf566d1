"""Runs a sweep with another checkout of the harness and with this one, in turn: how long does each take, and do all cases show the same?

    git worktree add --detach ../before COMMIT
    python benchmarks/against.py ../before --ranks 2 --jobs 1

Everything after the directory goes to ``ckpt-harness sweep``. With ``--jobs 1`` all work is done in one process, so that its processor time says more than
the real time of a machine that does other things as well. Exits with 1 if a case that both ran shows something else.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """One sweep of one checkout.

    Attributes:
        records: case -> what it showed, times aside.
        real: seconds of real time, with the start of the interpreter.
        processor: seconds of processor time of the command's own process.
    """

    records: dict[str, dict[str, Any]]
    real: float
    processor: float


def sweep(checkout: Path, options: tuple[str, ...]) -> Run:
    """Runs the sweep of a checkout.

    Args:
        checkout: the directory that holds ``harness``.
        options: of ``ckpt-harness sweep``.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "records.jsonl")
        command = [sys.executable, "-m", "ckpt_harness", "sweep", *options, "--json", str(file)]
        started = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(checkout / "harness")}, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        real = time.perf_counter() - started
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return Run({json.dumps(line.pop("case")): line for line in lines if line.pop("seconds")}, real, used.ru_utime + used.ru_stime)


def different(before: Run, after: Run) -> list[str]:
    """The replay lines of cases that both ran, and that show something else."""
    common = before.records.keys() & after.records.keys()
    shown = [(before.records[case], after.records[case]) for case in common]
    return [new["replay"] for old, new in shown if any(old[name] != new[name] for name in old.keys() & new.keys())]


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("before", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--pairs", default=3, show_default=True, help="How often each checkout runs the sweep.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(before: Path, pairs: int, options: tuple[str, ...]) -> None:
    """Compares the sweep of the checkout BEFORE with the sweep of this checkout."""
    runs = [(sweep(before.resolve(), options), sweep(HERE, options)) for _ in range(pairs)]
    old, new = runs[0]
    changed = different(old, new)
    common = old.records.keys() & new.records.keys()
    print(f"sweep {' '.join(options)}: {len(old.records)} cases before, {len(new.records)} now, {len(common)} in both; {len(changed)} of these differ")
    for line in sorted(changed)[:20]:
        print(f"    {line}")
    for kind in ("real", "processor"):
        costs = [tuple(getattr(run, kind) / len(run.records) * 1000 for run in pair) for pair in runs]
        ratios = [first / second for first, second in costs]
        medians = [statistics.median(side) for side in zip(*costs, strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{kind} time: {medians[0]:.2f} ms a case before, {medians[1]:.2f} now; {statistics.median(ratios):.2f} times as fast (pair by pair {shown})")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
