"""Objects that are no engines, and engines whose hooks raise, for the table of malformed input and for tests of hooks."""

from __future__ import annotations

from typing import Any

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability

HERE = "tests/unit/cli/bad_engines.py"
NUMBER = 5
NOTHING = None
TEXT = "filesystem"


def function() -> None:
    """No engine."""


class Plain:
    """No engine."""


class Leaver(Exception):
    """Leaves the process where it is made."""

    def __init__(self, message: str) -> None:
        raise SystemExit(0)


class TakesTwo(Exception):
    """Cannot be made from a message alone."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)


class Odd(Exception):
    """Makes something that is no exception."""

    def __new__(cls, *args: Any) -> Any:
        return "no error"


def _with(**attributes: Any) -> FileSystemEngine:
    engine = FileSystemEngine(f"{HERE}:x", "an engine with one wrong part")
    for name, value in attributes.items():
        setattr(engine, name, value)
    return engine


NO_CAPABILITIES = _with(capabilities=None)
TEXTS = _with(capabilities={"collectives"})
MISSPELLED = _with(capabilities={"colectives"})
ONE_TEXT = _with(capabilities="collectives")
NO_PROTOCOL = _with(protocol=None)
NO_NAME = _with(name=None)
NO_ABOUT = _with(about=7)
NO_USUAL = _with(usual=None)
NO_PLANNERS = _with(planners=["default"])
NO_HOLDING = _with(cannot_hold=None)
NO_METHOD = _with(save=None)
NO_HOOK = _with(committed=True)


class OfClass(FileSystemEngine):
    """Claims by a class attribute."""

    capabilities = frozenset({Capability.COMMIT_MARKER})


OF_CLASS = OfClass(f"{HERE}:OF_CLASS", "claims by a class attribute")


def _hook(name: str, error: BaseException) -> FileSystemEngine:
    def raises(self: object, *args: object, **options: object) -> None:
        raise error

    return type("Broken", (FileSystemEngine,), {name: raises})(f"{HERE}:{name.upper()}", f"{name} raises")


COMMITTED = _hook("committed", RuntimeError("no network"))
FLAWS = _hook("flaws", RuntimeError("no network"))
DISCARD = _hook("discard", SystemExit(0))
FINGERPRINT = _hook("fingerprint", SystemExit(0))
PLACE = _hook("place", SystemExit(0))
CANNOT_SAVE = _hook("make_writer", ValueError("no such bucket"))
