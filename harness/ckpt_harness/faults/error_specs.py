"""Errors as plans name them (``raise(OSError:ENOSPC)``), and the exception zoo: errors that differ in whether and how they can cross ranks.

DCP pickles exceptions inside its collectives, so the kind of error decides whether the other ranks ever learn of it.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import os
import pickle
import re
from collections.abc import Callable

from ckpt_harness.errors import InjectedFault, PlanError, blamed, quoted, unknown

HUGE = 1 << 20
"""Characters in the message of the ``huge`` error."""


class Unpicklable(RuntimeError):
    """``pickle.dumps`` fails, as for errors that keep a connection, a lock or a frame."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.handle = lambda: None


class Unloadable(RuntimeError):
    """``pickle.loads`` fails, since the constructor needs more arguments than ``args`` holds; as for the errors of botocore and gcsfs."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Control(BaseException):
    """Not an ``Exception``: ``except Exception`` does not catch it."""


def _local(message: str) -> BaseException:
    class Local(RuntimeError):
        """Defined inside a function, so that pickle cannot find the class by name."""

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
"""The exception zoo: name -> (what is special about the error, function that makes it from a message)."""

SWEPT: tuple[str, ...] = ("OSError:ENOSPC", "TimeoutError", "SystemExit", "KeyboardInterrupt", *ZOO)
"""Errors that a sweep tries beside a plain error: errors with a meaning to the code that they pass through, and errors that are hard to send."""

MISTAKABLE: tuple[str, ...] = ("StopIteration", "queue.Empty", "KeyError", "EOFError", "AttributeError", "FileNotFoundError")
"""Errors that code on the way may mistake for something else, so that they never arrive: the end of an iterator, of a queue, of a dictionary's keys or of a
file; an object without the attribute; a checkpoint that does not exist. A sweep tries each once at every site."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+\Z")


def _builtin(name: str) -> type[BaseException] | None:
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return None
    return kind if _takes_message(kind) else None  # UnicodeDecodeError and ExceptionGroup need more


def check(spec: str, *, load: bool = False) -> None:
    """Refuses the name of an error that could not be raised.

    Args:
        spec: ``InjectedFault``, a builtin (``ValueError``), ``OSError:ERRNO``, a name of :data:`ZOO`, or the dotted path of a class.
        load: also import the class of a dotted path.

    Raises:
        PlanError: the message shows the name and the valid choices.

    Example:
        >>> check("OSError:ENOSPC")
        >>> check("ValueError:EIO")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.PlanError: error 'ValueError:EIO': only OSError takes an errno; valid: OSError:EIO, OSError:ENOSPC, ...
    """
    name, colon, number = spec.partition(":")
    if colon:
        if name != "OSError":
            raise PlanError(f"error {quoted(spec)}: only OSError takes an errno; valid: OSError:EIO, OSError:ENOSPC, ...")
        check_errno(number)
    elif _DOTTED.match(name):
        if load:
            _import(name)
    elif name != "InjectedFault" and name not in ZOO and _builtin(name) is None:
        valid = "a builtin that takes a message (ValueError), OSError:ENOSPC, mypackage.MyError, or a name of `ckpt-harness effects`"
        raise PlanError(f"unknown error {quoted(spec, 50)}; valid: {valid}")


def check_errno(number: str) -> None:
    """Refuses an errno that the system does not have.

    Args:
        number: symbolic errno, such as ``ENOSPC``.

    Raises:
        PlanError: the message shows the nearest choices.
    """
    if number not in errno.errorcode.values():
        raise PlanError(unknown("errno", number, sorted(errno.errorcode.values())))


def _import(path: str) -> type[BaseException]:
    module, _, attribute = path.rpartition(".")
    with blamed(f"error {quoted(path)} cannot be imported", PlanError):
        kind = getattr(importlib.import_module(module), attribute)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise PlanError(f"error {quoted(path)} is {quoted(kind)}, which is not an exception class")
    if not _takes_message(kind):
        raise PlanError(f"error {quoted(path)} cannot be made from a message alone; valid: a class whose constructor takes one string")
    return kind


def _takes_message(kind: type[BaseException]) -> bool:
    try:
        return isinstance(kind("probe"), BaseException)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  (whatever a constructor raises, SystemExit included, the error cannot be made)
        return False


def injected(spec: str, site: str, rank: int) -> BaseException:
    """The error that a fault raises. Its message names the site and the rank, so that the right error can be distinguished from a wrong one.

    Args:
        spec: the error's name, as :func:`check` accepts it.
        site: where the error is raised.
        rank: the rank that raises it.

    Example:
        >>> injected("ValueError", "writer.finish", 0)
        ValueError('injected at writer.finish on rank 0')
    """
    return make(spec, f"injected at {site} on rank {rank}")


def make(spec: str, message: str) -> BaseException:
    """Makes the error that ``spec`` names.

    Args:
        spec: the error's name, as :func:`check` accepts it.
        message: the error's message.

    Example:
        >>> make("OSError:EIO", "a test")
        OSError(5, 'Input/output error [a test]')
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


def crosses(spec: str) -> bool:
    """Whether an error can cross to another rank: DCP pickles it on one rank, and unpickles it on the other.

    Args:
        spec: the error's name, as :func:`check` accepts it.

    Example:
        >>> crosses("OSError:EIO"), crosses("unloadable")
        (True, False)
    """
    try:
        pickle.loads(pickle.dumps(make(spec, "a test")))
    except Exception:  # noqa: BLE001  (pickle raises errors of many types, and a class may raise any in its constructor)
        return False
    return True


def of_system(number: str) -> OSError:
    """The error of a system call.

    Args:
        number: symbolic errno, such as ``ENOSPC``.

    Example:
        >>> of_system("ENOSPC")
        OSError(28, 'No space left on device')
    """
    code = getattr(errno, number)
    return OSError(code, os.strerror(code))
