"""The state that a script saves or loads: the smallest that the faults can strike as they did."""

from __future__ import annotations

import dataclasses

from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.effects import Skip, WrongResult

_ITEMS = {
    "save_planner.resolve_data": "weight",  # or "note", see :func:`written`
    "load_planner.load_bytes": "note",
    "load_planner.resolve_bytes": "note",
    "load_planner.resolve_tensor": "weight",
    "load_planner.commit_tensor": "weight",
}
"""Site that is called once an item -> what kind of item."""
FULL = {"weight": "torch.ones(4)", "note": '"saved"'}
"""Kind of item -> its value in the state that is saved."""
EMPTY = {"weight": "torch.zeros(4)", "note": '"empty"'}
"""Kind of item -> its value in the state that a load fills."""


def written(saw: list[str]) -> str:
    """What kind of item ``resolve_data`` was called for: the engine writes objects first, and elsewhere than tensors, and what came of it tells which."""
    marks = ("hung in _write_files_from_queue", "BYTE_IO", "StopIteration('")
    return "note" if any(mark in text for text in saw for mark in marks) else "weight"


@dataclasses.dataclass(frozen=True)
class State:
    """The smallest state that the faults can strike as they did: for some, each rank needs items of its own.

    Attributes:
        struck: the faults.
        written: kind of the items that ``resolve_data`` is called for.
        least: number of items that a rank has if it has any of its own.
    """

    struck: list[Struck]
    written: str
    least: int

    def text(self, values: dict[str, str], rank: str = "{rank}", model: str = "Model(weight={weight}, step={step})") -> str:
        """The state as an expression.

        Args:
            values: what items of each kind hold.
            rank: whose it is; by default that of the variable ``rank``.
            model: how a ``Stateful`` is made; a dictionary is stored alike.
        """
        if any(struck.fault.at.side == "state" for struck in self.struck):
            return f'{{"model": {model.format(weight=values["weight"], step=int(values is FULL))}}}'
        f = "f" * (rank == "{rank}")
        items = [
            f'{{{f}"{kind} of rank {rank}": {values[kind]}}}'
            if count == 1
            else f'{{f"{kind} {{number}} of rank {rank}": {values[kind]} for number in range({count})}}'
            for kind, count in self._counts().items()
        ]
        return " | ".join(items) or f'{{"weight": {values["weight"]}}}'

    def _counts(self) -> dict[str, int]:
        """Kind of item -> how many a rank needs."""
        counts: dict[str, int] = {}
        for struck in self.struck:
            fault = struck.fault
            kind, count = _ITEMS.get(fault.site, ""), fault.nth + min(fault.times or 1, 2) - 1
            if fault.site == "save_planner.resolve_data":
                kind = self.written
            elif not kind and isinstance(fault.effect, (Skip, WrongResult)):
                kind, count = "weight", 1
            if kind:
                counts[kind] = max(counts.get(kind, self.least), count)
        return counts
