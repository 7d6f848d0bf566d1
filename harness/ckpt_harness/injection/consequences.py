"""What an effect does to the thread whose call it strikes: raises its error, waits, or ends the rank.

Effects that change what a call does or returns are not here: ``skip`` and ``wrong`` are in :mod:`ckpt_harness.injection.results`, effects on the bytes
of files in :mod:`ckpt_harness.injection.streams`.
"""

from __future__ import annotations

from ckpt_harness import runtime
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects import Delay, DiskError, Effect, Exit, Hang, Kill, Raise, Stop


def act_out(effect: Effect, site: str, rank: int) -> None:
    """Lets an effect happen on the calling thread.

    Args:
        effect: Raise, DiskError, Delay, Hang, Kill, Stop or Exit; any other effect does nothing here.
        site: full name of the site of the call.
        rank: the calling rank, in the world.

    Raises:
        BaseException: the error that the effect injects.

    Example:
        >>> act_out(DiskError("EIO"), "fs.write", rank=0)
        Traceback (most recent call last):
            ...
        OSError: [Errno 5] Input/output error
    """
    if isinstance(effect, Raise):
        raise error_specs.injected(effect.error, site, rank)
    if isinstance(effect, DiskError):
        raise error_specs.of_system(effect.errno)
    if isinstance(effect, Delay):
        runtime.current().sleep(effect.seconds)
    elif isinstance(effect, Hang):
        runtime.current().hang(f"{effect} at {site}")
    elif isinstance(effect, Stop):
        runtime.current().stop(effect.seconds, f"{effect} at {site}")
    elif isinstance(effect, Kill):
        runtime.current().die()
    elif isinstance(effect, Exit):
        runtime.current().exit()
