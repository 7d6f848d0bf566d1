"""Workloads: the kinds of state that operations save and load.

Every element of a state carries a tag (:mod:`ckpt_harness.workloads.tags`), so that a loaded state shows which save and which rank wrote each element.
A load target starts empty: NaN in tensors, a sentinel in place of objects.

Needs torch. Without a process group, sharded tensors and DTensors are plain tensors with the values of the whole.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ckpt_harness._torch import CHECKPOINTABLE_TENSORS, RELEASE
from ckpt_harness.errors import UsageError, choices, quoted
from ckpt_harness.workloads.checkpointable import checkpointable
from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.fsdp2 import fsdp2
from ckpt_harness.workloads.leaves import difference, leaves, overlap, overwrite, saves_of, unfilled
from ckpt_harness.workloads.mixed import mixed, tensors
from ckpt_harness.workloads.partial import longer, shorter
from ckpt_harness.workloads.plain import divergent, kinds, nested, nested_stateful, objects, on_the_gpu, replicated, stateful
from ckpt_harness.workloads.quantized import quantized
from ckpt_harness.workloads.sharded import dtensors, interleaved, sharded


class Holding(str, enum.Enum):
    """Content of a workload that some engines, or some ways of staging, cannot handle."""

    OBJECTS = "objects"
    """Pickled values."""
    SHARDED = "a ShardedTensor"
    RESHARDED = "tensors that are loaded with other placements"
    """Not possible after a save without collectives: each rank's metadata then describes its own part only."""
    INTEGERS = "tensors of integers"
    QUANTIZED = "quantized tensors"
    """Stored with scales beside them: only a reader that dequantizes restores the values."""


@dataclass(frozen=True)
class Workload:
    """A kind of state.

    Attributes:
        name: the name on the command line.
        about: a description of one line.
        make: builds the state for a context.
        holds: content that some engines cannot handle.
        diverged: whether ranks hold different values where they should hold the same. Each entry must then come back exactly as some rank held it.
        target: builds the target of a load that asks for less than was saved; None if a load asks for everything. A checkpoint that is read back after
            a save is always asked for everything.
    """

    name: str
    about: str
    make: Callable[[Context], State]
    holds: frozenset[Holding] = frozenset()
    diverged: bool = False
    target: Callable[[Context], State] | None = None

    def make_target(self, context: Context) -> State:
        """Builds the target of a load operation."""
        return (self.target or self.make)(context)

    def wrong_after_load(self, state: State, context: Context) -> list[str]:
        """Compares what the caller holds after a load operation with what the operation was asked for.

        An entry that the target of the load lacks may be missing; if it is not missing, it must be right.

        Args:
            state: what the caller holds after the load.
            context: the context in which the state was saved.

        Returns:
            As :meth:`mismatches`.
        """
        if self.target is None:
            return self.mismatches(state, context)
        loading = dataclasses.replace(context, loading=True)
        not_asked_for = _names(self.make(loading)) - _names(self.make_target(loading))
        allowed = {_missing(name) for name in not_asked_for}
        return [line for line in self.mismatches(state, context) if line not in allowed]

    def saved_and_held(self, state: State, context: Context) -> tuple[frozenset[str], frozenset[str]]:
        """Lists what a rank saved, and what it holds after a load operation that asked for less.

        Args:
            state: what the caller holds after the load.
            context: the context in which the state was saved.

        Returns:
            The names of the entries that the rank saved, and of those that it holds. Both are empty where the load asked for everything.

        Example:
            >>> workload, context = find_workload("longer"), Context(rank=0, size=1, save=1, grouped=False, shards=1)
            >>> saved, held = workload.saved_and_held(workload.make_target(context), context)
            >>> sorted(saved - held)
            ['averages.moment', 'layers[2]', 'optimizer.groups.no decay']
        """
        if self.target is None:
            return frozenset(), frozenset()
        return _names(self.make(context)), _names(state)

    def mismatches(self, state: State, context: Context) -> list[str]:
        """Compares a loaded state, bit by bit, with the state that save number ``context.save`` wrote.

        Returns:
            For each entry that differs, a line that says what the entry holds instead; empty if the states are equal.

        Example:
            >>> workload, saved = find_workload("replicated"), Context(rank=0, size=1, save=1, grouped=False, shards=1)
            >>> workload.mismatches(workload.make(saved), saved)
            []
            >>> stale = workload.make(dataclasses.replace(saved, save=2))
            >>> workload.mismatches(stale, saved)  # doctest: +ELLIPSIS
            ['replicated: 5 of 5 elements, first Tag(save=2, ...) instead of Tag(save=1, ...)']
        """
        context = dataclasses.replace(context, loading=True)
        actual = dict(leaves("", state))
        expected = self._expected(actual, context)
        lines = [_missing(name) for name in expected if name not in actual]
        lines += [f"{name}: unexpected" for name in actual if name not in expected]
        for name, value in expected.items():
            if name in actual:
                problem = difference(actual[name], value)
                if problem:
                    lines.append(f"{name}: {problem}")
        return lines

    def _expected(self, actual: State, context: Context) -> State:
        """The leaves that a loaded state should hold; of a diverged workload, each as the rank held it whose values were loaded."""
        expected = dict(leaves("", self.make(context)))
        for rank in range(context.shards) if self.diverged else ():
            held = self.make(dataclasses.replace(context, rank=rank))
            expected |= {name: value for name, value in held.items() if name in actual and torch.equal(actual[name], value)}
        return expected

    def saves(self, state: State) -> set[int]:
        """Returns the numbers of the saves whose values a loaded state holds."""
        return {save for _, value in leaves("", state) for save in saves_of(value)}

    def is_unfilled(self, state: State) -> bool:
        """Returns whether a loaded state still holds values with which the target of the load began.

        Example:
            >>> workload, target = find_workload("replicated"), Context(rank=0, size=1, save=None, grouped=False, shards=1)
            >>> workload.is_unfilled(workload.make(target)), workload.is_unfilled(workload.make(dataclasses.replace(target, save=1)))
            (True, False)
        """
        return any(unfilled(value) for _, value in leaves("", state))

    def overwrite(self, state: State, context: Context) -> None:
        """Overwrites a state in place with the values of save number ``context.save``, as a training step does."""
        overwrite(state, self.make(context))

    def shared(self, state: State, context: Context) -> list[str]:
        """Returns the names of the entries of a loaded state that hold, in whole or in part, values of save number ``context.save``."""
        actual = dict(leaves("", state))
        written = leaves("", self.make(dataclasses.replace(context, loading=True)))
        return [name for name, value in written if name in actual and overlap(actual[name], value)]


def _names(state: State) -> frozenset[str]:
    """The names of the leaves of a state."""
    return frozenset(name for name, _ in leaves("", state))


def _missing(name: str) -> str:
    """The line about an entry that a loaded state lacks."""
    return f"{name}: missing"


_OBJECTS, _SHARDED, _RESHARDED = frozenset({Holding.OBJECTS}), frozenset({Holding.SHARDED}), frozenset({Holding.RESHARDED})


def _by_name(*workloads: Workload) -> dict[str, Workload]:
    return {workload.name: workload for workload in workloads}


WORKLOADS: dict[str, Workload] = _by_name(
    Workload("replicated", "a tensor with the same values on every rank", replicated),
    Workload("divergent", "tensors that should have the same values on every rank and do not", divergent, diverged=True),
    Workload("sharded", "a ShardedTensor with one shard per rank", sharded, _SHARDED),
    Workload("nested", "dictionaries and lists of tensors", nested),
    Workload("kinds", "tensors of several dtypes, a scalar, an empty tensor, and a view of a storage", kinds, frozenset({Holding.INTEGERS})),
    Workload("objects", "pickled values", objects, _OBJECTS),
    Workload("stateful", "an object with state_dict and load_state_dict", stateful, _OBJECTS),
    Workload("mixed", "a replicated and a sharded tensor, an object, and a Stateful", mixed, _OBJECTS | _SHARDED),
    Workload("tensors", "replicated, sharded and nested tensors, and a Stateful; no objects", tensors, _SHARDED),
)
"""Workloads that most engines can hold, by name. Sweeps and strategies draw from these."""

SINCE_2_14: dict[str, Workload] = _by_name(
    Workload("checkpointable", "plain tensors that state which parts of a whole they hold, loaded in other parts than saved", checkpointable, _RESHARDED),
)
"""Workloads that need ``CheckpointableTensor``, which torch has from 2.14 on."""

PARALLEL: dict[str, Workload] = _by_name(
    Workload("dtensor", "DTensors on one- and two-dimensional meshes, loaded with other placements than saved", dtensors, _RESHARDED),
    Workload("interleaved", "a ShardedTensor with two shards per rank", interleaved, _SHARDED),
    Workload("fsdp2", "a model under FSDP2 and its optimizer", fsdp2, _OBJECTS),
    Workload("quantized", "weights that are stored with scales and loaded dequantized", quantized, _SHARDED | {Holding.QUANTIZED}),
    Workload("longer", "containers that are longer in the checkpoint than in the target of a load", longer, _RESHARDED, target=shorter),
    Workload("nested-stateful", "an object with state_dict and load_state_dict inside a dictionary", nested_stateful, _OBJECTS),
    *(SINCE_2_14.values() if CHECKPOINTABLE_TENSORS else ()),
)
"""Workloads that take longer to build, or that few engines can hold or load. Nothing draws from these; a case has to name them."""

ON_GPUS: dict[str, Workload] = _by_name(Workload("cuda", "tensors on the current GPU, and an object", on_the_gpu))
"""Workloads that need a GPU."""


def find_workload(name: str) -> Workload:
    """Finds a workload by name.

    Raises:
        UsageError: there is no such workload, it needs a GPU and torch sees none, or it needs a newer torch.

    Example:
        >>> find_workload("nested").about
        'dictionaries and lists of tensors'
    """
    if name in ON_GPUS:
        if not torch.cuda.is_available():
            raise UsageError(f"workload {name!r} needs a GPU, and torch sees none; valid: {', '.join(WORKLOADS)}")
        return ON_GPUS[name]
    workloads = {**WORKLOADS, **PARALLEL}
    if name in SINCE_2_14 and name not in workloads:
        raise UsageError(f"workload {name!r} needs torch 2.14 or newer, and this is torch {RELEASE}; {choices(workloads)}")
    if name not in workloads:
        raise UsageError(f"unknown workload {quoted(name)}; valid: {', '.join(workloads)}")
    return workloads[name]
