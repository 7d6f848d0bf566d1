"""Which sites to strike, in the order in which a human would try them, and the worlds to strike them in."""

from __future__ import annotations

from hypothesis import strategies as st

from ckpt_harness.errors import UsageError, unknown
from ckpt_harness.faults.sites import OPERATION_KINDS, SITES, OperationKind, Site, direction

_TRIED_FIRST = ("write_data", "read_data", "finish", "set_up_storage_writer", "set_up_storage_reader", "prepare_local_plan")
"""Methods that a human would try first."""


def storage_sites(op: OperationKind) -> tuple[str, ...]:
    """The sites of the storage writer or reader that a plain ``op`` reaches, in the order in which a human would try them.

    Staging is left out, since not every writer stages.

    Args:
        op: ``save``, ``async_save`` or ``load``.

    Raises:
        UsageError: no such operation.

    Example:
        >>> storage_sites("load")[0]
        'reader.read_data'
    """
    if op not in OPERATION_KINDS:
        raise UsageError(unknown("operation", op, OPERATION_KINDS))
    side = "reader" if direction(op) == "load" else "writer"
    sites = [site for site in SITES.values() if site.side == side and op in site.operations and site.phase != "stage"]
    return tuple(site.name for site in sorted(sites, key=_turn))


def _turn(site: Site) -> tuple[int, bool]:
    """When a human would try a site: a key to sort by."""
    return (_TRIED_FIRST.index(site.method) if site.method in _TRIED_FIRST else len(_TRIED_FIRST), not site.guarded)


def guarded_sites(op: OperationKind) -> tuple[str, ...]:
    """The :func:`storage_sites` within a protocol step, where the engine must report an error to every rank.

    Args:
        op: ``save``, ``async_save`` or ``load``.

    Raises:
        UsageError: no such operation.

    Example:
        >>> "writer.reset" in storage_sites("save"), "writer.reset" in guarded_sites("save")
        (True, False)
    """
    return tuple(name for name in storage_sites(op) if SITES[name].guarded)


def disk_sites(op: OperationKind) -> tuple[str, ...]:
    """The disk sites that a plain ``op`` of DCP on a file system reaches, in the order in which a human would try them.

    Args:
        op: ``save``, ``async_save`` or ``load``.

    Example:
        >>> disk_sites("load")
        ('fs.read', 'fs.create_stream', 'fs.close')
    """
    loads = direction(op) == "load"
    methods = ("read", "create_stream", "close") if loads else ("write", "rename", "close", "flush", "create_stream", "mkdir", "exists")
    return tuple(f"fs.{method}" for method in methods)


def network_sites(op: OperationKind) -> tuple[str, ...]:
    """The HTTP requests that a plain ``op`` of DCP makes to an object store, in the order in which a human would try them.

    Args:
        op: ``save``, ``async_save`` or ``load``.

    Example:
        >>> network_sites("load")
        ('http.get', 'http.head')
    """
    methods = ("get", "head") if direction(op) == "load" else ("put", "copy", "head", "list", "delete")
    return tuple(f"http.{method}" for method in methods)


def world_sizes(at_most: int = 5) -> st.SearchStrategy[int]:
    """Draws numbers of ranks, from 1.

    Args:
        at_most: size of the largest world.
    """
    return st.integers(1, at_most)


def coordinators(ranks: int) -> st.SearchStrategy[int]:
    """Draws the rank that coordinates; the simplest is 0.

    Args:
        ranks: size of the world.
    """
    return st.integers(0, ranks - 1)
