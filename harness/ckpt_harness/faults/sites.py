"""The table of sites: every named point where an engine calls out to something that the harness can wrap.

The table is data. ``ckpt-harness sites`` prints it, plans are checked against it, and a test compares it with torch's own abstract classes so that
a new abstract method breaks a test rather than silently escaping injection.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ckpt_harness.errors import PlanError

Side = Literal["writer", "reader", "save_planner", "load_planner", "state", "stager", "executor", "pg", "fs", "http"]
Phase = Literal["setup", "prepare", "write", "finish", "read", "stage", "disk", "network", "collective"]
OperationKind = Literal["save", "async_save", "load"]
Result = Literal["nothing", "future", "list", "plans", "plan", "value", "argument"]

OPERATION_KINDS: tuple[OperationKind, ...] = ("save", "async_save", "load")
PHASES: tuple[Phase, ...] = ("setup", "prepare", "write", "finish", "read", "stage", "disk", "network", "collective")

_SAVES: tuple[OperationKind, ...] = ("save", "async_save")
_LOADS: tuple[OperationKind, ...] = ("load",)


@dataclass(frozen=True)
class Site:
    """A point where a fault can act.

    Attributes:
        name: the full name, ``side.method``; ``.future`` after it means the future that the method returned.
        phase: the stage of a save or load it belongs to.
        operations: the kinds of operation that reach it.
        callers: whether every rank calls it or the coordinator alone.
        guarded: whether the engine's protocol catches what is raised here and tells every rank.
        result: what a call gives back, which decides what Skip and WrongResult can mean there.
        several: whether one operation may call it more than once on a rank (per item, or per attempt).
        about: one line for the reader of the table.
    """

    name: str
    phase: Phase
    operations: tuple[OperationKind, ...]
    callers: Literal["every rank", "coordinator"]
    guarded: bool
    result: Result
    several: bool
    about: str

    @property
    def side(self) -> str:
        """What is wrapped: ``writer``, ``reader``, ``save_planner``, ..."""
        return self.name.partition(".")[0]

    @property
    def method(self) -> str:
        """The name without its side."""
        return self.name.partition(".")[2]

    @property
    def layer(self) -> Literal["calls", "disk", "network"]:
        """Where it lies: at a call of the engine's, or below, where its storage reaches a disk or, over HTTP, an object store."""
        layers: dict[str, Literal["disk", "network"]] = {"fs": "disk", "http": "network"}
        return layers.get(self.side, "calls")

    @property
    def is_future(self) -> bool:
        """Whether the site is a future that a method returned, with the two moments ``wait`` and ``value``."""
        return self.result == "future"


def _site(
    name: str,
    phase: Phase,
    operations: tuple[OperationKind, ...],
    about: str,
    *,
    coordinator: bool = False,
    guarded: bool = True,
    result: Result = "nothing",
    several: bool = False,
) -> Site:
    return Site(name, phase, operations, "coordinator" if coordinator else "every rank", guarded, result, several, about)


_TABLE: tuple[Site, ...] = (
    _site("writer.reset", "setup", _SAVES, "a new checkpoint begins; may carry its id", guarded=False),
    _site("writer.checkpoint_id", "setup", _SAVES, "property read for logging", guarded=False, result="value", several=True),
    _site("writer.storage_meta", "setup", _SAVES, "metadata of the storage, for the planner", result="value"),
    _site("writer.set_up_storage_writer", "setup", _SAVES, "the writer learns its role"),
    _site("writer.prepare_local_plan", "prepare", _SAVES, "storage-specific local planning", result="argument"),
    _site("writer.prepare_global_plan", "prepare", _SAVES, "storage-specific global planning", coordinator=True, result="list"),
    _site("writer.write_data", "write", _SAVES, "writes the rank's items", result="value"),
    _site("writer.write_data.future", "write", _SAVES, "the future of write_data, at wait() or value()", result="future"),
    _site("writer.finish", "finish", _SAVES, "writes the metadata: the commit", coordinator=True),
    _site("writer.stage", "stage", ("async_save",), "copies the state, where the writer is its own stager", guarded=False, result="argument"),
    _site("writer.synchronize_staging", "stage", ("async_save",), "waits for the copy", guarded=False),
    _site("reader.reset", "setup", _LOADS, "a new load begins; may carry its id", guarded=False),
    _site("reader.checkpoint_id", "setup", _LOADS, "property read for logging", guarded=False, result="value", several=True),
    _site("reader.read_metadata", "setup", _LOADS, "reads the commit marker; called again with rank= after an Exception", result="value", several=True),
    _site("reader.set_up_storage_reader", "setup", _LOADS, "the reader learns its role and the metadata"),
    _site("reader.prepare_local_plan", "prepare", _LOADS, "storage-specific local planning", result="argument"),
    _site("reader.prepare_global_plan", "prepare", _LOADS, "storage-specific global planning", coordinator=True, result="list"),
    _site("reader.read_data", "read", _LOADS, "reads the rank's items", result="value"),
    _site("reader.read_data.future", "read", _LOADS, "the future of read_data; DCP only waits, it never takes the value", result="future"),
    _site("save_planner.set_up_planner", "setup", _SAVES, "the planner learns the state to save"),
    _site("save_planner.create_local_plan", "prepare", _SAVES, "plans the rank's items", result="plan"),
    _site("save_planner.create_global_plan", "prepare", _SAVES, "merges all plans", coordinator=True, result="plans"),
    _site("save_planner.finish_plan", "write", _SAVES, "takes the merged plan", result="argument"),
    _site("save_planner.resolve_data", "write", _SAVES, "looks up one item's data", result="value", several=True),
    _site("load_planner.set_up_planner", "setup", _LOADS, "the planner learns the state to fill"),
    _site("load_planner.create_local_plan", "prepare", _LOADS, "plans the rank's reads", result="plan"),
    _site("load_planner.create_global_plan", "prepare", _LOADS, "merges all plans", coordinator=True, result="list"),
    _site("load_planner.finish_plan", "read", _LOADS, "takes the merged plan", result="argument"),
    _site("load_planner.load_bytes", "read", _LOADS, "takes one object that was read", several=True),
    _site("load_planner.resolve_bytes", "read", _LOADS, "gives the buffer for one object", result="value", several=True),
    _site("load_planner.resolve_tensor", "read", _LOADS, "gives the tensor to read one item into", result="value", several=True),
    _site("load_planner.commit_tensor", "read", _LOADS, "takes one tensor that was read", several=True),
    _site("state.state_dict", "setup", ("save", "async_save", "load"), "state_dict() of a Stateful", guarded=False, result="value", several=True),
    _site("state.load_state_dict", "read", _LOADS, "load_state_dict() of a Stateful", guarded=False, several=True),
    _site("stager.stage", "stage", ("async_save",), "copies the state before the upload", guarded=False, result="argument"),
    _site("stager.stage.future", "stage", ("async_save",), "the future of a stager that copies in the background", guarded=False, result="future"),
    _site("stager.synchronize_staging", "stage", ("async_save",), "waits for the copy", guarded=False),
    _site("executor.start", "setup", ("async_save",), "the process of a process executor begins", guarded=False),
    _site("executor.save", "setup", ("async_save",), "that process serves a request", guarded=False, result="value"),
    _site("stager.close", "stage", ("async_save",), "frees the stager", guarded=False),
    *(
        _site(f"pg.{name}", "collective", OPERATION_KINDS, f"{name} among the ranks; in our worlds", guarded=False, several=True)
        for name in ("gather", "scatter", "broadcast", "all_gather", "barrier")
    ),
    _site("fs.mkdir", "disk", _SAVES, "makes a directory, and its parents", several=True),
    _site("fs.create_stream", "disk", OPERATION_KINDS, "opens a file, to write or to read", result="value", several=True),
    _site("fs.write", "disk", _SAVES, "writes bytes to an open file, mostly into its buffer", result="value", several=True),
    _site("fs.read", "disk", OPERATION_KINDS, "reads bytes of an open file", result="value", several=True),
    _site("fs.flush", "disk", _SAVES, "hands the buffer of a file to the operating system", several=True),
    _site("fs.fsync", "disk", _SAVES, "makes a file, or a directory's entries, durable", several=True),
    _site("fs.close", "disk", OPERATION_KINDS, "closes a file, its buffer first", several=True),
    _site("fs.rename", "disk", _SAVES, "renames a file", several=True),
    _site("fs.rm_file", "disk", _SAVES, "removes a file", several=True),
    _site("fs.exists", "disk", OPERATION_KINDS, "asks whether a file is there", result="value", several=True),
    _site("fs.ls", "disk", OPERATION_KINDS, "lists a directory", result="value", several=True),
    _site("http.put", "network", _SAVES, "stores an object, or a part of one", result="value", several=True),
    _site("http.get", "network", OPERATION_KINDS, "reads an object, or a range of it", result="value", several=True),
    _site("http.head", "network", OPERATION_KINDS, "asks whether an object, or a bucket, is there", result="value", several=True),
    _site("http.copy", "network", _SAVES, "copies an object within the store", result="value", several=True),
    _site("http.list", "network", OPERATION_KINDS, "lists objects", result="value", several=True),
    _site("http.delete", "network", _SAVES, "removes objects", result="value", several=True),
)

SITES: dict[str, Site] = {site.name: site for site in _TABLE}

PRINCIPAL: dict[tuple[Phase, str], str] = {
    ("setup", "save"): "writer.set_up_storage_writer",
    ("setup", "load"): "reader.set_up_storage_reader",
    ("prepare", "save"): "writer.prepare_local_plan",
    ("prepare", "load"): "reader.prepare_local_plan",
    ("write", "save"): "writer.write_data",
    ("finish", "save"): "writer.finish",
    ("read", "load"): "reader.read_data",
    ("stage", "save"): "writer.stage",
    ("collective", "save"): "pg.gather",
    ("collective", "load"): "pg.gather",
    ("disk", "save"): "fs.write",
    ("disk", "load"): "fs.read",
    ("network", "save"): "http.put",
    ("network", "load"): "http.get",
}
"""The site that a phase means where one plan is wanted, by the direction of the operation."""


def direction(operation: OperationKind) -> str:
    """``save`` for both kinds of save, ``load`` for a load."""
    return "load" if operation == "load" else "save"


def of_phase(phase: Phase, way: str) -> list[Site]:
    """The storage sites of a phase, in table order: what a phase stands for in a plan.

    Args:
        phase: one of :data:`PHASES`.
        way: ``save`` or ``load``.
    """
    sides = {"collective": ("pg",), "disk": ("fs",), "network": ("http",)}.get(phase, ("writer",) if way == "save" else ("reader",))
    reached = {direction(operation): operation for operation in OPERATION_KINDS}[way]
    return [site for site in _TABLE if site.phase == phase and site.side in sides and reached in site.operations]


def resolve(name: str, *, side: str | None = None, operation: OperationKind | None = None) -> Site:
    """Finds the site that a plan's text means.

    Args:
        name: a full name, or one without its side where that is unambiguous.
        side: ``writer`` or ``reader``, inside a wrapper of that side.
        operation: the kind of operation that the fault is addressed to; narrows a name without side.

    Raises:
        PlanError: unknown (with the nearest spelling), or ambiguous.
    """
    if name in SITES:
        return SITES[name]
    if side is not None and f"{side}.{name}" in SITES:
        return SITES[f"{side}.{name}"]
    found = [site for site in _TABLE if site.method == name and (operation is None or operation in site.operations)]
    storage = [site for site in found if site.side in ("writer", "reader")]
    if len(storage or found) == 1:
        return (storage or found)[0]
    if found:
        raise PlanError(f"site {name!r} is ambiguous: {_listed(site.name for site in found)}")
    raise _unknown(name)


def named(name: str) -> Site:
    """The site with a full name.

    Raises:
        PlanError: unknown, with the nearest spelling.
    """
    if name not in SITES:
        raise _unknown(name)
    return SITES[name]


def _unknown(name: str) -> PlanError:
    near = difflib.get_close_matches(name, [*SITES, *(site.method for site in _TABLE), *PHASES], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return PlanError(f"unknown site {name!r}; {hint}sites: {_listed(SITES)}; phases: {_listed(PHASES)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
