"""The injectors that are active now: which plans a call of DCP consults."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import NamedTuple

from ckpt_harness import runtime
from ckpt_harness.errors import HarnessError
from ckpt_harness.injection.injector import Injector


class _Activation(NamedTuple):
    """An active injector.

    Attributes:
        injector: the injector.
        scope: the runtime and the rank that it is active for; None for the whole process.
    """

    injector: Injector
    scope: tuple[runtime.Runtime, int] | None


_activations: list[_Activation] = []
_lock = threading.Lock()


def active() -> tuple[Injector, ...]:
    """The injectors that the calling rank's operations consult, in the order of their activation; empty on a thread that belongs to no rank."""
    if not _activations:
        return ()
    try:
        here = runtime.current(), runtime.current().rank()
    except HarnessError:
        return ()
    return tuple(activation.injector for activation in _activations if activation.scope in (None, here))


@contextlib.contextmanager
def activated(injector: Injector) -> Iterator[Injector]:
    """Makes ``injector`` active until the end of the ``with`` block.

    It is active on every thread of the process; but where a rank of a world that shares its process with other ranks enters the block, for this rank
    only.
    """
    here = runtime.current()
    activation = _Activation(injector, None if isinstance(here, runtime.RealRuntime) else (here, here.rank()))
    with _lock:
        _activations.append(activation)
    try:
        yield injector
    finally:
        with _lock:
            _activations[:] = [other for other in _activations if other is not activation]
