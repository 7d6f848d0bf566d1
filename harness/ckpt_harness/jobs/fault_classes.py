"""Classes of faults: what a fault does to its rank. Coverage counts these classes, and a search may leave some of them out."""

from __future__ import annotations

from ckpt_harness.errors import UsageError, unknown
from ckpt_harness.faults.effects import (
    BitFlip,
    CutBody,
    Delay,
    DiskError,
    Effect,
    Exit,
    FailFuture,
    Hang,
    Kill,
    Misdirect,
    NeverComplete,
    NoSpace,
    Raise,
    Reset,
    ShortWrite,
    Skip,
    StaleRead,
    Status,
    Stop,
    Throttle,
    TornWrite,
    Truncate,
    WrongResult,
    ZeroFill,
)
from ckpt_harness.faults.fault import Fault

NO_FAULT = "none"
"""In place of a class: no fault struck."""
LOST = "lost"
"""The class of errors that come after the call has acted: the acknowledgement is lost."""

_EFFECTS: dict[str, tuple[type[Effect], ...]] = {
    "error": (Raise, FailFuture, DiskError, NoSpace, Status, Reset, CutBody),
    LOST: (Raise, DiskError, Status, Reset),
    "delay": (Delay, Throttle),
    "stall": (Hang, NeverComplete, Stop),
    "death": (Kill, Exit),
    "lie": (Skip, WrongResult, ShortWrite, StaleRead),
    "damage": (BitFlip, ZeroFill, Truncate, TornWrite, Misdirect),
}

ABOUT: dict[str, str] = {
    "error": "the call fails with an error",
    LOST: "the call acts, and then fails with an error: its acknowledgement is lost",
    "delay": "the rank is late",
    "stall": "the call, or its future, never ends",
    "death": "the rank ends",
    "lie": "the call reports success and did nothing, or something else",
    "damage": "bytes are damaged silently",
}
"""Class -> what it is, in one line; the simplest class first."""

FAULT_CLASSES: tuple[str, ...] = tuple(ABOUT)
"""All classes, the simplest first."""

FATAL: tuple[str, ...] = ("stall", "death")
"""Classes after which ranks can only be restarted."""


def class_of(fault: Fault) -> str:
    """Returns the class of a fault.

    Example:
        >>> class_of(Fault("writer.finish", (0,), Raise(), after=True)), class_of(Fault("writer.finish", (0,), Kill(), after=True))
        ('lost', 'death')
    """
    kind = type(fault.effect)
    if fault.after and kind in _EFFECTS[LOST]:
        return LOST
    return next(name for name, kinds in _EFFECTS.items() if kind in kinds)


def effects_of(name: str) -> tuple[type[Effect], ...]:
    """Returns the effects of a class, the simplest first.

    Raises:
        UsageError: no such class.

    Example:
        >>> [kind.name for kind in effects_of("death")]
        ['kill', 'exit']
    """
    if name not in _EFFECTS:
        raise UsageError(unknown("class of faults", name, FAULT_CLASSES))
    return _EFFECTS[name]
