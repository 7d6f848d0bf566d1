"""Saves that write in native code, past Python's audit events: ``torch.save`` to a path, and safetensors' ``save_file``.

Each is a site of its own: before; half-way, where a prefix of the file is there; after. Reads of safetensors are reported, too.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ckpt_harness.drill.inside.agent import Agent


def actions(agent: Agent) -> dict[str, Callable[[ModuleType], None]]:
    """What to do after the import of which module."""

    def saves(site: str, name: str, position: int, keyword: str) -> Callable[[ModuleType], None]:
        def act(module: ModuleType) -> None:
            original = getattr(module, name)
            saving = _saving(agent, site, original, position, keyword)
            for home in (module, sys.modules.get("torch")):
                if getattr(home, name, None) is original:  # in a forked rank, torch has the function already
                    setattr(home, name, saving)

        return act

    def both(site: str) -> Callable[[ModuleType], None]:
        save = saves(site, "save_file", 1, "filename")

        def act(module: ModuleType) -> None:
            save(module)
            for name in ("load_file", "safe_open"):
                if hasattr(module, name):
                    setattr(module, name, _reading(agent, getattr(module, name)))

        return act

    return {
        "torch.serialization": saves("torch.save", "save", 1, "f"),
        "safetensors.torch": both("safetensors.save_file"),
        "safetensors.numpy": both("safetensors.save_file"),
    }


def _saving(agent: Agent, site: str, function: Callable[..., Any], position: int, keyword: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def save(*args: Any, **kwargs: Any) -> Any:
        target = args[position] if len(args) > position else kwargs.get(keyword)
        is_path = isinstance(target, (str, os.PathLike))
        inside = agent.inside(target) if is_path and not agent.is_at_work else None
        if inside is None:
            return function(*args, **kwargs)
        assert target is not None
        nth = agent.count(site, inside)
        agent.at_file(site, inside, nth, "before")
        result = function(*args, **kwargs)
        agent.at_file(site, inside, nth, "half", os.path.abspath(os.fspath(target)))  # noqa: PTH100
        agent.at_file(site, inside, nth, "after")
        return result

    return save


def _reading(agent: Agent, function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(function, type):  # a program may derive from it, or ask isinstance()
        return function

    @functools.wraps(function)
    def read(*args: Any, **kwargs: Any) -> Any:
        inside = agent.inside(args[0] if args else kwargs.get("filename"))
        if inside is not None:
            agent.tell({"type": "read", "path": inside})
        return function(*args, **kwargs)

    return read
