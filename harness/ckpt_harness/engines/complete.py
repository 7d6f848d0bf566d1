"""Checks that an object is an engine: what is missing or of the wrong kind is reported before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from ckpt_harness.engines.base import Engine
from ckpt_harness.errors import UsageError, choices, quoted
from ckpt_harness.faults.protocol import Capability, Protocol

_KINDS: dict[str, tuple[type, str]] = {
    "name": (str, "a text"),
    "about": (str, "a text"),
    "protocol": (Protocol, "a ckpt_harness.faults.protocol.Protocol"),
    "capabilities": (AbstractSet, "a set of ckpt_harness.faults.protocol.Capability"),
    "planners": (Mapping, "a mapping of names to descriptions"),
    "usual": (Mapping, "a mapping of fields to values"),
    "cannot_hold": (AbstractSet, "a set of ckpt_harness.workloads.workload.Holding"),
}
"""Attribute of an engine -> its type, and the type in words."""

_METHODS = ("place", "make_writer", "make_reader", "make_save_planner", "make_load_planner", "save", "load")
_HOOKS = ("committed", "flaws", "fingerprint", "discard")
_OF_ASYNC_SAVES = ("async_save", "make_stager")


def complete(value: Any, name: str) -> Engine:
    """Returns the engine that ``value`` is, or that a conformance class describes.

    Args:
        value: what a name led to.
        name: the name, for messages.

    Raises:
        UsageError: it is no engine; the message says what is missing.
    """
    if isinstance(value, type):
        if not hasattr(value, "make_writer") or not hasattr(value, "engine"):
            raise UsageError(f"engine {quoted(name)} is the class {value.__name__}; valid: an engine object, or a StorageConformance class")
        return complete(cast(Any, value).engine, name)
    if inspect.isroutine(value) or inspect.ismodule(value):
        kind = "a module" if inspect.ismodule(value) else "a function"
        raise UsageError(f"engine {quoted(name)} is {kind}; valid: an object as ckpt_harness.engines.base.Engine describes it")
    _check_parts(value, name)
    for capability in value.capabilities:
        if not isinstance(capability, Capability):
            valid = [f"Capability.{known.name}" for known in Capability]
            raise UsageError(f"engine {quoted(name)}: capabilities hold {quoted(capability, 40)}; {choices(valid, f'Capability.{capability}'.upper())}")
    return cast(Engine, value)


def _check_parts(value: Any, name: str) -> None:
    missing = [part for part in (*_KINDS, *_METHODS, *_HOOKS, "one_process") if not hasattr(value, part)]
    if not missing and isinstance(value.protocol, Protocol) and "async_save" in value.protocol.operations:
        missing = [part for part in _OF_ASYNC_SAVES if not hasattr(value, part)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        lacks = f"engine {quoted(name)} is {quoted(value, 40)}, which lacks {', '.join(missing[:3])}{more}"
        raise UsageError(f"{lacks}; valid: see ckpt_harness.engines.base.Engine")
    for part, (kind, words) in _KINDS.items():
        if not isinstance(getattr(value, part), kind):
            raise UsageError(f"engine {quoted(name)}: {part} is {quoted(getattr(value, part))}; valid: {words}")
    for part in (*_METHODS, *_HOOKS):
        if not callable(getattr(value, part)):
            raise UsageError(f"engine {quoted(name)}: {part} is {quoted(getattr(value, part))}; valid: a method")
