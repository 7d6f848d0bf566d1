"""Wraps what one operation of DCP uses: its storage, planner, stager and state."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.injection.injector import Injector


@dataclass(frozen=True)
class Entry:
    """A function of DCP that starts an operation.

    Attributes:
        name: its name in ``torch.distributed.checkpoint``.
        kind: the kind of operation.
        stateful: whether it calls the methods of ``Stateful`` values.
    """

    name: str
    kind: OperationKind
    stateful: bool = True

    @property
    def loads(self) -> bool:
        """Whether the operation is a load."""
        return self.kind == "load"

    @property
    def storage(self) -> str:
        """The name of the storage's parameter."""
        return "storage_reader" if self.loads else "storage_writer"


ENTRIES = (
    Entry("save", "save"),
    Entry("async_save", "async_save"),
    Entry("save_state_dict", "save", stateful=False),
    Entry("load", "load"),
    Entry("load_state_dict", "load", stateful=False),
)


def wrap_arguments(entry: Entry, arguments: dict[str, Any], views: Sequence[Injector], undo: contextlib.ExitStack) -> None:
    """Wraps the arguments of a call, in place, as far as the plans name their sites.

    Args:
        entry: the function that is called.
        arguments: parameter name -> argument.
        views: the injectors, each bound to this operation.
        undo: receives what restores the caller's storage object, where the object was changed.
    """
    undo.callback(_wrap_storage(entry, arguments, views))
    for view in views:
        _wrap_planner(entry, arguments, view)
        if arguments.get("async_stager") is not None:
            arguments["async_stager"] = wrap_stager(arguments["async_stager"], [view])
    if entry.stateful:
        _wrap_state(arguments, views)


def wrap_stager(stager: Any, views: Sequence[Injector]) -> Any:
    """Wraps a stager for every injector whose plan names a site of stagers."""
    from ckpt_harness.injection.stateful import FaultyStager

    for view in views:
        if _names(view, "stager"):
            stager = FaultyStager.sharing(stager, view)
    return stager


def _wrap_planner(entry: Entry, arguments: dict[str, Any], view: Injector) -> None:
    from torch.distributed.checkpoint import DefaultLoadPlanner, DefaultSavePlanner

    from ckpt_harness.injection.planner import FaultyLoadPlanner, FaultySavePlanner

    if not _names(view, "load_planner" if entry.loads else "save_planner"):
        return
    if arguments.get("planner") is None:
        arguments["planner"] = DefaultLoadPlanner() if entry.loads else DefaultSavePlanner()
    faulty = FaultyLoadPlanner if entry.loads else FaultySavePlanner
    arguments["planner"] = faulty.sharing(arguments["planner"], view)


def _wrap_state(arguments: dict[str, Any], views: Sequence[Injector]) -> None:
    from ckpt_harness.injection.stateful import FaultyStateDict

    naming = [view for view in views if _names(view, "state")]
    if naming:
        arguments["state_dict"] = FaultyStateDict(arguments["state_dict"], naming)


def _wrap_storage(entry: Entry, arguments: dict[str, Any], views: Sequence[Injector]) -> Callable[[], None]:
    """Wraps the storage, and returns what restores the caller's storage object."""
    from ckpt_harness import _torch
    from ckpt_harness.injection.storage import FaultyStorageReader, FaultyStorageWriter

    storage, stages = arguments.get(entry.storage), True
    if not storage:
        if not arguments.get("checkpoint_id"):
            return _change_nothing  # DCP refuses the call, with its own error
        try:
            storage = _torch.resolve_storage(arguments["checkpoint_id"], reader=entry.loads)
        except Exception:  # noqa: BLE001  (DCP raises the same error later, at its own time: an async_save on its executor)
            return _change_nothing
        # DCP calls reset() of a storage that it receives, with the id, as it does for a storage that it resolves. So a fault at reset still strikes.
        # But async_save stages with a stager of its own unless it receives a storage that stages.
        stages = entry.kind != "async_save"
    plain, file_system = storage, None
    if any(view.watches_disk for view in views):
        file_system = getattr(storage, "fs", None)
    for view in views:
        storage = FaultyStorageReader.sharing(storage, view) if entry.loads else FaultyStorageWriter.resolved(storage, view, stages=stages)
    arguments[entry.storage] = storage
    if file_system is None:
        return _change_nothing
    return functools.partial(setattr, plain, "fs", file_system)


def _change_nothing() -> None:
    """Restores nothing, since nothing was changed."""


def _names(view: Injector, side: str) -> bool:
    """Whether the plan has a fault at a site of ``side``."""
    return any(fault.at.side == side for fault in view.plan)
