"""Hands the storage of a case to a caller of DCP that never shows its own.

A trainer that saves with ``dcp.save(state, checkpoint_id=path)`` has no parameter for a storage. Its engine calls it in a :func:`handed` block: the next call
of DCP that the thread makes gets the storage, planner and group of the case beside whatever the trainer passes. All that the trainer does around that call
(its barriers, its own files, what it does with the state) stays its own.
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
"""What the next call of DCP gets; each thread, and so each simulated rank, has its own."""


@contextlib.contextmanager
def handed(call: Call, **storage_and_planner: Any) -> Iterator[None]:
    """Gives the next call of DCP's ``save``, ``async_save`` or ``load`` on this thread what the case has for it.

    Args:
        call: how the rank calls; what it leaves at None is the trainer's affair.
        **storage_and_planner: by the names of DCP's parameters.
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
        token = _given.set(None)  # an async save without threads calls save itself, with what it was given
        try:
            return function(*call.args, **call.kwargs)
        finally:
            _given.reset(token)

    return operate


_patches = SharedPatches(lambda: [replace_entry(name, _replacement) for name in ("save", "async_save", "load")])
