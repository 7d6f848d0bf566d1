"""Seconds to read the text of a plan of 3,000 faults, and to bind the plan to a world; the growth from a plan of a tenth of the faults."""

from __future__ import annotations

import functools

from measure import Row, seconds

from ckpt_harness.faults.plan import FaultPlan

_KINDS = {
    "a rank each": lambda number: f"writer.write_data@{number}=raise(OSError:EIO)",
    "a call each": lambda number: f"writer.write_data@all#{number + 1}=raise(OSError:EIO)",
    "a file each": lambda number: f"fs.write(file{number})@coordinator=raise(OSError:EIO)",
}
"""What distinguishes the faults of a plan -> the text of fault ``number``."""


def _read(text: str, ranks: int) -> None:
    FaultPlan.parse(text).bind(ranks)


def rows(smoke: bool) -> list[Row]:
    """One plan of each kind."""
    faults = 300 if smoke else 3_000
    rows = []
    for kind, text in _KINDS.items():
        whole, tenth = ("; ".join(map(text, range(number))) for number in (faults, faults // 10))
        taken, before = (seconds(functools.partial(_read, plan, faults)) for plan in (whole, tenth))
        rows.append(Row(f"plan of {faults:,} faults, {kind}", f"{taken:.2f} s", f"{taken / before:.0f}x a tenth of it", "less than 1 s"))
    return rows
