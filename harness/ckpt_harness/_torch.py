"""Every private name of torch that the harness uses, with the reason, and with the differences between versions of torch.

No other module of ``ckpt_harness`` uses a private name of torch. The import of this module imports torch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import itertools
import json
import logging
import operator
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from types import CellType, ModuleType
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch._C import _distributed_c10d as _c10d
from torch.distributed import checkpoint, distributed_c10d
from torch.distributed._shard import sharded_tensor, sharding_spec
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint._storage_utils import _storage_setup
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.stateful import Stateful
from torch.torch_version import TorchVersion

try:  # FsspecReader and FsspecWriter are public since torch 2.15, where an import from the old module emits a deprecation warning
    from torch.distributed.checkpoint.fsspec_filesystem import (  # type: ignore[import-not-found, unused-ignore]  # absent from the torch of the type check
        FsspecReader,
        FsspecWriter,
    )
    from torch.distributed.checkpoint.fsspec_filesystem import _FileSystem as FsspecFileSystem
except ImportError:
    from torch.distributed.checkpoint._fsspec_filesystem import FileSystem as FsspecFileSystem
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter

__all__ = ["FsspecFileSystem", "FsspecReader", "FsspecWriter"]

# --- facts of releases, which other modules ask for ----------------------------------------------------------------------

RELEASE = TorchVersion(torch.__version__)
"""The installed release, such as ``2.13.0+cpu``. Compared with a text, it is compared as a release: 2.9 comes before 2.12."""

METADATA_ERRORS_ARE_QUOTED = RELEASE >= "2.12"
"""Whether the ``AssertionError`` that a load raises in place of an error of ``read_metadata`` quotes that error (DCP-003)."""

OWN_STAGER_IS_CLOSED = RELEASE >= "2.13"
"""Whether ``async_save`` calls ``close`` of the stager that it made itself. Before, nobody does."""

PLAN_CACHE_SURVIVES_FAILURES = RELEASE >= "2.10"
"""On 2.9 a planner that caches plans cannot save again after an error in ``create_global_plan`` (TypeError). Not so on 2.13; between them nothing was run."""

BACKGROUND_PROCESS_IS_WATCHED = RELEASE >= "2.10"
"""On 2.9 the harness cannot tell what a rank waits for that waits for the background process of an async save, and has no verdict. On 2.13 it can."""

CHECKPOINTABLE_TENSORS = hasattr(checkpoint, "CheckpointableTensor")
"""Whether DCP looks at what a plain tensor states about its parts (torch 2.14 and newer). An older torch saves the rank's buffer as a whole tensor."""

FLUSHES_BEFORE_FSYNC = CHECKPOINTABLE_TENSORS  # both came with torch 2.14, and a name shows in its nightly builds too
"""Whether DCP's file system storage flushes a stream before it calls ``os.fsync``, and never calls ``os.sync`` (torch 2.14 and newer).

Older releases sync ``.metadata.tmp`` while its bytes are still in Python's buffer.
"""

# --- ranks as threads (used by ckpt_harness.worlds.simulated) ------------------------------------------------------------

SIMULATED_BACKEND = "simulated"
"""The name of the backend of simulated worlds in ``dist``."""


def register_backend(create: Callable[..., Any]) -> None:
    """Registers the simulated backend with ``dist``, unless it is registered already.

    Args:
        create: creates a process group. It is called in the extended form, the only form that passes the ranks of a sub-group.
    """
    if not hasattr(dist.Backend, SIMULATED_BACKEND.upper()):
        dist.Backend.register_backend(SIMULATED_BACKEND, create, extended_api=True, devices=["cpu"])
    # The flight recorder of torch 2.15 asks a group's C++ backend for its name, and a simulated group is Python alone.
    recorded_elsewhere: set[str] = getattr(distributed_c10d, "_FR_SELF_RECORDING_BACKENDS", set())
    recorded_elsewhere.add(SIMULATED_BACKEND)


class RankWorld:
    """What ``distributed_c10d._world`` contains for a process, but for one simulated rank; and its plan caches, by name.

    The fields are those of ``torch.testing._internal.distributed.multi_threaded_pg.WorldData``. A field that a newer torch adds starts as an empty dict,
    as nearly all fields do.
    """

    def __init__(self) -> None:
        self.default_pg: Any = None
        self.group_count = 0
        self.comms: list[Any] = []
        self.plan_caches: dict[str, dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value: dict[Any, Any] = {}
        self.__dict__[name] = value
        return value

    @property
    def pg_config_info(self) -> list[dict[str, Any]]:
        """The description of the groups that ``dist`` writes to its log."""
        return type(_process_world).pg_config_info.fget(self)  # type: ignore[no-any-return]


_process_world: Any = distributed_c10d._world
"""The registry of the process itself. Simulated ranks must neither read nor change it."""


class _Here(threading.local):
    """What the calling thread belongs to.

    Attributes:
        world: the registry of the thread's rank; on a thread of no rank, the registry of the process.
    """

    world: Any = _process_world


_here = _Here()


class _Worlds:
    """Stands in for ``distributed_c10d._world``: each simulated rank reaches its own registry, other threads reach the registry of the process."""

    # DCP asks for the default group some 150 times in each operation of a rank, so this way runs without a frame of Python.
    default_pg = property(operator.attrgetter("_here.world.default_pg"))
    _here = _here

    def __getattr__(self, name: str) -> Any:
        return getattr(_here.world, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_here.world, name, value)


class _PerRank(MutableMapping[str, Any]):
    """A dict at class level with different contents for each rank."""

    def __init__(self, real: dict[str, Any], name: str) -> None:
        self._real, self._name = real, name

    def _dict(self) -> dict[str, Any]:
        world = _here.world
        return world.plan_caches.setdefault(self._name, {}) if isinstance(world, RankWorld) else self._real

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
    future_wait: Callable[[Callable[[Any], Any]], Callable[[Any], Any]],
    future_derived: Callable[[list[Any], Any], None],
) -> Iterator[None]:
    """Until the end of the ``with`` block, torch keeps per rank what it usually keeps per process. Threads of ranks call :func:`enter_rank`.

    Args:
        future_wait: wraps ``torch._C.Future.wait``.
        future_derived: receives the sources of each future that is made from other futures, and the new future.
    """
    planner: Any = sys.modules.get("torch.distributed.checkpoint.planner")
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        replaced.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    # The registry of process groups. Every function of dist reads the registry through this name.
    replace(distributed_c10d, "_world", _Worlds())
    # A program may ask for a group of a backend by name, such as gloo for its async saves. Ranks of one process cannot form such a group.
    replace(distributed_c10d, "_new_process_group_helper", _simulated_for_ranks(distributed_c10d._new_process_group_helper))
    # init_process_group rebinds these names, which belong to the process, not to a rank.
    for name in ("_backend", "_default_pg_init_method"):
        if name in distributed_c10d.__dict__:
            replace(distributed_c10d, name, distributed_c10d.__dict__[name])
    # init_process_group wraps the hook at each call, so once per rank.
    replace(sys, "excepthook", sys.excepthook)
    for owner, name, value in future_replacements(future_wait, future_derived):
        replace(owner, name, value)
    if planner is not None:
        # Plan caches live at class level, with the name of the planner's class as key: ranks in one process would overwrite each other's plans.
        for name, value in list(vars(planner.SavePlanner).items()):
            if name.startswith("_cached_") and isinstance(value, dict):
                replace(planner.SavePlanner, name, _PerRank(value, name))
    # Functional collectives look up groups by name, in C++. Without isolation, all ranks of the process would share one table of names.
    isolate: Any = vars(_c10d)["_set_thread_isolation_mode"]  # missing from torch's stub
    isolate(True)
    try:
        yield
    finally:
        isolate(False)
        while replaced:
            setattr(*replaced.pop())


def _simulated_for_ranks(make: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the function that makes each process group: whatever backend a simulated rank asks for, it gets the simulated one."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        if isinstance(_here.world, RankWorld):
            call.arguments["backend"] = SIMULATED_BACKEND
        return make(*call.args, **call.kwargs)

    return made


def future_replacements(
    future_wait: Callable[[Callable[[Any], Any]], Callable[[Any], Any]], derived: Callable[[list[Any], Any], None]
) -> list[tuple[Any, str, Any]]:
    """What a world replaces to see who waits for a torch future: (owner, name, replacement).

    The methods are those of C++, which all of ``torch.futures`` calls.

    Args:
        future_wait: wraps ``torch._C.Future.wait``.
        derived: receives the sources of each future that is made from other futures, and the new future.
    """
    real_then, real_collect = torch._C.Future.then, torch._C._collect_all

    def then(future: Any, callback: Callable[[Any], Any]) -> Any:
        made = real_then(future, callback)
        derived([future], made)
        return made

    def collect_all(futures: Any) -> Any:
        sources = list(futures)
        made = real_collect(sources)
        derived(sources, made)
        return made

    return [
        (torch._C.Future, "wait", future_wait(torch._C.Future.wait)),
        (torch._C.Future, "then", then),
        (torch._C, "_collect_all", collect_all),
    ]


def enter_rank(world: RankWorld) -> None:
    """Makes the calling thread, which the rank started, part of a rank, and registers its groups: the table of group names is per thread."""
    _here.world = world
    for group, name in list(world.pg_names.items()):
        _c10d._register_process_group(name, group)


def leave_rank() -> None:
    """Makes the calling thread part of no rank, and empties its table of group names."""
    _here.__dict__.pop("world", None)
    _c10d._unregister_all_process_groups()


# --- ranks as processes (used by ckpt_harness.worlds.processes) -----------------------------------------------------------


def count_groups() -> int:
    """The number of process groups of this process. A body may leave sub-groups behind; only the private registry lists them."""
    return len(distributed_c10d._world.pg_map)


def forget_plans() -> None:
    """Empties DCP's plan caches. They live at class level, so a process that is used again would keep the plans of an earlier case."""
    planner: Any = sys.modules.get("torch.distributed.checkpoint.planner")
    if planner is not None:
        for name, value in list(vars(planner.SavePlanner).items()):
            if name.startswith("_cached_") and isinstance(value, dict):
                value.clear()


EXECUTOR = "torch.distributed.checkpoint._async_process_executor"
"""The module of DCP's process executor. It is private; the harness must recognise waits in this module, and end its process."""


def replace_executor_process(replacement: Any) -> Callable[[], None]:
    """Lets the process of DCP's process executor run ``replacement`` in place of its own main function. There is no public access to the process.

    Args:
        replacement: called in the new process with the arguments of the real main function. It must be picklable.

    Returns:
        A function that restores the real main function.
    """
    process: Any = importlib.import_module(EXECUTOR)._AsyncCheckpointProcess
    real = process.__dict__["_checkpointing_subprocess"]
    process._checkpointing_subprocess = replacement

    def undo() -> None:
        process._checkpointing_subprocess = real

    return undo


def executor_main(*args: Any) -> None:
    """The real main function of the process executor's process."""
    importlib.import_module(EXECUTOR)._AsyncCheckpointProcess._checkpointing_subprocess(*args)


def replace_execute_save(replacement: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """In the process executor's process, until the process ends: replaces the function that serves a request.

    Args:
        replacement: makes the new function from the old function.
    """
    process: Any = importlib.import_module(EXECUTOR)._AsyncCheckpointProcess
    process._execute_save = staticmethod(replacement(process._execute_save))


def end_executor_process() -> None:
    """Ends the process of DCP's process executor, which otherwise lives as long as this process, and resets the private global that refers to it."""
    executor: Any = sys.modules.get(EXECUTOR)
    kept = getattr(executor, "_CHECKPOINT_PROCESS", None)
    if kept is not None:
        kept._save_process.kill()
        kept._save_process.join()
        kept._process_pipe.close()
        executor._CHECKPOINT_PROCESS = None


def copy_all(targets: list[Any], sources: list[Any]) -> None:
    """Copies all tensors in one call, which is faster than a loop: an all-gather over n ranks is n x n copies."""
    torch._foreach_copy_(targets, sources)


# --- ranks of a launcher (used by ckpt_harness.worlds.attached) ------------------------------------------------------------


def leave_groups(*, broken: bool) -> None:
    """Leaves all process groups.

    Args:
        broken: whether collectives of the groups may never end. ``destroy_process_group`` waits for collectives of NCCL; aborting does not wait, but
            has no public name.
    """
    if dist.is_initialized():
        if broken and hasattr(distributed_c10d, "_abort_process_group"):
            distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()


def unfinished_collectives(since: int) -> tuple[str, ...]:
    """The unfinished collectives of this process according to torch's flight recorder, oldest first; empty if this torch has no flight recorder.

    The public ways to the flight recorder are a file and the port of a debug server. The private function behind them returns at once.

    Args:
        since: wall clock time in nanoseconds. Older collectives are left out, since they belong to earlier cases.
    """
    dump = vars(_c10d).get("_dump_fr_trace_json")
    if dump is None:
        return ()
    entries = json.loads(dump(includeCollectives=True, onlyActive=True)).get("entries", [])
    unfinished = [entry for entry in entries if not entry["retired"] and entry["time_created_ns"] >= since]
    return tuple(f"{entry['profiling_name']} #{entry['collective_seq_id']} of group {entry['process_group'][0]}: {entry['state']}" for entry in unfinished)


# --- how DCP finds and inspects storage (used by the wrappers and by inject) -------------------------------------------
# User code may have imported save and load before inject() began; a replaced module attribute would not change those references. But every public
# entry is the wrapper of a decorator (torch 2.9 to 2.15: _dcp_method_logger, _api_bc_check, typing_extensions.deprecated), which calls the function in
# one of its closure cells. A new function in the innermost cell reaches every reference, and the decorators run unchanged.

_ENTRIES: dict[str, ModuleType] = {
    "save": state_dict_saver,
    "async_save": state_dict_saver,
    "save_state_dict": state_dict_saver,
    "load": state_dict_loader,
    "load_state_dict": state_dict_loader,
}


def replace_entry(name: str, replacement: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], None]:
    """Replaces the undecorated function behind a public entry of DCP.

    Args:
        name: ``save``, ``async_save``, ``load``, ``save_state_dict`` or ``load_state_dict``.
        replacement: makes the new function from the old function.

    Returns:
        A function that restores the old function.
    """
    public = getattr(_ENTRIES[name], name)
    cell, function = _innermost(public)
    new = replacement(function)
    if cell is not None:
        cell.cell_contents = new

        def undo() -> None:
            cell.cell_contents = function

        return undo
    homes = [home for home in (_ENTRIES[name], checkpoint) if getattr(home, name) is public]  # an undecorated entry: in no version known so far

    def put(function: Any) -> None:
        for home in homes:
            setattr(home, name, function)

    put(new)
    return lambda: put(public)


def _innermost(function: Any) -> tuple[CellType | None, Any]:
    """The function behind all decorators, and the closure cell of the innermost decorator that contains the function."""
    cell = None
    while (wrapped := getattr(function, "__wrapped__", None)) is not None:
        cells = [candidate for candidate in function.__closure__ or () if candidate.cell_contents is wrapped]
        if not cells:
            break
        cell, function = cells[0], wrapped
    return cell, function


def replace_default_stager(replacement: Callable[[Any], Any]) -> Callable[[], None]:
    """Lets ``async_save`` use ``replacement(stager)`` in place of the stager that it creates itself. There is no public access to that stager.

    Args:
        replacement: makes the new stager from the default stager.

    Returns:
        A function that restores the default.
    """
    real = state_dict_saver.DefaultStager
    state_dict_saver.DefaultStager = lambda *args, **kwargs: replacement(real(*args, **kwargs))  # type: ignore[assignment, misc]

    def undo() -> None:
        state_dict_saver.DefaultStager = real  # type: ignore[misc]

    return undo


def background_stager() -> Any:
    """DCP's stager that copies in the background, with the options that work on this machine."""
    pinned = torch.cuda.is_available()  # pinned memory and non-blocking copies need an accelerator
    return DefaultStager(StagingOptions(pinned, not pinned, True, pinned))


def is_future(value: object) -> bool:
    """Whether ``value`` is a future of torch. What ``then`` returns is of the base class, which has no public name."""
    return isinstance(value, torch._C.Future)


def completed_future(value: Any) -> Any:
    """A future of torch that has completed."""
    future: Any = torch.futures.Future()
    future.set_result(value)
    return future


def failed_future(error: BaseException) -> Any:
    """A future of torch that has failed.

    The public ``set_exception`` refuses errors that are no ``Exception``, such as ``SystemExit``; they are set as it sets all others.
    """
    future: Any = torch.futures.Future()
    if isinstance(error, Exception):
        future.set_exception(error)
        return future

    def raise_error(result: BaseException) -> None:
        raise result

    torch._C.Future._set_unwrap_func(future, raise_error)
    future.set_result(error)
    return future


def resolve_storage(checkpoint_id: Any, *, reader: bool) -> Any:
    """The storage that DCP's own, private, code chooses for a ``checkpoint_id``.

    Args:
        checkpoint_id: the path or URL of a checkpoint.
        reader: whether to return a reader, not a writer.

    Raises:
        RuntimeError: DCP has no storage for the id.
    """
    return _storage_setup(None, checkpoint_id, reader=reader)


# --- what workloads and engines need from torch -------------------------------------------------------------------------
# ShardedTensor has no public module. It is deprecated in favour of DTensor, but DCP's own failure tests still use it.
# The storage classes for fsspec, imported above, are documented for users, but lived in a private module until torch 2.15.


def zstandard() -> Any:
    """DCP's stream extension that compresses. It has no public module.

    Raises:
        ImportError: this torch has no such extension, or a package that the extension needs is missing.
    """
    from torch.distributed.checkpoint._extension import ZStandard

    if not ZStandard.is_available():
        raise ImportError("DCP's extension needs the package zstandard or pyzstd: pip install 'ckpt-harness[zstd]'")
    return ZStandard()


def empty_sharded_tensor(count: int, group: Any = None) -> Any:
    """A one-dimensional float64 ``ShardedTensor`` on the CPU, chunked over the ranks of a group; created without a collective.

    Args:
        count: number of elements.
        group: the process group; None for the default group. Placements name ranks of the world in every group.
    """
    spec = _chunks(tuple(torch.distributed.get_process_group_ranks(group)))
    return sharded_tensor.empty(spec, count, dtype=torch.float64, process_group=group)


@functools.lru_cache(maxsize=64)  # a specification is not changed by anyone, and each of its placements is parsed
def _chunks(ranks: tuple[int, ...]) -> Any:
    return sharding_spec.ChunkShardingSpec(dim=0, placements=[f"rank:{rank}/cpu" for rank in ranks])


def interleaved_sharded_tensor(whole: torch.Tensor, group: Any = None) -> Any:
    """A one-dimensional float64 ``ShardedTensor`` with two shards on each rank of a group; created without a collective.

    Rank ``r`` of ``n`` holds shards ``r`` and ``r + n``.

    Args:
        whole: the whole tensor, with at least one element for each shard.
        group: the process group; None for the default group.
    """
    ranks = torch.distributed.get_process_group_ranks(group)
    count = 2 * len(ranks)
    bounds = [number * len(whole) // count for number in range(count + 1)]
    shards = []
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        shards.append(sharding_spec.ShardMetadata([first], [last - first], f"rank:{ranks[number % len(ranks)]}/cpu"))
    own = shards[torch.distributed.get_rank(group) :: len(ranks)]
    local = [sharded_tensor.Shard(whole.narrow(0, shard.shard_offsets[0], shard.shard_sizes[0]).clone(), shard) for shard in own]
    metadata = sharded_tensor.ShardedTensorMetadata(shards, whole.size(), sharded_tensor.TensorProperties(dtype=whole.dtype))
    return sharded_tensor.ShardedTensor._init_from_local_shards_and_global_metadata(local, metadata, process_group=group)


def is_sharded_tensor(value: object) -> bool:
    """Whether ``value`` is a ``ShardedTensor``."""
    return isinstance(value, sharded_tensor.ShardedTensor)


def local_shards(sharded: Any) -> Iterator[tuple[int, torch.Tensor]]:
    """(offset in elements, tensor) of each shard of a one-dimensional sharded tensor on the calling rank."""
    for shard in sharded.local_shards():
        yield int(shard.metadata.shard_offsets[0]), shard.tensor


def save_with_coordinator(state: dict[str, Any], writer: Any, coordinator: int, planner: Any, group: Any = None) -> None:
    """Calls ``save_state_dict``, the only save with a parameter for the coordinator, without the deprecation warning of its wrapper."""
    entry = getattr(checkpoint.save_state_dict, "__wrapped__", checkpoint.save_state_dict)
    entry(state, writer, process_group=group, coordinator_rank=coordinator, planner=planner)


def load_with_coordinator(state: dict[str, Any], reader: Any, coordinator: int, planner: Any, group: Any = None) -> None:
    """Calls ``load_state_dict``, the only load with a parameter for the coordinator, without the deprecation warning of its wrapper."""
    entry = getattr(checkpoint.load_state_dict, "__wrapped__", checkpoint.load_state_dict)
    entry(state, reader, process_group=group, coordinator_rank=coordinator, planner=planner)


def timeline_logger() -> logging.Logger:
    """The logger of DCP's timeline, which has no public name. At DEBUG, it logs each call with times and UUIDs: pages under each failure in pytest."""
    return checkpoint.logger._dcp_logger


def is_stateful(value: object) -> bool:
    """Whether DCP treats ``value`` as ``Stateful``, and so calls its ``state_dict``."""
    return type(value) not in _NEVER_STATEFUL and isinstance(value, Stateful)


_NEVER_STATEFUL = (torch.Tensor, int, str, dict, list)
"""Types of most values in a state. To look for the methods of ``Stateful`` in each value takes long."""


class Piece(NamedTuple):
    """The place of a tensor's chunk, or of an object, in a checkpoint that consists of files.

    Attributes:
        name: the fully qualified name of the entry.
        offset: the offset of the chunk in each dimension, in elements; None for an object.
        file: the file, relative to the checkpoint.
        start: the first byte.
        end: the byte after the last.
    """

    name: str
    offset: tuple[int, ...] | None
    file: str
    start: int
    end: int


def stored_pieces(metadata: Any) -> list[Piece]:
    """The pieces that the metadata of a checkpoint lists. The values of ``storage_data`` are of a private class, different for each storage."""
    return [
        Piece(index.fqn, None if index.offset is None else tuple(index.offset), info.relative_path, info.offset, info.offset + info.length)
        for index, info in (metadata.storage_data or {}).items()
        if hasattr(info, "relative_path")
    ]


# --- torchrun ----------------------------------------------------------------------------------------------------------
# The drill forks the ranks of torchrun from a process that has torch imported. torchrun has no public way to say how a rank is started: all of its
# processes for scripts come from SubprocessHandler._popen, in every release so far.


def fork_workers(start: Callable[[Sequence[str], dict[str, str], Any, Any], Any]) -> None:
    """Lets torchrun, in this process, start its ranks in another way.

    Args:
        start: is called with the words of the command, its environment, and the files for stdout and stderr or None. Returns an object like
            ``subprocess.Popen``; None where torchrun is to start the process itself.
    """
    from torch.distributed.elastic.multiprocessing.subprocess_handler import SubprocessHandler

    original = SubprocessHandler._popen

    def popen(self: Any, args: Any, env: dict[str, str]) -> Any:
        process = start(args, env, self._stdout, self._stderr)
        return original(self, args, env) if process is None else process

    SubprocessHandler._popen = popen  # type: ignore[method-assign]


def torchrun(arguments: list[str]) -> None:
    """Runs ``torchrun`` in this process."""
    from torch.distributed import run

    run.main(arguments)
