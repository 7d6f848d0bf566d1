"""Workloads: the state that operations save, with every element tagged, and targets that start empty.

Needs torch. In a process group the ``sharded`` entries are ``ShardedTensor``, and those of ``dtensor`` and ``fsdp2`` are ``DTensor``; without one they are
plain tensors of the same whole.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, Replicate, Shard

from ckpt_harness._torch import empty_sharded_tensor, is_sharded_tensor, is_stateful, local_shards
from ckpt_harness.errors import UsageError
from ckpt_harness.workloads.sharded import TrainedModel, mesh_of, spread
from ckpt_harness.workloads.tags import Tag

State = dict[str, Any]
UNFILLED = "<unfilled>"
"""What objects of a load target hold until they are loaded."""

_REPLICATED, _PER_SHARD = 5, 3  # odd and small: uneven sizes find more, and every element costs time


@dataclass(frozen=True)
class Context:
    """For whom a state is made.

    Attributes:
        rank: the rank within the group.
        size: number of ranks.
        save: number of the save whose values it holds, from 1; None for an empty target.
        grouped: whether a process group is there.
        shards: into how many shards of its own size the state was cut when it was saved; a load may be by another number of ranks.
        owner: whose state it is, of several that are saved at once: every element carries it.
        group: the process group, where it is not the default one.
        loading: whether it is laid out as it is loaded, which is not always as it was saved; an empty target always is.
    """

    rank: int
    size: int
    save: int | None
    grouped: bool
    shards: int
    owner: int = 0
    group: Any = None
    loading: bool = False

    @property
    def as_loaded(self) -> bool:
        """Whether the state is laid out as it is loaded."""
        return self.loading or self.save is None

    def tensor(self, key: int, count: int, start: int = 0, *, whose: int | None = None) -> torch.Tensor:
        """``count`` float64 tags from index ``start``, that name the owner or, on purpose, somebody else; NaN in an empty target."""
        if self.save is None:
            return torch.full((count,), float("nan"), dtype=torch.float64)
        values = [Tag(self.save, self.owner if whose is None else whose, key, start + index).encode() for index in range(count)]
        return torch.tensor(values, dtype=torch.float64)

    def object(self, value: Any) -> Any:
        """``value``, or the sentinel in an empty target."""
        return UNFILLED if self.save is None else value


class TaggedModule:
    """A ``Stateful``: what DCP asks for its state and hands it back.

    Args:
        context: for whom.
    """

    def __init__(self, context: Context) -> None:
        self.weight = context.tensor(20, _REPLICATED)
        self.counter = context.object(context.save)

    def state_dict(self) -> State:
        """The state, by reference."""
        return {"weight": self.weight, "counter": self.counter}

    def load_state_dict(self, state_dict: State) -> None:
        """Takes the loaded state."""
        self.weight, self.counter = state_dict["weight"], state_dict["counter"]


class TaggedWeights:
    """A ``Stateful`` of a tensor alone.

    Args:
        context: for whom.
    """

    def __init__(self, context: Context) -> None:
        self.weight = context.tensor(21, _REPLICATED)

    def state_dict(self) -> State:
        """The state, by reference."""
        return {"weight": self.weight}

    def load_state_dict(self, state_dict: State) -> None:
        """Takes the loaded state."""
        self.weight = state_dict["weight"]


def _replicated(context: Context) -> State:
    return {"replicated": context.tensor(1, _REPLICATED)}


def _divergent(context: Context) -> State:
    return {f"diverged {key}": context.tensor(40 + key, _REPLICATED, whose=context.rank) for key in range(3)}


def _sharded(context: Context) -> State:
    if not context.grouped:
        return {"sharded": context.tensor(2, context.shards * _PER_SHARD)}
    sharded = empty_sharded_tensor(context.shards * _PER_SHARD, context.group)
    for offset, shard in local_shards(sharded):
        shard.copy_(context.tensor(2, len(shard), offset))
    return {"sharded": sharded}


def _nested(context: Context) -> State:
    layer = {"weight": context.tensor(10, _REPLICATED), "bias": context.tensor(11, 2)}
    return {"model": {"layer": layer, "list": [context.tensor(12, 1), context.tensor(13, 1)]}}


def _objects(context: Context) -> State:
    many = {f"counter {number}": context.object(context.save) for number in range(8)}  # so that each of two ranks has more than a writer has threads
    return {"epoch": context.object(context.save), "notes": context.object([context.save, "naïve", None]), **many}


def _kinds(context: Context) -> State:
    """Tensors of each dtype of :data:`_DTYPES`, whose bits are those of tags; and some without dimensions, elements, or a storage of their own."""
    part = torch.zeros(8, dtype=torch.float64)[3:]
    part.copy_(context.tensor(60, 5))
    bits = {str(dtype).removeprefix("torch."): context.tensor(70 + key, 2).view(dtype) for key, dtype in enumerate(_DTYPES)}
    return {**bits, "scalar": context.tensor(62, 1).view(()), "empty": context.tensor(63, 0), "part": part}


def _stateful(context: Context) -> State:
    return {"module": TaggedModule(context)}


def _on_the_gpu(context: Context) -> State:
    return {"weight": context.tensor(30, _REPLICATED).cuda(), "layers": [context.tensor(31, 2).cuda()], "epoch": context.object(context.save)}


def _mixed(context: Context) -> State:
    return {**_replicated(context), **_sharded(context), "epoch": context.object(context.save), **_stateful(context)}


def _tensors(context: Context) -> State:
    return {**_replicated(context), **_sharded(context), **_nested(context), "module": TaggedWeights(context)}


def _quantized(context: Context) -> State:
    """A weight that is stored with the scales of its blocks of two by two, and loaded without.

    Readers compute in float32, so that a tag must fit 24 bits: the element's number is in the key's place. Scales are powers of two, all different
    from 1, so that nothing is rounded and a weight that was not scaled is another's.
    """
    rows, columns = 5, 3
    values = [Tag(context.save or 0, context.owner, 2 * number, 0).encode() for number in range(1, rows * columns + 1)]
    weight = torch.tensor(values, dtype=torch.float64).view(rows, columns) if context.save else torch.full((rows, columns), float("nan"), dtype=torch.float64)
    scales = torch.tensor([[0.5, 2.0], [0.25, 4.0], [2.0, 0.5]], dtype=torch.float64)
    others = {**_replicated(context), **_sharded(context), "module": TaggedWeights(context)}
    if context.as_loaded:
        return {**others, "layer.weight": weight}
    weight /= scales.repeat_interleave(2, 0)[:rows].repeat_interleave(2, 1)[:, :columns]
    return {**others, "layer.weight": weight, "layer.weight_scale_inv": scales}


def _dtensors(context: Context) -> State:
    rows, columns = 2 * context.shards + 1, 3
    wholes = [context.tensor(50 + key, rows * columns).view(rows, columns) for key in range(3)]
    if not context.grouped:
        return {"line": wholes[0], "plane": wholes[1], "gathered": wholes[2]}
    line, plane = mesh_of(context.group), mesh_of(context.group, 1 + (context.size % 2 == 0))
    loaded = context.as_loaded
    return {
        "line": spread(wholes[0], line, [Shard(1 if loaded else 0)]),
        "plane": spread(wholes[1], plane, [Replicate(), Shard(0)] if loaded else [Shard(0), Shard(1)]),
        "gathered": spread(wholes[2], line, [Replicate() if loaded else Shard(0)]),
    }


def _fsdp2(context: Context) -> State:
    rate = float(context.save or 0)
    return {"app": TrainedModel(2 * context.shards + 1, context.tensor, rate, grouped=context.grouped, group=context.group)}


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
        actuals, expecteds = dict(_flat("", state)), dict(_flat("", self.make(context)))
        for rank in range(context.shards) if self.diverged else ():
            theirs = self.make(dataclasses.replace(context, rank=rank))
            expecteds |= {name: value for name, value in theirs.items() if name in actuals and torch.equal(actuals[name], value)}
        found = [f"{name}: not there" for name in expecteds if name not in actuals] + [f"{name}: too many" for name in actuals if name not in expecteds]
        for name, expected in expecteds.items():
            actual = actuals.get(name, expected)
            if isinstance(expected, torch.Tensor):
                if not (isinstance(actual, torch.Tensor) and actual.dtype == expected.dtype and torch.equal(actual, expected)):
                    found.append(f"{name}: {_describe(actual, expected)}")
            elif actual != expected:
                found.append(f"{name}: {actual!r} instead of {expected!r}")
        return found

    def saves(self, state: State) -> set[int]:
        """The numbers of the saves whose values a loaded state holds."""
        return {save for _, value in _flat("", state) for save in _saves(value)}

    def overwrite(self, state: State, context: Context) -> None:
        """Puts the values of save number ``context.save`` into a state, in place, as training does."""
        _overwrite(state, self.make(context))

    def shared(self, state: State, context: Context) -> list[str]:
        """Names of the entries of a loaded state that hold, wholly or in part, the values of save number ``context.save``."""
        actuals, theirs = dict(_flat("", state)), dict(_flat("", self.make(dataclasses.replace(context, loading=True))))
        return [name for name, value in theirs.items() if name in actuals and _overlap(actuals[name], value)]


def _saves(value: Any) -> set[int]:
    """The saves that a leaf tells of; objects hold their number, alone or in a list."""
    if isinstance(value, torch.Tensor):
        tags = (Tag.decode(element) for element in value.flatten().tolist())
        return {tag.save for tag in tags if tag is not None}
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)}


def _overwrite(target: Any, source: Any) -> None:
    """Copies into tensors, and replaces everything else where it is kept."""
    if isinstance(target, TaggedModule):
        target.weight.copy_(source.weight)
        target.counter = source.counter
    elif is_sharded_tensor(target):
        for (_, mine), (_, theirs) in zip(local_shards(target), local_shards(source), strict=True):
            mine.copy_(theirs)
    elif is_stateful(target):
        _overwrite(target.state_dict(), source.state_dict())
    elif isinstance(target, DTensor):
        target.to_local().copy_(source.to_local())
    elif isinstance(target, (dict, list)):
        for key, value in source.items() if isinstance(source, dict) else enumerate(source):
            if isinstance(value, (torch.Tensor, dict, list)) or is_stateful(value) or is_sharded_tensor(value):
                _overwrite(target[key], value)
            else:
                target[key] = value
    else:
        target.copy_(source)


def _overlap(actual: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        return isinstance(actual, torch.Tensor) and actual.shape == theirs.shape and bool((actual == theirs).any())
    return bool(actual == theirs)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a state with their names; of a sharded tensor, the local shards."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif is_stateful(value):
        yield from _flat(prefix, value.state_dict())
    elif isinstance(value, list) and any(isinstance(one, torch.Tensor) for one in value):
        for index, inner in enumerate(value):
            yield from _flat(f"{prefix}[{index}]", inner)
    elif is_sharded_tensor(value):
        for offset, shard in local_shards(value):
            yield f"{prefix}@{offset}", shard
    elif isinstance(value, DTensor):
        yield prefix, value.to_local()
    elif isinstance(value, torch.Tensor) and value.dtype in _DTYPES:
        yield prefix, value.view(torch.float64)
    else:
        yield prefix, value


def _describe(actual: Any, expected: torch.Tensor) -> str:
    """What a tensor holds instead of what it should: never filled, another save's, another rank's, or noise."""
    if not isinstance(actual, torch.Tensor) or actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"{type(actual).__name__} {getattr(actual, 'shape', '')} instead of {tuple(expected.shape)}"
    wrong = [(have, want) for have, want in zip(actual.flatten().tolist(), expected.flatten().tolist(), strict=True) if have != want]
    have, want = wrong[0]
    shown = "NaN (never filled)" if math.isnan(have) else str(Tag.decode(have) or have)
    return f"{len(wrong)} of {expected.numel()} elements, first {shown} instead of {Tag.decode(want)}"


_DTYPES = (torch.bfloat16, torch.float16, torch.int8, torch.int32, torch.complex64)
"""Of which workload ``kinds`` has a tensor, and no other has any: nothing that converts them gets every bit right."""

_OBJECTS, _SHARDED, _RESHARDED = (frozenset({one}) for one in (Holding.OBJECTS, Holding.SHARDED, Holding.RESHARDED))

WORKLOADS: dict[str, Workload] = {
    one.name: one
    for one in (
        Workload("replicated", "one tensor, the same on every rank", _replicated),
        Workload("divergent", "tensors that should be the same on every rank, and are not", _divergent, diverged=True),
        Workload("sharded", "one tensor, chunked over the ranks", _sharded, _SHARDED),
        Workload("nested", "dictionaries and lists of tensors", _nested),
        Workload("kinds", "tensors of other dtypes, of no dimension and no element, and a part of a storage", _kinds, frozenset({Holding.INTEGERS})),
        Workload("objects", "pickled values", _objects, _OBJECTS),
        Workload("stateful", "an object with state_dict and load_state_dict", _stateful, _OBJECTS),
        Workload("mixed", "a replicated and a sharded tensor, an object, and a Stateful", _mixed, _OBJECTS | _SHARDED),
        Workload("tensors", "replicated, sharded and nested tensors, and a Stateful, with no object among them", _tensors, _SHARDED),
    )
}

PARALLEL: dict[str, Workload] = {
    one.name: one
    for one in (
        Workload("dtensor", "DTensors on a line and a plane of ranks, loaded with other placements than they were saved with", _dtensors, _RESHARDED),
        Workload("fsdp2", "a model under FSDP2, and its optimizer", _fsdp2, _OBJECTS),
        Workload("quantized", "weights that are stored with scales and loaded without", _quantized, _SHARDED | {Holding.QUANTIZED}),
    )
}
"""Those that take longer to make, or that few engines can hold: what draws from :data:`WORKLOADS` leaves them out."""

ON_GPUS: dict[str, Workload] = {"cuda": Workload("cuda", "tensors on the current GPU, and an object", _on_the_gpu)}
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


def context_here(save: int | None, shards: int, *, owner: int = 0, group: Any = None, alone: bool = False) -> Context:
    """The context of the calling rank, read from its process group.

    Args:
        save: number of the save whose values it holds; None for an empty target.
        shards: into how many shards the state is cut.
        owner: whose state it is, of several.
        group: the process group; None for the default one.
        alone: whether the rank's state knows nothing of a group, even if there is one.
    """
    grouped = not alone and dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(group), dist.get_world_size(group)) if grouped else (0, 1)
    return Context(rank, size, save, grouped, shards, owner, group)
