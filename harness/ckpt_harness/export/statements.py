"""Statements of a script that do what an effect does."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ckpt_harness.faults.effects import Delay, Effect, Exit, Hang, Kill, NeverComplete, Raise, Skip, Stop, WrongResult
from ckpt_harness.faults.fault import Fault

_CALLED_ON = ("writer.checkpoint_id", "reader.checkpoint_id", "reader.read_metadata")
"""Sites that the engine calls again though a call has raised."""


def stall(effect: Effect) -> list[str]:
    """Statements of an effect after which a rank is late, or never goes on."""
    if isinstance(effect, (Hang, NeverComplete)):
        return ["time.sleep(3600)  # never returns"]
    if isinstance(effect, Delay):
        return [f"time.sleep({effect.seconds:g})"]
    if isinstance(effect, Kill):
        return ["os.kill(os.getpid(), signal.SIGKILL)"]
    if isinstance(effect, Exit):
        return ["os._exit(1)"]
    assert isinstance(effect, Stop), f"{effect} is no effect that stalls"
    waker = [f'subprocess.Popen(["sh", "-c", f"sleep {effect.seconds:g}; kill -CONT {{os.getpid()}}"])'] * math.isfinite(effect.seconds)
    return [*waker, "os.kill(os.getpid(), signal.SIGSTOP)"]


def falsified(effect: WrongResult, value: str) -> str:
    """An expression for the wrong result that an effect makes of ``value``."""
    return {"none": "None", "short": f"{value}[:-1]", "duplicate": f"[*{value}[:1], *{value}]"}[effect.kind]


def is_late(fault: Fault) -> bool:
    """Whether a fault strikes after the call has acted."""
    return fault.after or fault.at.is_future or isinstance(fault.effect, WrongResult)


def ends(effect: Effect) -> bool:
    """Whether the rank gets no further."""
    return isinstance(effect, (Raise, Skip, Hang, Kill, Exit)) or (isinstance(effect, Stop) and math.isinf(effect.seconds))


def counts(fault: Fault) -> bool:
    """Whether a script must count calls to know which one is struck."""
    if fault.nth > 1:
        return True
    if fault.times is None or not fault.at.several:
        return False
    again = isinstance(fault.effect, Raise) and fault.site in _CALLED_ON
    return again or isinstance(fault.effect, Skip) or not ends(fault.effect)


def guarded(condition: str, lines: list[str]) -> list[str]:
    """Statements that are executed only where a condition holds; always, if there is none."""
    return [f"if {condition}:", *indented(lines)] if condition else lines


def indented(lines: Iterable[str]) -> list[str]:
    """Lines, one level deeper."""
    return [f"    {line}" if line else "" for line in lines]
