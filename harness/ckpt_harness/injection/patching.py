"""``inject(plan)``: faults in code that never shows its storage, planner or state.

While it is active, every call of ``torch.distributed.checkpoint``'s ``save``, ``async_save``, ``load``, ``save_state_dict`` and ``load_state_dict``,
also through references taken before, is an operation of the plan: its storage is wrapped, whether the caller gave it or DCP resolves it from
``checkpoint_id``; planners, ``Stateful`` values and stagers are wrapped where the plan names their sites.

Plans compose: what is wrapped already is wrapped again, so the faults of a ``FaultyStorageWriter``, of an outer ``inject`` and of an inner one all
act, the innermost ``inject`` first. Each counts operations from its own beginning.

Not modelled: faults of collectives (``pg.*``), which only a simulated world can inject; and storage that is used without one of these calls.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import contextvars
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_harness import runtime
from ckpt_harness.errors import PlanError
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.injection.injector import Injector, activated, active
from ckpt_harness.injection.wrapper import check_world, operation_of

VARIABLE = "CKPT_HARNESS_PLAN"
"""Environment variable with the plan for the life of a process."""


@contextlib.contextmanager
def inject(plan: FaultPlan | str) -> Iterator[Injector]:
    """Injects the faults of ``plan`` into whatever DCP saves and loads until the end of the ``with`` block.

    On every thread of the process; entered by one rank of a simulated world, for that rank only. A name without its side (``write_data``) means the
    writer or reader; with ``save[3]/`` and the like, a fault strikes in the rank's third save since the block began. The save that an
    ``async_save`` runs on its executor belongs to ``async_save[n]``, and so does one that is still uploading when the block ends.

    Args:
        plan: the faults, or their text.

    Yields:
        An object with ``plan`` and ``fired``, the faults that fired so far in this process: empty, and so false, if none did. Where ranks are
        processes, only the rank that a fault struck has it there; the others have the error that they were told.

    Raises:
        PlanError: a plan that is malformed or could never act; nothing has been touched then. A rank outside the world is refused as soon as the
            world is known: here, or by the first operation.
    """
    with intercepted(Injector(_checked(as_plan(plan)))) as faults:
        yield faults


@contextlib.contextmanager
def intercepted(faults: Injector) -> Iterator[Injector]:
    """Lets DCP's operations consult ``faults``, as :func:`inject` does with an injector of its own."""
    _patches.take()
    try:
        with activated(faults):
            yield faults
    finally:
        _patches.release()


def install_from_environment() -> None:
    """Injects the plan of ``CKPT_HARNESS_PLAN`` for the life of the process; at its end, one line on stderr tells if none of its faults fired.

    Raises:
        PlanError: the plan cannot be read.
    """
    text = os.environ[VARIABLE]
    try:
        faults = Injector(_checked(as_plan(text)))
    except PlanError as error:
        raise PlanError(f"{VARIABLE}={text!r}: {error}") from None
    _for_life.enter_context(intercepted(faults))
    atexit.register(_report_silence, faults)


_for_life = contextlib.ExitStack()


def _report_silence(faults: Injector) -> None:
    """Tells that a plan did nothing, where it could have: a run whose faults never fire proves nothing, and looks green."""
    ran = faults.ranks_seen()
    if faults.fired or (ran and not any(faults.means(fault, rank) for fault in faults.plan for rank in ran)):
        return
    who = ", ".join(map(str, sorted(ran))) or str(runtime.current().rank())
    why = "" if ran else " (no save or load was seen)"
    print(f"ckpt-harness: rank {who}: no fault of {VARIABLE}={str(faults.plan)!r} fired{why}", file=sys.stderr)


_OUT_OF_REACH = {
    "pg": "collectives; they fail in simulated worlds, whose plan it belongs in",
    "executor": "the process of an executor; it fails in the cases of a rig (ckpt-harness replay --executor process)",
    "http": "requests to object stores; a FaultyEndpoint strikes them, whose url the storage's client is given",
}


def _checked(plan: FaultPlan) -> FaultPlan:
    for fault in plan:
        if fault.at.side in _OUT_OF_REACH:
            raise PlanError(f"fault {fault}: inject() cannot reach {_OUT_OF_REACH[fault.at.side]}")
    check_world(plan)
    return plan


@dataclass(frozen=True)
class _Entry:
    """A function of DCP through which operations start, and what is wrapped of its arguments."""

    name: str
    kind: OperationKind
    stateful: bool = True

    @property
    def loads(self) -> bool:
        return self.kind == "load"


_ENTRIES = (
    _Entry("save", "save"),
    _Entry("async_save", "async_save"),
    _Entry("save_state_dict", "save", stateful=False),
    _Entry("load", "load"),
    _Entry("load_state_dict", "load", stateful=False),
)


class SharedPatches:
    """Patches that are in place while anybody needs them: blocks may nest, and those of simulated ranks overlap in any order.

    Args:
        put: puts them in place, and gives what undoes each.
    """

    def __init__(self, put: Callable[[], list[Callable[[], None]]]) -> None:
        self._put = put
        self._lock = _thread.allocate_lock()  # a raw lock, as in _counts: it is never held across a hand-over of a simulated world
        self._users = 0
        self._undo: list[Callable[[], None]] = []

    def take(self) -> None:
        """Needs them from now on."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._undo = self._put()

    def release(self) -> None:
        """Needs them no more."""
        with self._lock:
            self._users -= 1
            while self._undo and not self._users:
                self._undo.pop()()


def _put() -> list[Callable[[], None]]:
    from ckpt_harness import _torch

    undo = [_torch.replace_entry(entry.name, functools.partial(_replacement, entry)) for entry in _ENTRIES]
    return [*undo, _torch.replace_default_stager(_wrap_default_stager)]


_patches = SharedPatches(_put)
_views: contextvars.ContextVar[tuple[Injector, ...]] = contextvars.ContextVar("views", default=())
"""The injectors, each bound to its own operation, of the entry that the calling thread is in."""


def _replacement(entry: _Entry, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def operate(*args: Any, **kwargs: Any) -> Any:
        everyone = active()
        call = signature.bind(*args, **kwargs)
        # A storage that carries an operation already: this is the save that an async_save runs on its executor.
        if not everyone or operation_of(call.arguments.get(_storage_of(entry))) is not None:
            return function(*args, **kwargs)
        return _operate(entry, function, call, everyone)

    return operate


def _operate(entry: _Entry, function: Callable[..., Any], call: inspect.BoundArguments, everyone: Sequence[Injector]) -> Any:
    """Runs one operation of the calling rank, with what it uses wrapped."""
    for faults in everyone:
        check_world(faults.plan)
        faults.learn_role(_coordinates(call.arguments))
    begun = [(faults, faults.begin(entry.kind)) for faults in everyone]
    views = tuple(faults.during(name) for faults, name in begun)

    undo = contextlib.ExitStack()

    def end(_: object = None) -> None:
        undo.close()
        for faults, name in begun:
            faults.end(name)

    token = _views.set(views)
    try:
        undo.callback(_wrap_storage(entry, call.arguments, views))
        _wrap_arguments(entry, call.arguments, views)
        result = function(*call.args, **call.kwargs)
    except BaseException:
        end()
        raise
    finally:
        _views.reset(token)
    if entry.kind == "async_save":
        getattr(result, "upload_completion", result).add_done_callback(end)
    else:
        end()
    return result


def _coordinates(arguments: dict[str, Any]) -> bool:
    """Whether the calling rank will coordinate: the engine tells storage and planner, but some sites come before that."""
    import torch.distributed as dist

    if arguments.get("no_dist") or not dist.is_available() or not dist.is_initialized():
        return True
    return dist.get_rank(arguments.get("process_group")) == int(arguments.get("coordinator_rank", 0))


def _storage_of(entry: _Entry) -> str:
    return "storage_reader" if entry.loads else "storage_writer"


def _wrap_arguments(entry: _Entry, arguments: dict[str, Any], views: Sequence[Injector]) -> None:
    """Wraps what an operation uses beside its storage."""
    from torch.distributed.checkpoint import DefaultLoadPlanner, DefaultSavePlanner

    from ckpt_harness.injection.planner import FaultyLoadPlanner, FaultySavePlanner
    from ckpt_harness.injection.stateful import FaultyStager, FaultyStateDict

    side = "load_planner" if entry.loads else "save_planner"
    for view in views:
        if _names(view, side):
            if arguments.get("planner") is None:
                arguments["planner"] = DefaultLoadPlanner() if entry.loads else DefaultSavePlanner()
            planner = FaultyLoadPlanner if entry.loads else FaultySavePlanner
            arguments["planner"] = planner.sharing(arguments["planner"], view)
        if _names(view, "stager") and arguments.get("async_stager") is not None:
            arguments["async_stager"] = FaultyStager.sharing(arguments["async_stager"], view)
    naming = [view for view in views if _names(view, "state")]
    if naming and entry.stateful:
        arguments["state_dict"] = FaultyStateDict(arguments["state_dict"], naming)


def _wrap_storage(entry: _Entry, arguments: dict[str, Any], views: Sequence[Injector]) -> Callable[[], None]:
    """Wraps the storage of an operation; returns what undoes that where the caller's own object was changed."""
    from ckpt_harness import _torch
    from ckpt_harness.injection.storage import FaultyStorageReader, FaultyStorageWriter

    storage, stages = arguments.get(_storage_of(entry)), True
    if not storage:
        if not arguments.get("checkpoint_id"):
            return _nothing  # DCP refuses the call, in its own words
        try:
            storage = _torch.resolve_storage(arguments["checkpoint_id"], reader=entry.loads)
        except Exception:  # noqa: BLE001  (DCP will meet the same error at its own moment: for async_save, on the executor)
            return _nothing
        # Given a storage, DCP calls its reset() with the id, as it has just done for the one it resolved; so a fault at reset finds its call.
        stages = entry.kind != "async_save" or _torch.RESOLVED_WRITER_STAGES
    plain, disk = storage, getattr(storage, "fs", None) if any(view.watches_disk for view in views) else None
    for view in views:
        storage = FaultyStorageReader.sharing(storage, view) if entry.loads else FaultyStorageWriter.resolved(storage, view, stages=stages)
    arguments[_storage_of(entry)] = storage
    return _nothing if disk is None else functools.partial(setattr, plain, "fs", disk)


def _nothing() -> None:
    """Undoes nothing."""


def _wrap_default_stager(stager: Any) -> Any:
    from ckpt_harness.injection.stateful import FaultyStager

    for view in _views.get():
        if _names(view, "stager"):
            stager = FaultyStager.sharing(stager, view)
    return stager


def _names(view: Injector, side: str) -> bool:
    return any(fault.at.side == side for fault in view.plan)
