"""Seconds of a sweep over all single faults, as the README's first command runs it, and of a sweep over all pairs."""

from __future__ import annotations

import re
import subprocess
import sys

from measure import Row, seconds


def _sweep(*options: str) -> tuple[str, float]:
    printed: list[str] = []

    def work() -> None:
        command = [sys.executable, "-m", "ckpt_harness", "sweep", *options]
        printed.append(subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False).stdout)

    taken = seconds(work)
    counted = re.search(r"(\d+) cases", printed[0])
    return (counted.group(1) if counted else "no") + " cases", taken


def rows(smoke: bool) -> list[Row]:
    """One run each, with the start of the interpreter."""
    singles = ("--ranks", "2") if smoke else ("--ranks", "2,3,4", "--coordinator", "all")
    pairs = ("--ranks", "1", "--pairs", "--op", "load") if smoke else ("--ranks", "3", "--pairs")
    cases, taken = _sweep(*singles)
    cases_of_pairs, taken_by_pairs = _sweep(*pairs)
    return [
        Row(f"sweep {' '.join(singles)}", f"{taken:.0f} s", cases, "under 120 s on 2 cores"),
        Row(f"sweep {' '.join(pairs)}", f"{taken_by_pairs:.0f} s", cases_of_pairs, "reported"),
    ]
