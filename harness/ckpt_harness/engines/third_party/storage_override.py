"""Passes the storage of a case to DCP through code that has no parameter for it.

A trainer that saves with ``dcp.save(state, checkpoint_id=path)`` has no parameter for a storage object. Its engine calls the trainer inside a :func:`handed`
block: the thread's next call of DCP then gets the storage, planner and group of the case in addition to the trainer's arguments. Everything that the trainer
does around that call (its barriers, its own files, its changes of the state) is unchanged.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ckpt_harness._torch import replace_entry
from ckpt_harness.engines.base import Call
from ckpt_harness.injection.patching import SharedPatches

_given: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("given", default=None)
"""Arguments for the next call of DCP; separate for each thread, and so for each simulated rank."""


@contextlib.contextmanager
def handed(call: Call, **storage_and_planner: Any) -> Iterator[None]:
    """Adds arguments to this thread's next call of DCP's ``save``, ``async_save`` or ``load``.

    Args:
        call: how the rank calls the operation. Fields that are None leave the trainer's arguments unchanged.
        **storage_and_planner: arguments by the names of DCP's parameters.
    """
    of_call = {"process_group": call.group, "no_dist": call.no_dist or None, "async_stager": call.stager}
    _patches.take()
    token = _given.set({name: value for name, value in {**of_call, **storage_and_planner}.items() if value is not None})
    try:
        yield
    finally:
        _given.reset(token)
        _patches.release()


def _replacement(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def operate(*args: Any, **kwargs: Any) -> Any:
        given = _given.get()
        if given is None:
            return function(*args, **kwargs)
        call = signature.bind(*args, **kwargs)
        call.arguments.update({name: value for name, value in given.items() if name in signature.parameters})
        token = _given.set(None)  # async_save may call save on this thread, with all arguments already
        try:
            return function(*call.args, **call.kwargs)
        finally:
            _given.reset(token)

    return operate


_patches = SharedPatches(lambda: [replace_entry(name, _replacement) for name in ("save", "async_save", "load")])
