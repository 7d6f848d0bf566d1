"""Workloads: the state that operations save, with every element tagged, and targets that start empty.

Needs torch. In a process group the ``sharded`` entries are ``ShardedTensor``, and those of ``dtensor`` and ``fsdp2`` are ``DTensor``; without one they are
plain tensors of the same whole.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ckpt_harness.errors import UsageError
from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.fsdp2 import fsdp2
from ckpt_harness.workloads.leaves import difference, leaves, overlap, overwrite, saves_of
from ckpt_harness.workloads.mixed import mixed, tensors
from ckpt_harness.workloads.plain import divergent, kinds, nested, objects, on_the_gpu, replicated, stateful
from ckpt_harness.workloads.quantized import quantized
from ckpt_harness.workloads.sharded import dtensors, sharded


class Holding(str, enum.Enum):
    """What a workload holds that not every engine, and not every way of staging, can cope with."""

    OBJECTS = "objects"
    """Pickled values."""
    SHARDED = "a ShardedTensor"
    RESHARDED = "tensors that are loaded with other placements"
    """What a rank saved without collectives describes its own part alone, so that nothing else can be made of it."""
    INTEGERS = "tensors of integers"
    QUANTIZED = "quantized tensors"
    """Their scales are stored beside them, and only a reader that dequantizes gives back what was meant."""


@dataclass(frozen=True)
class Workload:
    """A kind of state.

    Attributes:
        name: for the command line.
        about: one line.
        make: builds the state for a context.
        holds: what the state holds that not everything can cope with.
        diverged: whether values that should be the same on all ranks are not: each entry must come back as some rank had it, wholly.
    """

    name: str
    about: str
    make: Callable[[Context], State]
    holds: frozenset[Holding] = frozenset()
    diverged: bool = False

    def mismatches(self, state: State, context: Context) -> list[str]:
        """Compares a loaded state with what save number ``context.save`` held, bit by bit.

        Returns:
            One line for each entry that differs, saying what was found instead.
        """
        context = dataclasses.replace(context, loading=True)
        actuals, expecteds = dict(leaves("", state)), dict(leaves("", self.make(context)))
        for rank in range(context.shards) if self.diverged else ():
            theirs = self.make(dataclasses.replace(context, rank=rank))
            expecteds |= {name: value for name, value in theirs.items() if name in actuals and torch.equal(actuals[name], value)}
        found = [f"{name}: not there" for name in expecteds if name not in actuals] + [f"{name}: too many" for name in actuals if name not in expecteds]
        for name, expected in expecteds.items():
            actual = actuals.get(name, expected)
            if isinstance(expected, torch.Tensor):
                if not (isinstance(actual, torch.Tensor) and actual.dtype == expected.dtype and torch.equal(actual, expected)):
                    found.append(f"{name}: {difference(actual, expected)}")
            elif actual != expected:
                found.append(f"{name}: {actual!r} instead of {expected!r}")
        return found

    def saves(self, state: State) -> set[int]:
        """The numbers of the saves whose values a loaded state holds."""
        return {save for _, value in leaves("", state) for save in saves_of(value)}

    def overwrite(self, state: State, context: Context) -> None:
        """Puts the values of save number ``context.save`` into a state, in place, as training does."""
        overwrite(state, self.make(context))

    def shared(self, state: State, context: Context) -> list[str]:
        """Names of the entries of a loaded state that hold, wholly or in part, the values of save number ``context.save``."""
        actuals, theirs = dict(leaves("", state)), dict(leaves("", self.make(dataclasses.replace(context, loading=True))))
        return [name for name, value in theirs.items() if name in actuals and overlap(actuals[name], value)]


_OBJECTS, _SHARDED, _RESHARDED = (frozenset({one}) for one in (Holding.OBJECTS, Holding.SHARDED, Holding.RESHARDED))

WORKLOADS: dict[str, Workload] = {
    one.name: one
    for one in (
        Workload("replicated", "one tensor, the same on every rank", replicated),
        Workload("divergent", "tensors that should be the same on every rank, and are not", divergent, diverged=True),
        Workload("sharded", "one tensor, chunked over the ranks", sharded, _SHARDED),
        Workload("nested", "dictionaries and lists of tensors", nested),
        Workload("kinds", "tensors of other dtypes, of no dimension and no element, and a part of a storage", kinds, frozenset({Holding.INTEGERS})),
        Workload("objects", "pickled values", objects, _OBJECTS),
        Workload("stateful", "an object with state_dict and load_state_dict", stateful, _OBJECTS),
        Workload("mixed", "a replicated and a sharded tensor, an object, and a Stateful", mixed, _OBJECTS | _SHARDED),
        Workload("tensors", "replicated, sharded and nested tensors, and a Stateful, with no object among them", tensors, _SHARDED),
    )
}

PARALLEL: dict[str, Workload] = {
    one.name: one
    for one in (
        Workload("dtensor", "DTensors on a line and a plane of ranks, loaded with other placements than they were saved with", dtensors, _RESHARDED),
        Workload("fsdp2", "a model under FSDP2, and its optimizer", fsdp2, _OBJECTS),
        Workload("quantized", "weights that are stored with scales and loaded without", quantized, _SHARDED | {Holding.QUANTIZED}),
    )
}
"""Those that take longer to make, or that few engines can hold: what draws from :data:`WORKLOADS` leaves them out."""

ON_GPUS: dict[str, Workload] = {"cuda": Workload("cuda", "tensors on the current GPU, and an object", on_the_gpu)}
"""Those that need a GPU; the others run anywhere."""


def find_workload(name: str) -> Workload:
    """Finds a workload.

    Raises:
        UsageError: unknown name, or it needs a GPU and there is none; the message lists the valid ones.
    """
    if name in ON_GPUS:
        if not torch.cuda.is_available():
            raise UsageError(f"workload {name!r} needs a GPU, and torch sees none; workloads: {', '.join(WORKLOADS)}")
        return ON_GPUS[name]
    if name in PARALLEL:
        return PARALLEL[name]
    if name not in WORKLOADS:
        raise UsageError(f"unknown workload {name!r}; workloads: {', '.join((*WORKLOADS, *PARALLEL))}")
    return WORKLOADS[name]
