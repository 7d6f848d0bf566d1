"""Runs the benchmarks and prints one table: what was measured, the result, the comparison and the target."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from ckpt_harness.campaigns.workers import quiet

sys.path.insert(0, str(Path(__file__).parent))
NAMES = ("plans", "operation", "wrapper", "verdicts", "spawning", "processes", "disk", "sweep", "scale")


@click.command()
@click.option("--smoke", is_flag=True, help="Run each benchmark with very few repetitions, to see that it works.")
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Run this benchmark only; may be repeated.")
def main(smoke: bool, only: tuple[str, ...]) -> None:
    """Measures the cost of the harness against the same work without it."""
    quiet()
    table = Table("measured", "result", "against", "target", title=f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores")
    for name in only or NAMES:
        for row in importlib.import_module(name).rows(smoke):
            table.add_row(row.what, row.figure, row.against, row.target)
    Console().print(table)


if __name__ == "__main__":
    main()
