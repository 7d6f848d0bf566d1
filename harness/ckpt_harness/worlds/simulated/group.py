"""A process group whose ranks are threads of one world.

``dist`` and the functional collectives call the methods of :class:`SimulatedGroup`. Each call becomes a :class:`~.patterns.Call` of a rank, and waiting
for it is a scheduler point. :mod:`~ckpt_harness.worlds.simulated.collectives` defines which ranks a rank needs, and
:mod:`~ckpt_harness.worlds.simulated.transfers` how data moves.

Not modelled: devices (every tensor is on the CPU, with ``backend="nccl"`` too); timeouts of collectives that were started with ``async_op=True`` and are
never waited for; that NCCL by default ends the process when its watchdog fires (here the waiting call raises, as with
``TORCH_NCCL_BLOCKING_WAIT``).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist

from ckpt_harness import _torch
from ckpt_harness.worlds.base import Faults
from ckpt_harness.worlds.simulated import transfers
from ckpt_harness.worlds.simulated.collectives import GroupState
from ckpt_harness.worlds.simulated.patterns import Call, Dissemination, Everybody, Mesh, Move, Operation, Slot, Star, Tree
from ckpt_harness.worlds.simulated.scheduler import Scheduler
from ckpt_harness.worlds.simulated.tasks import Waiting, current_task

Backend = Literal["gloo", "nccl"]

if TYPE_CHECKING:
    # torch's type stub declares overloads that dist and the C++ code never use; the methods here accept only the calls that occur.
    class _ProcessGroup:
        def __init__(self, rank: int, size: int) -> None: ...
else:
    _ProcessGroup = dist.ProcessGroup

_SITES = {"gather", "scatter", "broadcast", "all_gather", "barrier"}


class Fabric:
    """The process groups of a world.

    Args:
        scheduler: the world's scheduler.
        backend: the backend whose behaviour on timeouts and deaths is modelled.
        faults: consulted before collectives that are sites.
    """

    def __init__(self, scheduler: Scheduler, backend: Backend, faults: Faults | None) -> None:
        self.scheduler, self.backend, self.faults = scheduler, backend, faults
        self.dead: set[int] = set()
        self._groups: dict[tuple[str, tuple[int, ...], int], GroupState] = {}
        self._made: dict[tuple[str, tuple[int, ...], int], int] = {}

    def join(self, name: str, ranks: tuple[int, ...], rank: int) -> GroupState:
        """Returns the shared state of a group for a member that creates it; the member may have destroyed an earlier group of that name."""
        mine = (name, ranks, rank)
        generation = self._made[mine] = self._made.get(mine, 0) + 1
        key = (name, ranks, generation)
        if key not in self._groups:
            self._groups[key] = GroupState(self.scheduler, ranks, notices_closure=self.backend == "gloo")
            for dead in self.dead.intersection(ranks):
                self._groups[key].close(ranks.index(dead))
        return self._groups[key]

    def die(self, rank: int) -> None:
        """Closes the connections of a dead rank, if the backend's ranks notice closed connections."""
        self.dead.add(rank)
        for state in self._groups.values():
            if rank in state.ranks:
                state.close(state.ranks.index(rank))


class SimulatedWork(dist.Work):
    """The work object of a started collective. :meth:`wait` is the scheduler point."""

    def __init__(self, group: SimulatedGroup, call: Call) -> None:
        super().__init__()
        self._group, self._call, self._result = group, call, call.outputs
        self._waiting = Waiting(call.operation.name, tell=self._tell)

    def _tell(self) -> tuple[str, tuple[int, ...]]:
        return self._group.state.describe(self._call)

    def wait(self, timeout: dt.timedelta | None = None) -> bool:
        """Parks the calling task until the collective has ended; raises its error if it failed."""
        call = self._call
        self._group.forget(self)
        if not call.done:
            self._park(_seconds(timeout) or self._group.seconds)
        if call.error is not None:
            raise call.error
        return True

    def _park(self, seconds: float) -> None:
        call, scheduler = self._call, self._group.state.scheduler
        me = current_task()
        if me is None or me.scheduler is not scheduler:
            raise RuntimeError("only a thread of a rank of a simulated world can wait for its collectives")
        call.waiters.append(me)
        try:
            while not call.done:
                in_time = scheduler.park(self._waiting, call.began + seconds, "timer")
                # Ranks whose timers fire at the same moment all report the timeout, not each other's closed connections.
                if not in_time and (call.error is not None or not call.done):
                    self._group.time_out(call, seconds)
        finally:
            call.waiters.remove(me)

    def is_completed(self) -> bool:
        return self._call.done

    def is_success(self) -> bool:
        return self._call.done and self._call.error is None

    def exception(self) -> Any:
        return self._call.error

    def result(self) -> list[torch.Tensor]:
        return list(_flat(self._result))

    def synchronize(self) -> None:
        self.wait()

    def _source_rank(self) -> int:
        return self._call.source

    source_rank = _source_rank

    def get_future(self) -> torch.futures.Future[Any]:
        """Returns a future that completes when the collective ends."""
        future: torch.futures.Future[Any] = torch.futures.Future()

        def settle() -> None:
            if self._call.error is not None:
                future.set_exception(self._call.error)
            else:
                future.set_result(self.result())

        if self._call.done:
            settle()
        else:
            self._call.listeners.append(settle)
        return future


def _seconds(timeout: dt.timedelta | None) -> float:
    return 0.0 if timeout is None else max(timeout.total_seconds(), 0.0)


def _flat(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value or () for tensor in _flat(item)]


class SimulatedGroup(_ProcessGroup):
    """A process group on a rank.

    Args:
        fabric: the world's process groups.
        name: the name of the group, the same on every member.
        ranks: the members, as ranks of the world, in group order.
        rank: this member's rank in the group.
        seconds: timeout of each collective, in virtual seconds.
    """

    def __init__(self, fabric: Fabric, name: str, ranks: tuple[int, ...], rank: int, seconds: float) -> None:
        super().__init__(rank, len(ranks))
        self.seconds = seconds
        self.state = fabric.join(name, ranks, rank)
        self._fabric, self._name, self._my_rank = fabric, name, rank
        self._sequence = 0
        self._timed_out = False
        self._pending: set[SimulatedWork] = set()

    # --- methods that torch requires ------------------------------------------------------------------------------

    def rank(self) -> int:
        return self._my_rank

    def size(self) -> int:
        return len(self.state.ranks)

    def getBackendName(self) -> str:  # noqa: N802  (the name that torch requires)
        return _torch.SIMULATED_BACKEND

    def name(self) -> str:
        return _torch.SIMULATED_BACKEND

    @property
    def group_name(self) -> str:
        return self._name

    @property
    def _device_types(self) -> list[torch.device]:
        return [torch.device("cpu")]

    def _get_backend(self, device: torch.device) -> SimulatedGroup:
        return self

    def _set_default_timeout(self, timeout: dt.timedelta) -> None:
        self.seconds = _seconds(timeout)

    def set_timeout(self, timeout: dt.timedelta) -> None:
        self.seconds = _seconds(timeout)

    def shutdown(self) -> None:
        """Does nothing."""

    def abort(self) -> None:
        """Closes this rank's connections of the group."""
        self._timed_out = True
        self.state.close(self._my_rank)

    def __repr__(self) -> str:
        return f"SimulatedGroup({self._name!r}, rank {self._my_rank} of {self.size()})"

    # --- a collective ------------------------------------------------------------------------------------------

    def _collective(
        self,
        name: str,
        opts: Any,
        pattern: type[Slot],
        move: Move,
        inputs: Any,
        outputs: Any,
        root: int | None = None,
        unit: tuple[Any, ...] | None = None,
    ) -> Any:
        """Starts a collective, and waits for it unless ``async_op`` is set."""

        def act() -> SimulatedWork:
            work = self._start(Operation(name, root, unit), pattern, move, inputs, outputs)
            asynchronous = getattr(opts, "asyncOp", False)
            if asynchronous:
                self._pending.add(work)  # C++ may hold only its own half of the object
            if asynchronous or work.is_completed():
                self.state.scheduler.pause()
            if not asynchronous:
                work.wait(getattr(opts, "timeout", None))
            return work

        faults = self._fabric.faults
        if faults is None or name not in _SITES:
            return act()
        work = faults.call(f"pg.{name}", act)
        return work if isinstance(work, dist.Work) else self._skipped(outputs)

    def _start(self, operation: Operation, pattern: type[Slot], move: Move, inputs: Any, outputs: Any) -> SimulatedWork:
        scheduler = self.state.scheduler
        scheduler.check()
        call = Call(self._my_rank, operation, inputs, outputs, scheduler.now)
        work = SimulatedWork(self, call)
        number = self._sequence
        self._sequence += 1
        if self._timed_out:
            call.finish(RuntimeError("Application timeout caused pair closure"))
        else:
            self.state.enter(number, call, pattern, move)
        return work

    def forget(self, work: SimulatedWork) -> None:
        """A task waits for ``work`` and holds a reference, so the group need not."""
        self._pending.discard(work)

    def _skipped(self, outputs: Any) -> SimulatedWork:
        call = Call(self._my_rank, Operation("skipped"), None, outputs, 0.0)
        call.finish()
        return SimulatedWork(self, call)

    def time_out(self, call: Call, seconds: float) -> None:
        """The timer of ``call`` fired: from now on, this rank's connections of the group are closed."""
        what, _ = self.state.describe(call)
        milliseconds = int(seconds * 1000)
        if self._fabric.backend == "nccl":
            kind = getattr(dist, "DistBackendError", RuntimeError)
            error: Exception = kind(
                f"Watchdog caught collective operation timeout: {what} ran for {milliseconds} milliseconds before timing out."
            )
        else:
            direction = "send" if call.operation.root not in (None, call.rank) and call.operation.name in ("gather", "send") else "recv"
            error = RuntimeError(f"Timed out waiting {milliseconds}ms for {direction} operation to complete ({what})")
        call.fail(error)
        call.error = error
        self._timed_out = True
        self.state.close(self._my_rank)

    # --- collectives ---------------------------------------------------------------------------------------------

    def broadcast(self, tensors: Any, opts: Any = None, timeout: Any = None) -> Any:
        if isinstance(tensors, torch.Tensor):
            tensors, root = [tensors], int(opts or 0)
        else:
            root = opts.rootRank
        return self._collective("broadcast", opts, Tree, transfers.copy_from_source, tensors, tensors, root, transfers.unit_of(tensors))

    def _check_size(self, what: str, given: Any, kind: str) -> None:
        """Gloo checks the length of the list before it sends anything, so a wrong length fails this rank only."""
        if given and len(given[0]) != self.size():
            sizes = f"Incorrect {kind} list size {len(given[0])}. {kind.capitalize()} list size should be {self.size()}"
            raise RuntimeError(f"ProcessGroupGloo::{what}: {sizes}, same as size of the process group.")

    def gather(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        self._check_size("gather", outputs, "output")
        return self._collective("gather", opts, Star, transfers.gather, inputs, outputs, opts.rootRank, transfers.unit_of(inputs))

    def scatter(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        self._check_size("scatter", inputs, "input")
        return self._collective("scatter", opts, Star, transfers.scatter, inputs, outputs, opts.rootRank, transfers.unit_of(outputs))

    def barrier(self, opts: Any = None) -> Any:
        return self._collective("barrier", opts, Dissemination, transfers.nothing, None, None)

    def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        self._check_size("allgather", outputs, "output")
        return self._collective("all_gather", opts, Everybody, transfers.all_gather, inputs, outputs, unit=transfers.unit_of(inputs))

    def allgather_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        per_input = [[output[place] for output in outputs] for place in range(len(inputs))]
        return self._collective("all_gather", opts, Everybody, transfers.all_gather, inputs, per_input, unit=transfers.unit_of(inputs))

    def all_gather_single(self, output: Any, source: Any, opts: Any = None) -> Any:
        return self.all_gather_single_coalesced([output], [source], opts)

    def all_gather_single_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        parts = [[*output.detach().view(-1).chunk(self.size())] if output.numel() else [] for output in outputs]
        flat = [tensor.detach().reshape(-1) for tensor in inputs]
        return self._collective("all_gather", opts, Everybody, transfers.all_gather, flat, parts, unit=transfers.unit_of(inputs))

    _allgather_base = all_gather_single
    allgather_into_tensor_coalesced = all_gather_single_coalesced

    def allreduce(self, tensors: Any, opts: Any = None, timeout: Any = None) -> Any:
        if isinstance(tensors, torch.Tensor):
            tensors = [tensors]
        move = transfers.reducing(getattr(opts, "reduceOp", opts), everybody=True)
        return self._collective("all_reduce", opts, Everybody, move, tensors, tensors, unit=transfers.unit_of(tensors, opts))

    def allreduce_coalesced(self, tensors: Any, opts: Any = None) -> Any:
        return self.allreduce(tensors, opts)

    def reduce(self, tensors: Any, opts: Any = None) -> Any:
        move = transfers.reducing(opts.reduceOp, everybody=False)
        return self._collective("reduce", opts, Everybody, move, tensors, tensors, opts.rootRank, transfers.unit_of(tensors, opts))

    def reduce_scatter(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        return self._collective(
            "reduce_scatter", opts, Mesh, transfers.reduce_scattering(opts), inputs, outputs, unit=transfers.unit_of(outputs, opts)
        )

    def reduce_scatter_single(self, output: Any, source: Any, opts: Any = None) -> Any:
        return self.reduce_scatter_single_coalesced([output], [source], opts)

    def reduce_scatter_single_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        flat = [output.detach().view(-1) for output in outputs]
        parts = [[*tensor.detach().reshape(-1).chunk(self.size())] for tensor in inputs]
        return self._collective(
            "reduce_scatter", opts, Mesh, transfers.reduce_scattering(opts), parts, flat, unit=transfers.unit_of(outputs, opts)
        )

    _reduce_scatter_base = reduce_scatter_single
    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced

    def alltoall(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        return self._collective("all_to_all", opts, Mesh, transfers.all_to_all, inputs, outputs)

    def all_to_all_single(self, output: Any, source: Any, output_sizes: Any, input_sizes: Any, opts: Any = None) -> Any:
        size = self.size()
        outputs = [*output.detach().split(list(output_sizes) or output.shape[0] // size or 1)]
        inputs = [*source.detach().split(list(input_sizes) or source.shape[0] // size or 1)]
        return self._collective("all_to_all", opts, Mesh, transfers.all_to_all, inputs, outputs)

    alltoall_base = all_to_all_single

    # --- between two ranks ---------------------------------------------------------------------------------------

    def send(self, tensors: Any, peer: int, tag: int = 0) -> Any:
        return self._between("send", tensors, peer, tag)

    def recv(self, tensors: Any, peer: int, tag: int = 0) -> Any:
        return self._between("recv", tensors, peer, tag)

    def recv_anysource(self, tensors: Any, tag: int = 0) -> Any:
        return self._between("recv", tensors, None, tag)

    def _between(self, name: str, tensors: Any, peer: int | None, tag: int) -> SimulatedWork:
        scheduler = self.state.scheduler
        scheduler.check()
        call = Call(self._my_rank, Operation(name, peer), tensors, tensors, scheduler.now)
        work = SimulatedWork(self, call)
        if self._timed_out:
            call.finish(RuntimeError("Application timeout caused pair closure"))
        else:
            self.state.meet(tag, call, transfers.copy_from_source)
        scheduler.pause()
        return work


def create_group(options: Any, _: Any = None) -> SimulatedGroup:
    """Called by ``dist`` to make a group of the simulated backend on the calling rank."""
    task = current_task()
    if task is None:
        raise RuntimeError(f"backend {_torch.SIMULATED_BACKEND!r} works only on ranks of a simulated world")
    if not task.scheduler.tasks[-1].main:  # the tasks of bodies come first, so here ranks have started threads
        for other in task.scheduler.tasks:
            other.stale = other.stale or (other.rank == task.rank and other is not task)
    fabric: Fabric = task.scheduler.owner.fabric
    ranks = tuple(options.global_ranks_in_group) or tuple(range(options.group_size))
    return SimulatedGroup(fabric, options.group_id, ranks, options.group_rank, _seconds(options.timeout))
