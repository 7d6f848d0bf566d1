"""Every torch internal that the harness touches, each with why, and what differs between versions.

Nothing else in ``harness`` names a private torch symbol. Import of this module imports torch.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from types import CellType, ModuleType
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch._C import _distributed_c10d as _c10d
from torch.distributed import checkpoint, distributed_c10d
from torch.distributed._shard import sharded_tensor, sharding_spec
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint._storage_utils import _storage_setup
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.distributed.checkpoint.stateful import Stateful

try:  # public from torch 2.15 on, where the old name warns
    from torch.distributed.checkpoint.fsspec_filesystem import (  # type: ignore[import-not-found, unused-ignore]  # not in the torch we check with
        FileSystem as FsspecFileSystem,
    )
    from torch.distributed.checkpoint.fsspec_filesystem import FsspecReader, FsspecWriter
except ImportError:
    from torch.distributed.checkpoint._fsspec_filesystem import FileSystem as FsspecFileSystem
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter

__all__ = ["FsspecFileSystem", "FsspecReader", "FsspecWriter"]

# --- ranks as threads (used by ckpt_harness.worlds.simulated) ------------------------------------------------------------

SIMULATED_BACKEND = "simulated"
"""Name under which ``dist`` knows the process groups of simulated worlds."""


def register_backend(create: Callable[..., Any]) -> None:
    """Makes the simulated backend known to ``dist``; again is harmless.

    The extended form of the creator is used because only it tells the ranks of a sub-group.
    """
    if not hasattr(dist.Backend, SIMULATED_BACKEND.upper()):
        dist.Backend.register_backend(SIMULATED_BACKEND, create, extended_api=True, devices=["cpu"])


class RankWorld:
    """What ``distributed_c10d._world`` holds for one process, for one simulated rank.

    The fields are those of ``torch.testing._internal.distributed.multi_threaded_pg.WorldData``; one that a torch version adds starts as a dict,
    which is what nearly all of them are.
    """

    def __init__(self) -> None:
        self.default_pg: Any = None
        self.group_count = 0
        self.comms: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value: dict[Any, Any] = {}
        self.__dict__[name] = value
        return value

    @property
    def pg_config_info(self) -> list[dict[str, Any]]:
        """What ``dist`` logs about its groups."""
        return type(_process_world).pg_config_info.fget(self)  # type: ignore[no-any-return]


_process_world: Any = distributed_c10d._world
"""The registry of the process itself, which simulated ranks must neither see nor touch."""


class _Worlds:
    """Stands in for ``distributed_c10d._world`` and answers for the rank that asks; other threads reach the process's own."""

    def __init__(self, real: Any, of_caller: Callable[[], RankWorld | None]) -> None:
        self.__dict__["_find"] = lambda: of_caller() or real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)


class _PerRank(MutableMapping[str, Any]):
    """A dict at class level that has different contents for every rank."""

    def __init__(self, real: dict[str, Any], name: str, of_caller: Callable[[], dict[str, Any] | None]) -> None:
        self._real, self._name, self._of_caller = real, name, of_caller

    def _dict(self) -> dict[str, Any]:
        mine = self._of_caller()
        found: dict[str, Any] = self._real if mine is None else mine.setdefault(self._name, {})
        return found

    def __getitem__(self, key: str) -> Any:
        return self._dict()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._dict()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._dict()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict())

    def __len__(self) -> int:
        return len(self._dict())


@contextlib.contextmanager
def ranks_as_threads(
    world_of_caller: Callable[[], RankWorld | None],
    caches_of_caller: Callable[[], dict[str, Any] | None],
    future_wait: Callable[[Callable[[Any], Any]], Callable[[Any], Any]],
) -> Iterator[None]:
    """Makes torch keep per thread what it keeps per process.

    Args:
        world_of_caller: the registry of groups of the calling thread's rank, or None outside of any.
        caches_of_caller: where the calling thread's rank keeps its plan caches, or None outside of any.
        future_wait: wraps ``torch._C.Future.wait``.
    """
    planner: Any = sys.modules.get("torch.distributed.checkpoint.planner")
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        replaced.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    # The registry of process groups; every function of dist reads it through this one name.
    replace(distributed_c10d, "_world", _Worlds(distributed_c10d._world, world_of_caller))
    # init_process_group rebinds these; they are of the process, not of a rank.
    for name in ("_backend", "_default_pg_init_method"):
        if name in distributed_c10d.__dict__:
            replace(distributed_c10d, name, distributed_c10d.__dict__[name])
    # init_process_group wraps the hook each time, once a rank.
    replace(sys, "excepthook", sys.excepthook)
    # The C++ method, since torch.futures.Future.wait and the functions of torch.futures all end there.
    replace(torch._C.Future, "wait", future_wait(torch._C.Future.wait))
    if planner is not None:
        # Plan caches are keyed by the planner's class name, at class level: ranks in one process would overwrite each other's.
        for name, value in list(vars(planner.SavePlanner).items()):
            if name.startswith("_cached_") and isinstance(value, dict):
                replace(planner.SavePlanner, name, _PerRank(value, name, caches_of_caller))
    # Functional collectives look groups up by name, in C++, where all ranks of a process would share one table.
    isolate: Any = vars(_c10d)["_set_thread_isolation_mode"]  # missing from torch's stub
    isolate(True)
    try:
        yield
    finally:
        isolate(False)
        while replaced:
            setattr(*replaced.pop())


def enter_rank(world: RankWorld) -> None:
    """Makes the groups of a rank known to a thread that it started: the table of names is per thread."""
    for group, name in list(world.pg_names.items()):
        _c10d._register_process_group(name, group)


def leave_rank() -> None:
    """Empties the calling thread's table of names."""
    _c10d._unregister_all_process_groups()


# --- ranks as processes (used by ckpt_harness.worlds.processes) -----------------------------------------------------------


def count_groups() -> int:
    """How many process groups this process is in: a body may leave sub-groups behind, and only the registry knows."""
    return len(distributed_c10d._world.pg_map)


def forget_plans() -> None:
    """Empties DCP's plan caches: they are kept at class level, so a rank that is used again would remember the plans of another case."""
    planner: Any = sys.modules.get("torch.distributed.checkpoint.planner")
    if planner is not None:
        for name, value in list(vars(planner.SavePlanner).items()):
            if name.startswith("_cached_") and isinstance(value, dict):
                value.clear()


EXECUTOR = "torch.distributed.checkpoint._async_process_executor"
"""The module of DCP's process executor, which is private; its waits have to be told from others, and its process ended."""


def replace_executor_process(replacement: Any) -> Callable[[], None]:
    """Lets the process of DCP's process executor run ``replacement(real, *args)``, which must pickle: nobody else can get hold of that process.

    Args:
        replacement: called in the new process with what the real one runs, and its arguments.

    Returns:
        What undoes it.
    """
    process: Any = importlib.import_module(EXECUTOR)._AsyncCheckpointProcess
    real = process.__dict__["_checkpointing_subprocess"]
    process._checkpointing_subprocess = replacement

    def undo() -> None:
        process._checkpointing_subprocess = real

    return undo


def executor_main(*args: Any) -> None:
    """What the process of the process executor runs."""
    importlib.import_module(EXECUTOR)._AsyncCheckpointProcess._checkpointing_subprocess(*args)


def replace_execute_save(replacement: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """In that process, for the rest of its life: puts ``replacement(function)`` in the place of what serves one request."""
    process: Any = importlib.import_module(EXECUTOR)._AsyncCheckpointProcess
    process._execute_save = staticmethod(replacement(process._execute_save))


def end_executor_process() -> None:
    """Ends the process that DCP's process executor keeps for the life of this one, as if none had been started: it is global to the process."""
    executor: Any = sys.modules.get(EXECUTOR)
    kept = getattr(executor, "_CHECKPOINT_PROCESS", None)
    if kept is not None:
        kept._save_process.kill()
        kept._save_process.join()
        kept._process_pipe.close()
        executor._CHECKPOINT_PROCESS = None


def copy_all(targets: list[Any], sources: list[Any]) -> None:
    """Copies tensor by tensor in one call: a gather of n ranks to n ranks is n x n copies."""
    torch._foreach_copy_(targets, sources)


# --- ranks of a launcher (used by ckpt_harness.worlds.attached) ------------------------------------------------------------


def leave_groups(*, broken: bool) -> None:
    """Leaves all process groups.

    Args:
        broken: whether collectives of them may never end. Destroying a group waits for NCCL's; aborting, which has no public name, does not.
    """
    if dist.is_initialized():
        if broken and hasattr(distributed_c10d, "_abort_process_group"):
            distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()


def unfinished_collectives(since: int) -> tuple[str, ...]:
    """What torch's flight recorder has of collectives that this process began and that are not over, oldest first; nothing where this torch cannot say.

    The public way to it is a file or a port of a debug server; the function that those call answers at once.

    Args:
        since: wall clock, in nanoseconds; older ones were left by earlier cases.
    """
    dump = vars(_c10d).get("_dump_fr_trace_json")
    if dump is None:
        return ()
    entries = json.loads(dump(includeCollectives=True, onlyActive=True)).get("entries", [])
    mine = [entry for entry in entries if not entry["retired"] and entry["time_created_ns"] >= since]
    return tuple(f"{one['profiling_name']} #{one['collective_seq_id']} of group {one['process_group'][0]}: {one['state']}" for one in mine)


# --- how DCP finds and looks at storage (used by the wrappers and by inject) -------------------------------------------
# Users hold references to save and load that they imported before inject() began, so replacing module attributes would miss them. Every public entry
# is a decorator's wrapper (torch 2.6 to 2.13: _dcp_method_logger, _api_bc_check, typing_extensions.deprecated) that calls the function in one of its
# closure cells; putting another function into the innermost cell reaches every reference, and the decorators run unchanged.

_ENTRIES: dict[str, ModuleType] = {
    "save": state_dict_saver,
    "async_save": state_dict_saver,
    "save_state_dict": state_dict_saver,
    "load": state_dict_loader,
    "load_state_dict": state_dict_loader,
}

RESOLVED_WRITER_STAGES = not hasattr(state_dict_saver, "DefaultStager")
"""Whether ``async_save`` lets the writer that it resolves from ``checkpoint_id`` stage the state: so it did before there was a DefaultStager."""


def replace_entry(name: str, replacement: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], None]:
    """Puts ``replacement(function)`` in the place of the undecorated function behind a public entry of DCP.

    Args:
        name: ``save``, ``async_save``, ``load``, ``save_state_dict`` or ``load_state_dict``.
        replacement: makes the new function from the old.

    Returns:
        What undoes it.
    """
    public = getattr(_ENTRIES[name], name)
    cell, function = _innermost(public)
    new = replacement(function)
    if cell is not None:
        cell.cell_contents = new

        def undo() -> None:
            cell.cell_contents = function

        return undo
    homes = [home for home in (_ENTRIES[name], checkpoint) if getattr(home, name) is public]  # an undecorated entry: a version we have not seen

    def put(function: Any) -> None:
        for home in homes:
            setattr(home, name, function)

    put(new)
    return lambda: put(public)


def _innermost(function: Any) -> tuple[CellType | None, Any]:
    """The function behind all decorators, and the closure cell of the last of them that holds it."""
    cell = None
    while (wrapped := getattr(function, "__wrapped__", None)) is not None:
        holding = [one for one in function.__closure__ or () if one.cell_contents is wrapped]
        if not holding:
            break
        cell, function = holding[0], wrapped
    return cell, function


def replace_default_stager(replacement: Callable[[Any], Any]) -> Callable[[], None]:
    """Lets ``async_save`` use ``replacement(stager)`` where it makes a stager of its own, which nobody else can get hold of.

    Returns:
        What undoes it.
    """
    if RESOLVED_WRITER_STAGES:
        return lambda: None
    real = state_dict_saver.DefaultStager
    state_dict_saver.DefaultStager = lambda *args, **kwargs: replacement(real(*args, **kwargs))  # type: ignore[assignment, misc]

    def undo() -> None:
        state_dict_saver.DefaultStager = real  # type: ignore[misc]

    return undo


def background_stager() -> Any:
    """DCP's stager that copies while the rank goes on, as far as it goes without an accelerator; one that blocks where there is none (before torch 2.9)."""
    try:
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
    except ImportError:
        return BlockingAsyncStager()
    pinned = torch.cuda.is_available()  # pinned memory and copies that do not block need an accelerator
    return DefaultStager(StagingOptions(pinned, not pinned, True, pinned))


def resolve_storage(checkpoint_id: Any, *, reader: bool) -> Any:
    """The storage that DCP chooses for a ``checkpoint_id``, chosen by its own code, which is private.

    Raises:
        RuntimeError: DCP finds none.
    """
    return _storage_setup(None, checkpoint_id, reader=reader)


# --- what workloads and engines need of DCP's surroundings --------------------------------------------------------------
# ShardedTensor is deprecated in favour of DTensor but still what DCP's own failure tests shard with; it has no public home.
# Fsspec's storage classes, imported above, are documented for users, yet lived in a private module until torch 2.15.


def zstandard() -> Any:
    """DCP's stream extension that compresses, which has no public home.

    Raises:
        ImportError: this torch has none, or a package that it needs is missing.
    """
    from torch.distributed.checkpoint._extension import ZStandard

    if not ZStandard.is_available():
        raise ImportError("DCP's extension needs the package zstandard or pyzstd: pip install 'ckpt-harness[zstd]'")
    return ZStandard()


def empty_sharded_tensor(count: int, group: Any = None) -> Any:
    """A one-dimensional float64 ``ShardedTensor`` of ``count`` elements, chunked over a group's ranks on the CPU; made without a collective.

    Its placements name ranks of the world, whatever the group.
    """
    ranks = torch.distributed.get_process_group_ranks(group)
    spec = sharding_spec.ChunkShardingSpec(dim=0, placements=[f"rank:{rank}/cpu" for rank in ranks])
    return sharded_tensor.empty(spec, count, dtype=torch.float64, process_group=group)


def is_sharded_tensor(value: object) -> bool:
    """Whether ``value`` is a ``ShardedTensor``."""
    return isinstance(value, sharded_tensor.ShardedTensor)


def local_shards(sharded: Any) -> Iterator[tuple[int, torch.Tensor]]:
    """(offset in the whole, tensor) of each shard that the calling rank holds of a one-dimensional sharded tensor."""
    for shard in sharded.local_shards():
        yield int(shard.metadata.shard_offsets[0]), shard.tensor


def save_with_coordinator(state: dict[str, Any], writer: Any, coordinator: int, planner: Any, group: Any = None) -> None:
    """``save_state_dict``, the only entry that takes a coordinator. Called behind its deprecation wrapper: one warning a save says nothing new."""
    entry = getattr(checkpoint.save_state_dict, "__wrapped__", checkpoint.save_state_dict)
    entry(state, writer, process_group=group, coordinator_rank=coordinator, planner=planner)


def load_with_coordinator(state: dict[str, Any], reader: Any, coordinator: int, planner: Any, group: Any = None) -> None:
    """``load_state_dict``, likewise."""
    entry = getattr(checkpoint.load_state_dict, "__wrapped__", checkpoint.load_state_dict)
    entry(state, reader, process_group=group, coordinator_rank=coordinator, planner=planner)


def timeline_logger() -> logging.Logger:
    """DCP's own log of every call, with clock times and uuids, at DEBUG; pytest would show pages of it under each failure. It has no public name."""
    return checkpoint.logger._dcp_logger


def is_stateful(value: object) -> bool:
    """Whether DCP would ask ``value`` for its state."""
    return isinstance(value, Stateful)


class Piece(NamedTuple):
    """Where a tensor's chunk, or an object, lies in a checkpoint on files.

    Attributes:
        name: of the entry.
        offset: of the chunk; None for an object.
        file: relative to the checkpoint.
        start: its first byte.
        end: the byte after its last.
    """

    name: str
    offset: tuple[int, ...] | None
    file: str
    start: int
    end: int


def stored_pieces(metadata: Any) -> list[Piece]:
    """What the metadata of a file system's checkpoint says of its files. The values of ``storage_data`` are of a private class of each storage."""
    return [
        Piece(index.fqn, None if index.offset is None else tuple(index.offset), info.relative_path, info.offset, info.offset + info.length)
        for index, info in (metadata.storage_data or {}).items()
        if hasattr(info, "relative_path")
    ]
