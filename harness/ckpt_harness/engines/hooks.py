"""An engine whose hooks are watched: where a hook raises an error, the error names the hook, and the case is UNKNOWN."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

from ckpt_harness.engines.base import Engine
from ckpt_harness.errors import HookError, blamed, quoted

HOOKS = ("place", "committed", "flaws", "fingerprint", "stored", "discard")
"""Methods by which the harness looks after checkpoints. No rank calls these methods, so an error of theirs is no outcome of a rank."""

_noted: list[list[str]] = []
"""A list of failures for each :func:`noted` that is under way, innermost last."""


class WatchedEngine:
    """Passes everything on to an engine. A hook that raises raises :class:`ckpt_harness.errors.HookError` instead.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        if name == "_engine":  # not set yet: the object is being copied
            raise AttributeError(name)
        value = getattr(self._engine, name)
        return self._watched(name, value) if name in HOOKS else value

    def __eq__(self, other: object) -> bool:
        """A watched engine is equal to the engine, and to any other watch on it: cases that are bound twice are equal."""
        return self._engine == (other._engine if isinstance(other, WatchedEngine) else other)

    def __hash__(self) -> int:
        return hash(self._engine)

    def _watched(self, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            try:
                with blamed(f"engine {quoted(self._engine.name)}: {name} raised", HookError):
                    value = hook(*args, **options)
                    return dict(value) if name == "fingerprint" else tuple(value) if name == "flaws" else value
            except HookError as error:
                note(error)
                raise

        return call


def watched(engine: Engine) -> Engine:
    """Returns the engine with its hooks watched."""
    return cast(Engine, WatchedEngine(engine))


def note(error: HookError) -> HookError:
    """Notes an error of what the user brings, wherever it goes from here, and returns it."""
    for failures in _noted[-1:]:
        failures.append(str(error))
    return error


@contextlib.contextmanager
def noted() -> Iterator[list[str]]:
    """Notes failures of hooks, wherever the error goes: a hook may be called while ranks wait, and then a rank gets its error.

    Yields:
        One text for each failure, in order.
    """
    failures: list[str] = []
    _noted.append(failures)
    try:
        yield failures
    finally:
        _noted.remove(failures)
