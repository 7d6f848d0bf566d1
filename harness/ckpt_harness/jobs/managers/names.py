"""Finding a manager by name: those that ship with the harness, and those in a user's own files."""

from __future__ import annotations

from typing import Any, cast

from ckpt_harness.engines.specs import is_installed, object_at
from ckpt_harness.errors import UsageError, quoted, unknown
from ckpt_harness.jobs.managers.protocol import OPTIONAL, REQUIRED, MakeManager, Manager

SHIPPED: dict[str, str] = {
    "plain": "ckpt_harness.jobs.managers.plain:PlainManager",
    "torchtitan": "ckpt_harness.jobs.managers.torchtitan:TorchtitanManager",
    "torchtitan-async": "ckpt_harness.jobs.managers.torchtitan:TorchtitanAsyncManager",
}
"""Managers that ship with the harness: name -> ``module:class``. Importing such a module does not import the package of a third party."""
THIRD_PARTY: dict[str, str] = {"torchtitan": "torchtitan", "torchtitan-async": "torchtitan"}
"""Shipped managers of other packages: name -> package."""

_VALID = "module:Class, or file.py:Class"


def find_manager(name: str) -> MakeManager:
    """Finds what makes a manager.

    Args:
        name: a name of :data:`SHIPPED`, or ``module:Class``, or ``path/to/file.py:Class``. A function that takes the directory will do for the class.

    Raises:
        UsageError: there is no such manager, it cannot be imported, or it lacks a method.

    Example:
        >>> find_manager("plain").__name__
        'PlainManager'
        >>> find_manager("plane")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.UsageError: unknown manager 'plane'; valid: plain, torchtitan, torchtitan-async, or module:Class, or file.py:Class
    """
    target = SHIPPED.get(name, name)
    if name in THIRD_PARTY and not is_installed(THIRD_PARTY[name]):
        raise UsageError(f"manager {name!r} needs {THIRD_PARTY[name]}, which is not installed: pip install {THIRD_PARTY[name]}")
    if ":" not in target:
        raise UsageError(f"{unknown('manager', name, SHIPPED)}, or {_VALID}")
    made = object_at("manager", name, target, valid=_VALID)
    if not callable(made):
        raise UsageError(f"manager {quoted(name)} is {quoted(made, 40)}; valid: a class or function that takes the directory")
    if isinstance(made, type):
        check_methods(made, name)
    return cast(MakeManager, made)


def check_methods(manager: Any, name: str) -> Manager:
    """Returns the manager, or the class, if it has the methods that every manager has.

    Args:
        manager: the manager or its class.
        name: the name of the manager, for messages.

    Raises:
        UsageError: it lacks a method.
    """
    missing = [method for method in REQUIRED if not callable(getattr(manager, method, None))]
    if missing:
        raise UsageError(f"manager {quoted(name)} lacks {', '.join(missing)}; valid: see ckpt_harness.jobs.managers.protocol.Manager")
    return cast(Manager, manager)


def cannot_do(make: MakeManager) -> frozenset[str]:
    """Returns the first words of the operations that a manager has no methods for. Of a function that makes managers, nobody knows.

    Args:
        make: what makes the manager.

    Example:
        >>> class Small:
        ...     def save(self, state, step): ...
        >>> sorted(cannot_do(Small))
        ['async', 'prune', 'wait']
    """
    if not isinstance(make, type):
        return frozenset()
    return frozenset(word for method, words in OPTIONAL.items() if not callable(getattr(make, method, None)) for word in words)
