"""``inject(plan)``: faults in code that hides its storage, planner and state.

While an ``inject`` block is active, every call of ``save``, ``async_save``, ``load``, ``save_state_dict`` and ``load_state_dict`` of
``torch.distributed.checkpoint`` is an operation of the plan, also a call through a reference that was imported earlier. The storage of the operation is
wrapped, whether the caller passed it or DCP resolves it from ``checkpoint_id``. Planners, ``Stateful`` values and stagers are wrapped where the plan
names their sites.

Plans compose: a wrapped object is wrapped again. So the faults of a ``FaultyStorageWriter``, of an outer ``inject`` and of an inner ``inject`` all act,
the inner ``inject`` first. Each of them counts operations from its own beginning.

Not modelled: faults of collectives (``pg.*``), which only a simulated world can inject; and storage that is used without one of these calls.
"""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.injection.activation import activated, active
from ckpt_harness.injection.arguments import ENTRIES, Entry, wrap_arguments, wrap_stager
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.unobserved import ReturnedFuture, watched
from ckpt_harness.injection.wrapper import INJECTED_BY, check_world, operation_of


@contextlib.contextmanager
def inject(plan: FaultPlan | str) -> Iterator[Injector]:
    """Injects the faults of ``plan`` into everything that DCP saves and loads until the end of the ``with`` block.

    The block is active on every thread of the process; entered by one rank of a simulated world, it is active for this rank only. A name without its
    side, such as ``write_data``, means the writer or the reader. Ranks are ranks of the default process group; a process without a group has the number
    that its launcher gave it (``RANK``), else 0. A fault with ``save[3]/`` strikes in the rank's third save since the block began. The
    save that an ``async_save`` runs on its executor belongs to ``async_save[n]``, also while it uploads after the end of the block.

    At the end of the block, one line on stderr names the async saves that failed while nobody looked at the future that ``async_save`` returned; for
    those that still run, the line comes at the end of the process.

    Args:
        plan: the faults, or their text.

    Yields:
        An object with ``plan`` and ``fired``: the faults that fired so far in this process; empty, and so false, if none did. Where ranks are
        processes, ``fired`` has an entry only on the rank that the fault struck; the other ranks see the exception that the engine raised.

    Raises:
        PlanError: the plan is malformed, or could never act; nothing has been changed then. A rank outside the world is refused as soon as the size
            of the world is known: here, or by the first operation.

    Example:
        >>> import tempfile, torch
        >>> import torch.distributed.checkpoint as dcp
        >>> with tempfile.TemporaryDirectory() as folder, inject("writer.write_data@0=raise(OSError:ENOSPC)") as faults:
        ...     try:
        ...         dcp.save({"weight": torch.ones(2)}, checkpoint_id=folder, no_dist=True)
        ...     except dcp.CheckpointException as error:
        ...         print(error.failures[0][0])
        [Errno 28] No space left on device [injected at writer.write_data on rank 0]
        >>> faults.fired
        (Firing(fault='writer.write_data@0=raise(OSError:ENOSPC)', rank=0, operation='save[1]', nth=1),)
    """
    faults = Injector(within_reach(as_plan(plan)))
    futures = watched(faults)
    try:
        with intercepted(faults):
            yield faults
    finally:
        if futures is not None:
            futures.report_finally()


@contextlib.contextmanager
def intercepted(faults: Injector) -> Iterator[Injector]:
    """Lets DCP's operations consult ``faults`` until the end of the ``with`` block, as :func:`inject` does with an injector of its own."""
    _patches.take()
    try:
        with activated(faults):
            yield faults
    finally:
        _patches.release()


_OUT_OF_REACH = {"pg": "collectives", "executor": "the process of an executor", "http": "requests to object stores"}
"""Sides of sites that :func:`inject` cannot reach."""


def within_reach(plan: FaultPlan) -> FaultPlan:
    """Checks that :func:`inject` can inject a plan, and returns the plan.

    Raises:
        PlanError: the plan has a fault at a site that ``inject`` cannot reach, or a fault that could never act in this world.
    """
    for fault in plan:
        if fault.at.side in _OUT_OF_REACH:
            raise PlanError(f"fault {fault}: inject() cannot reach {_OUT_OF_REACH[fault.at.side]}; {INJECTED_BY[fault.at.side]}")
    check_world(plan)
    return plan


class SharedPatches:
    """Patches that stay in place while at least one user needs them: blocks may nest, and the blocks of simulated ranks overlap in any order.

    Args:
        put: puts the patches in place, and returns a function for each that removes it.
    """

    def __init__(self, put: Callable[[], list[Callable[[], None]]]) -> None:
        self._put = put
        self._lock = _thread.allocate_lock()  # a raw lock: while it is held, no simulated rank hands over to another
        self._users = 0
        self._undo: list[Callable[[], None]] = []

    def take(self) -> None:
        """Adds a user; the first user puts the patches in place."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._undo = self._put()

    def release(self) -> None:
        """Removes a user; the last user removes the patches."""
        with self._lock:
            self._users -= 1
            while self._undo and not self._users:
                self._undo.pop()()


def _put() -> list[Callable[[], None]]:
    from ckpt_harness import _torch

    undo = [_torch.replace_entry(entry.name, functools.partial(_replacement, entry)) for entry in ENTRIES]
    return [*undo, _torch.replace_default_stager(_wrap_default_stager)]


_patches = SharedPatches(_put)
_views: contextvars.ContextVar[tuple[Injector, ...]] = contextvars.ContextVar("views", default=())
"""The injectors, each bound to its own operation, of the entry that the calling thread is in."""


def _wrap_default_stager(stager: Any) -> Any:
    return wrap_stager(stager, _views.get())


def _replacement(entry: Entry, function: Callable[..., Any]) -> Callable[..., Any]:
    """What runs in the place of an entry's function."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def operate(*args: Any, **kwargs: Any) -> Any:
        injectors = [faults for faults in active() if faults.announced_operation() != ""]
        call = signature.bind(*args, **kwargs)
        # A storage that belongs to an operation already: this is the save that an async_save runs on its executor.
        if not injectors or operation_of(call.arguments.get(entry.storage)) is not None:
            return function(*args, **kwargs)
        return _operate(entry, function, call, injectors)

    return operate


def _operate(entry: Entry, function: Callable[..., Any], call: inspect.BoundArguments, injectors: Sequence[Injector]) -> Any:
    """Runs one operation of the calling rank with wrapped arguments."""
    begun: list[tuple[Injector, str]] = []  # the operations that begin here, and not before
    views: tuple[Injector, ...] = ()
    for faults in injectors:
        check_world(faults.plan)
        faults.learn_role(_coordinates(call.arguments))
        name = faults.announced_operation()
        if name is None:
            name = faults.begin(entry.kind)
            begun.append((faults, name))
        views = (*views, faults.during(name))

    undo = contextlib.ExitStack()

    def end(_: object = None) -> None:
        undo.close()
        for faults, name in begun:
            faults.end(name)

    token = _views.set(views)
    try:
        wrap_arguments(entry, call.arguments, views, undo)
        result = function(*call.args, **call.kwargs)
    except BaseException:
        end()
        raise
    finally:
        _views.reset(token)
    if entry.kind == "async_save":
        upload = getattr(result, "upload_completion", result)
        upload.add_done_callback(end)
        if any(faults.returned is not None for faults, _ in begun):
            returned = ReturnedFuture(upload)
            for faults, name in begun:
                if faults.returned is not None:
                    faults.returned.add(name, returned)
    else:
        end()
    return result


def _coordinates(arguments: dict[str, Any]) -> bool:
    """Whether the calling rank will coordinate. The engine passes the role to storage and planner, but reaches some sites before."""
    import torch.distributed as dist

    if arguments.get("no_dist") or not dist.is_available() or not dist.is_initialized():
        return True
    return dist.get_rank(arguments.get("process_group")) == int(arguments.get("coordinator_rank", 0))
