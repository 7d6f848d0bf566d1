"""When the garbage of ranks is collected: once their bodies have ended, and never before.

Finalizers act: a stream that a failed save has lost may be closed by its finalizer, and be published after all. A collector that comes when it likes would
run them at any point, in simulated worlds on the thread of any rank. So cycles wait until the bodies have ended, and go before anybody looks at
what is left: whatever a finalizer can spoil is then spoilt every time. What simulated ranks that hang or died still hold goes after that, before
the world returns; with a process it would never be finalized.

Not modelled: a collection while an engine works. A body can ask for one.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Switches the collector off for as long as it lasts."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        (gc.enable if enabled else gc.disable)()


def collect() -> None:
    """Collects what the bodies made, which is the youngest generation since nothing has been collected: older ones take long."""
    gc.collect(0)


def collect_again() -> None:
    """Collects what :func:`collect` found in use, which is one generation older now; since Python 3.14 it is only found by looking at everything."""
    gc.collect(1 if sys.version_info < (3, 14) else 2)
