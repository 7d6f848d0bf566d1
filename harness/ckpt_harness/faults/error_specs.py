"""The exception zoo: errors that differ in whether and how they can cross ranks.

DCP pickles exceptions inside its collectives, so what kind of error is raised decides whether its peers ever learn of it.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import os
import re
from collections.abc import Callable

from ckpt_harness.errors import InjectedFault, PlanError

HUGE = 1 << 20
"""Characters in the message of the ``huge`` error."""


class Unpicklable(RuntimeError):
    """Holds a lambda, as errors that keep a connection, a lock or a frame do: ``pickle.dumps`` fails."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.handle = lambda: None


class Unloadable(RuntimeError):
    """Pickles, but its constructor wants more than ``args`` holds: ``pickle.loads`` fails, as for botocore's and gcsfs' errors."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Control(BaseException):
    """Not an ``Exception``: what ``except Exception`` lets through."""


def _local(message: str) -> BaseException:
    class Local(RuntimeError):
        """Defined inside a function, so pickle cannot find it by name."""

    return Local(message)


def _caused(message: str) -> BaseException:
    error = RuntimeError(message)
    error.__cause__ = OSError(errno.EIO, os.strerror(errno.EIO))
    return error


ZOO: dict[str, tuple[str, Callable[[str], BaseException]]] = {
    "unpicklable": ("cannot be pickled", Unpicklable),
    "unloadable": ("pickles, cannot be unpickled", lambda message: Unloadable(503, message)),
    "local": ("of a class defined in a function", _local),
    "control": ("a BaseException that is no Exception", Control),
    "caused": ("raised from another error", _caused),
    "huge": ("with a message of 1 MB", lambda message: RuntimeError(message + "x" * (HUGE - len(message)))),
    "unicode": ("with non-ASCII text", lambda message: RuntimeError(f"{message} — Plattenspeicher voll: 磁盘已满 💾")),
}
"""Name -> (what is special, how to make one)."""

SWEPT: tuple[str, ...] = ("OSError:ENOSPC", "TimeoutError", "SystemExit", "KeyboardInterrupt", *ZOO)
"""The errors that a sweep tries beside the plain one: those that mean something to the code that they pass through, and those that are hard to send."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+\Z")


def _builtin(name: str) -> type[BaseException] | None:
    found = getattr(builtins, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        return None
    return found if _takes_message(found) else None  # not UnicodeDecodeError nor ExceptionGroup, which need more


def check(spec: str, *, load: bool = False) -> None:
    """Refuses an error specification that could not be raised.

    Args:
        spec: ``InjectedFault``, a builtin (``ValueError``), ``OSError:ERRNO``, a name of :data:`ZOO`, or a dotted path to a class of the caller's.
        load: also import the class of a dotted path.

    Raises:
        PlanError: with the value and the choices.
    """
    name, colon, number = spec.partition(":")
    if colon:
        if name != "OSError":
            raise PlanError(f"error {spec!r}: only OSError takes an errno, as in OSError:ENOSPC")
        if number not in errno.errorcode.values():
            raise PlanError(f"error {spec!r}: unknown errno {number!r}; valid: {', '.join(sorted(errno.errorcode.values()))}")
    elif _DOTTED.match(name):
        if load:
            _import(name)
    elif name != "InjectedFault" and name not in ZOO and _builtin(name) is None:
        raise PlanError(
            f"unknown error {spec!r}: a builtin exception that takes a message (ValueError), OSError:ERRNO (OSError:ENOSPC), "
            f"InjectedFault, the dotted path of a class (mypackage.errors.SlowDown), or one of the zoo: {', '.join(ZOO)}"
        )


def _import(path: str) -> type[BaseException]:
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PlanError(f"error {path!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise PlanError(f"error {path!r} is {found!r}, which is not an exception class")
    if not _takes_message(found):
        raise PlanError(f"error {path!r} cannot be made from a message alone; valid: a class whose constructor takes one string")
    return found


def _takes_message(kind: type[BaseException]) -> bool:
    try:
        kind("probe")
    except Exception:  # noqa: BLE001  (whatever a constructor raises, the error cannot be made)
        return False
    return True


def injected(spec: str, site: str, rank: int) -> BaseException:
    """The error that a fault raises: ``spec`` with a message that names the site and the rank, so that the right ones can be told from the wrong."""
    return make(spec, f"injected at {site} on rank {rank}")


def make(spec: str, message: str) -> BaseException:
    """Makes the error that ``spec`` names.

    Args:
        spec: as :func:`check` accepts it.
        message: which fault of which plan this is.
    """
    name, _, number = spec.partition(":")
    if number:
        code = getattr(errno, number)
        return OSError(code, f"{os.strerror(code)} [{message}]")
    if name == "InjectedFault":
        return InjectedFault(message)
    if name in ZOO:
        return ZOO[name][1](message)
    kind = _import(name) if _DOTTED.match(name) else _builtin(name)
    assert kind is not None, f"{spec!r} was checked when the plan was parsed"
    return kind(message)


def of_system(number: str) -> OSError:
    """The error of a system call.

    Args:
        number: symbolic errno, such as ``ENOSPC``.
    """
    code = getattr(errno, number)
    return OSError(code, os.strerror(code))
