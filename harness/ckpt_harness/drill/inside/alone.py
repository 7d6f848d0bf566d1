"""A strike without a drill: one point, from the environment. With it, a script shows what the drill has found.

Example::

    CKPT_HARNESS_STATE=runs/1 CKPT_HARNESS_STRIKE='kill-job at file.rename(latest)@0#3' torchrun ... train.py --dir runs/1
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any

VARIABLE = "CKPT_HARNESS_STRIKE"
"""Environment variable with the effect and the point."""
_ONCE = "CKPT_HARNESS_STRUCK"
"""Environment variable with the name of a file that is made by the strike: a launcher may start a rank anew within one start."""


class LoneDesk:
    """Answers every point with ``go``, but one.

    Args:
        strike: ``EFFECT at POINT``.

    Raises:
        ValueError: ``strike`` has another form.
    """

    def __init__(self, strike: str) -> None:
        self.effect, separator, self.point = strike.partition(" at ")
        if not separator:
            raise ValueError(f"{VARIABLE}={strike!r}; valid: EFFECT at POINT, such as 'kill-job at file.rename(latest)@0#3'")
        self._strike = strike

    def tell(self, message: dict[str, Any]) -> None:
        """Nobody listens."""

    def ask(self, message: dict[str, Any]) -> str:
        # without a drill nobody knows whether a process that no launcher has numbered is a launcher: it is taken for rank 0
        if str(message.get("name")).replace("@plain", "@0") != self.point or not _first():
            return "go"
        print(f"ckpt-harness: {self._strike}", file=sys.stderr, flush=True)
        if message.get("moment") == "half":
            path = message["full"]
            os.truncate(path, os.path.getsize(path) // 2)  # noqa: PTH202  (pathlib costs a start-up)
        if self.effect == "kill-rank":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.effect in ("kill-job", "term"):
            _signal_all(signal.SIGKILL if self.effect == "kill-job" else signal.SIGTERM, f"{VARIABLE}={self._strike}")
            return "go"
        if self.effect != "hang" and self.effect not in errno.errorcode.values():
            raise ValueError(f"{VARIABLE}: unknown effect {self.effect!r}; valid: kill-job, kill-rank, term, hang, ENOSPC, EIO, ESTALE")
        return self.effect


def _first() -> bool:
    """Whether this is the first strike."""
    once = os.environ.get(_ONCE)
    if not once:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _signal_all(number: int, variable: str) -> None:
    """Sends a signal to all processes that were started with a variable in their environment; to this process last."""
    own = os.getpid()
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib costs a start-up)
        if name.isdecimal() and int(name) != own:
            try:
                with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                    if variable.encode() in file.read().split(b"\0"):
                        os.kill(int(name), number)
            except OSError:  # the process has ended, or belongs to somebody else
                continue
    os.kill(own, number)
