"""The table of sites: every named point where an engine calls something that the harness can wrap.

The table is data. ``ckpt-harness sites`` prints it, plans are checked against it, and a test compares it with torch's own abstract classes, so that a
new abstract method breaks a test rather than silently escaping injection.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from ckpt_harness.errors import PlanError, choices, quoted, unknown

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
        name: the full name, ``side.method``; ``side.method.future`` is the future that the method returned.
        phase: the stage of a save or load that the site belongs to.
        operations: the kinds of operation that reach the site.
        callers: which ranks call the site.
        guarded: whether the engine's protocol catches errors here and reports them to every rank.
        result: what a call returns, which decides what the effects ``skip`` and ``wrong`` can mean.
        several: whether one operation may call the site more than once on a rank (per item, or per attempt).
        about: what the call does, in one line.
    """

    name: str
    phase: Phase
    operations: tuple[OperationKind, ...]
    callers: Literal["every rank", "coordinator"]
    guarded: bool
    result: Result
    several: bool
    about: str

    @functools.cached_property
    def side(self) -> str:
        """The object whose method is called: ``writer``, ``reader``, ``save_planner``, ..."""
        return self.name.partition(".")[0]

    @property
    def method(self) -> str:
        """The name without its side."""
        return self.name.partition(".")[2]

    @functools.cached_property
    def layer(self) -> Literal["calls", "disk", "network"]:
        """Where the site lies: at a call of the engine (``calls``), or below, where its storage reaches a ``disk`` or, over HTTP, an object store."""
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
    _site("writer.reset", "setup", _SAVES, "prepares the writer for a new checkpoint, perhaps with its id", guarded=False),
    _site("writer.checkpoint_id", "setup", _SAVES, "property that DCP reads for its log", guarded=False, result="value", several=True),
    _site("writer.storage_meta", "setup", _SAVES, "returns the storage's metadata for the planner", result="value"),
    _site("writer.set_up_storage_writer", "setup", _SAVES, "passes the rank's role (coordinator or not) to the writer"),
    _site("writer.prepare_local_plan", "prepare", _SAVES, "adapts the rank's plan to the storage", result="argument"),
    _site("writer.prepare_global_plan", "prepare", _SAVES, "adapts all plans to the storage", coordinator=True, result="list"),
    _site("writer.write_data", "write", _SAVES, "writes the rank's items", result="value"),
    _site("writer.write_data.future", "write", _SAVES, "the future that write_data returned, at wait() or value()", result="future"),
    _site("writer.finish", "finish", _SAVES, "writes the metadata: the commit", coordinator=True),
    _site("writer.stage", "stage", ("async_save",), "copies the state, if the writer is its own stager", guarded=False, result="argument"),
    _site("writer.synchronize_staging", "stage", ("async_save",), "waits until the copy is complete", guarded=False),
    _site("reader.reset", "setup", _LOADS, "prepares the reader for a new load, perhaps with an id", guarded=False),
    _site("reader.checkpoint_id", "setup", _LOADS, "property that DCP reads for its log", guarded=False, result="value", several=True),
    _site("reader.read_metadata", "setup", _LOADS, "reads the metadata, the commit marker; again with rank= after an Exception", result="value", several=True),
    _site("reader.set_up_storage_reader", "setup", _LOADS, "passes the metadata and the rank's role to the reader"),
    _site("reader.prepare_local_plan", "prepare", _LOADS, "adapts the rank's plan to the storage", result="argument"),
    _site("reader.prepare_global_plan", "prepare", _LOADS, "adapts all plans to the storage", coordinator=True, result="list"),
    _site("reader.read_data", "read", _LOADS, "reads the rank's items", result="value"),
    _site("reader.read_data.future", "read", _LOADS, "the future that read_data returned, at wait(); DCP never takes its value", result="future"),
    _site("save_planner.set_up_planner", "setup", _SAVES, "passes the state to save to the planner"),
    _site("save_planner.create_local_plan", "prepare", _SAVES, "plans the rank's items", result="plan"),
    _site("save_planner.create_global_plan", "prepare", _SAVES, "merges all plans", coordinator=True, result="plans"),
    _site("save_planner.finish_plan", "write", _SAVES, "passes the merged plan to the planner", result="argument"),
    _site("save_planner.resolve_data", "write", _SAVES, "looks up the data of an item", result="value", several=True),
    _site("load_planner.set_up_planner", "setup", _LOADS, "passes the state to fill to the planner"),
    _site("load_planner.create_local_plan", "prepare", _LOADS, "plans the rank's reads", result="plan"),
    _site("load_planner.create_global_plan", "prepare", _LOADS, "merges all plans", coordinator=True, result="list"),
    _site("load_planner.finish_plan", "read", _LOADS, "passes the merged plan to the planner", result="argument"),
    _site("load_planner.load_bytes", "read", _LOADS, "puts an object that was read into the state", several=True),
    _site("load_planner.resolve_bytes", "read", _LOADS, "provides the buffer for an object", result="value", several=True),
    _site("load_planner.resolve_tensor", "read", _LOADS, "provides the tensor to read an item into", result="value", several=True),
    _site("load_planner.commit_tensor", "read", _LOADS, "completes a tensor that was read", several=True),
    _site("state.state_dict", "setup", ("save", "async_save", "load"), "state_dict() of a Stateful", guarded=False, result="value", several=True),
    _site("state.load_state_dict", "read", _LOADS, "load_state_dict() of a Stateful", guarded=False, several=True),
    _site("stager.stage", "stage", ("async_save",), "copies the state before the upload", guarded=False, result="argument"),
    _site("stager.stage.future", "stage", ("async_save",), "the future of a stager that copies in the background", guarded=False, result="future"),
    _site("stager.synchronize_staging", "stage", ("async_save",), "waits until the copy is complete", guarded=False),
    _site("executor.start", "setup", ("async_save",), "starts the process of a process executor", guarded=False),
    _site("executor.save", "setup", ("async_save",), "this process serves a save request", guarded=False, result="value"),
    _site("stager.close", "stage", ("async_save",), "frees the stager's resources", guarded=False),
    *(
        _site(f"pg.{name}", "collective", OPERATION_KINDS, f"the collective {name}; only in the harness's worlds", guarded=False, several=True)
        for name in ("gather", "scatter", "broadcast", "all_gather", "barrier")
    ),
    _site("fs.mkdir", "disk", _SAVES, "creates a directory and its parents", several=True),
    _site("fs.create_stream", "disk", OPERATION_KINDS, "opens a file for writing or reading", result="value", several=True),
    _site("fs.write", "disk", _SAVES, "writes bytes to an open file, usually into its buffer", result="value", several=True),
    _site("fs.read", "disk", OPERATION_KINDS, "reads bytes from an open file", result="value", several=True),
    _site("fs.flush", "disk", _SAVES, "passes the buffer of a file to the operating system", several=True),
    _site("fs.fsync", "disk", _SAVES, "makes a file, or the entries of a directory, durable", several=True),
    _site("fs.close", "disk", OPERATION_KINDS, "flushes the buffer of a file and closes it", several=True),
    _site("fs.rename", "disk", _SAVES, "renames a file", several=True),
    _site("fs.rm_file", "disk", _SAVES, "removes a file", several=True),
    _site("fs.exists", "disk", OPERATION_KINDS, "asks whether a file exists", result="value", several=True),
    _site("fs.ls", "disk", OPERATION_KINDS, "lists a directory", result="value", several=True),
    _site("http.put", "network", _SAVES, "stores an object or a part of it", result="value", several=True),
    _site("http.get", "network", OPERATION_KINDS, "reads an object or a range of it", result="value", several=True),
    _site("http.head", "network", OPERATION_KINDS, "asks whether an object or a bucket exists", result="value", several=True),
    _site("http.copy", "network", _SAVES, "copies an object within the store", result="value", several=True),
    _site("http.list", "network", OPERATION_KINDS, "lists objects", result="value", several=True),
    _site("http.delete", "network", _SAVES, "removes objects", result="value", several=True),
)

SITES: dict[str, Site] = {site.name: site for site in _TABLE}
"""Full name -> site."""

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
"""The site that a phase means where one plan is wanted: (phase, ``save`` or ``load``) -> site."""


def direction(operation: OperationKind) -> str:
    """``save`` for both kinds of save, ``load`` for a load.

    Example:
        >>> direction("async_save")
        'save'
    """
    return "load" if operation == "load" else "save"


def of_phase(phase: Phase, towards: str) -> list[Site]:
    """The storage sites of a phase, in the order of the table: what a phase stands for in a plan.

    Args:
        phase: one of :data:`PHASES`.
        towards: the direction, ``save`` or ``load``.

    Example:
        >>> [site.name for site in of_phase("write", "save")]
        ['writer.write_data', 'writer.write_data.future']
    """
    storage: Side = "writer" if towards == "save" else "reader"
    below: dict[Phase, Side] = {"collective": "pg", "disk": "fs", "network": "http"}
    side = below.get(phase, storage)
    wanted: OperationKind = "load" if towards == "load" else "async_save"  # which reaches every site that a save reaches
    return [site for site in _TABLE if site.phase == phase and site.side == side and wanted in site.operations]


def resolve(name: str, *, side: str | None = None, operation: OperationKind | None = None) -> Site:
    """Finds the site that the text of a plan names.

    Args:
        name: a full name, or a name without its side if no other site has it.
        side: ``writer`` or ``reader``, inside a wrapper of that side.
        operation: the operation that the fault is addressed to; it narrows the choice for a name without side.

    Raises:
        PlanError: unknown or ambiguous; the message shows the nearest sites.

    Example:
        >>> resolve("write_data").name
        'writer.write_data'
    """
    if name in SITES:
        return SITES[name]
    if side is not None and f"{side}.{name}" in SITES:
        return SITES[f"{side}.{name}"]
    candidates = [site for site in _TABLE if site.method == name and (operation is None or operation in site.operations)]
    storage = [site for site in candidates if site.side in ("writer", "reader")]
    if len(storage or candidates) == 1:
        return (storage or candidates)[0]
    if candidates:
        raise PlanError(f"site {quoted(name)} is ambiguous; {choices(site.name for site in candidates)}")
    raise _unknown(name)


def find_site(name: str) -> Site:
    """The site of a full name.

    Raises:
        PlanError: unknown; the message shows the nearest sites.

    Example:
        >>> find_site("writer.finish").callers
        'coordinator'
    """
    if name not in SITES:
        raise _unknown(name)
    return SITES[name]


def _unknown(name: str) -> PlanError:
    return PlanError(unknown("site", name, [*SITES, *PHASES], see="ckpt-harness sites"))
