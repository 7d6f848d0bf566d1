"""Kin: the built-in engine whose known findings an engine shares, and the code that the engine does not share with it.

A storage class that derives from a class of DCP inherits DCP's methods, and with them the findings about these methods. It does not inherit a method that
it replaces. A method that calls the inherited one extends it, and inherits its findings.

Not seen: a class that calls DCP's storage without deriving from it, and a method that calls the inherited method through another function.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import torch.distributed.checkpoint as dcp

from ckpt_harness._torch import FsspecWriter
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.names import find_engine, ships


class KnownAs(NamedTuple):
    """A name under which the findings register knows an engine's findings.

    Attributes:
        name: the engine's own name, or the name of its kin.
        replaced: patterns of the code that is not that of ``name``: methods of storage classes such as ``writer.write_data``, and ``save_planner`` or
            ``load_planner`` for a planner that is not DCP's own.
    """

    name: str
    replaced: frozenset[str] = frozenset()


def known_as(name: str) -> tuple[KnownAs, ...]:
    """Returns the names under which the findings register knows an engine's findings: its own name, and the name of its kin.

    Args:
        name: the engine's name.

    Example:
        >>> known_as("filesystem")
        (KnownAs(name='filesystem', replaced=frozenset()),)
    """
    kin = None if ships(name) else _kin(name)
    return (KnownAs(name), kin) if kin else (KnownAs(name),)


@functools.cache
def _kin(name: str) -> KnownAs | None:
    """The kin of an engine: the engine that its attribute ``kin`` names or, without that attribute, the engine whose writer its writer derives from.

    An engine with a storage of its own may still use DCP's planners.
    """
    engine = find_engine(name)
    declared: str | None = getattr(engine, "kin", None)
    if declared == "":
        return None
    writer, reader = _storages(engine)
    kin = declared or _deduced(writer)
    if not kin:
        return KnownAs("filesystem", frozenset({"writer.*", "reader.*", *_own_planners(engine)}))
    replaced = {f"writer.{method}" for method in _replaced(type(writer))} | {f"reader.{method}" for method in _replaced(type(reader))}
    return KnownAs(kin, frozenset({*replaced, *_own_planners(engine)}))


def _storages(engine: Engine) -> tuple[Any, Any]:
    """A writer and a reader of the engine; None for an object that the engine cannot make here."""
    writer = reader = None
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-kin-") as root, contextlib.suppress(Exception):  # a case reports what its ranks get
        place = engine.place(Path(root), "kin")
        writer = engine.make_writer(place)
        reader = engine.make_reader(place)
    return writer, reader


def _own_planners(engine: Engine) -> Iterator[str]:
    """``save_planner`` and ``load_planner``, where the engine's default planner is none of DCP's, or derives from it and replaces a method.

    With the methods of the planner that are not DCP's alone, such as ``load_planner.create_global_plan``: an extension may mend what DCP leaves out.
    """
    for side, make in (("save_planner", engine.make_save_planner), ("load_planner", engine.make_load_planner)):
        with contextlib.suppress(Exception):
            kind = type(make("default"))
            if any(name == "*" or (not name.startswith("__") and callable(getattr(kind, name))) for name in _replaced(kind)):
                yield side
            yield from (f"{side}.{name}" for base in kind.__mro__ if not _is_of_torch(base) for name in _methods(base))


def _methods(kind: type) -> list[str]:
    """The names of the methods that a class itself defines, without those with a meaning of Python's own."""
    return [name for name, member in vars(kind).items() if inspect.isfunction(member) and not name.startswith("__")]


def _deduced(writer: object) -> str:
    """Name of the built-in engine whose writer the class of ``writer`` derives from; "" if there is none."""
    if isinstance(writer, dcp.HuggingFaceStorageWriter):
        return "huggingface-consolidated" if writer.enable_consolidation else "huggingface"
    if isinstance(writer, FsspecWriter):
        return "fsspec-file"
    if isinstance(writer, dcp.FileSystemWriter):
        if writer.thread_count > 1:
            return "filesystem-threads"
        return "filesystem-synced" if writer.sync_files else "filesystem"
    return ""


def _replaced(kind: type) -> Iterator[str]:
    """The names of the methods of DCP that a class does not inherit; ``*`` for a class that derives from no storage of DCP."""
    if not any(_is_of_torch(base) and not inspect.isabstract(base) for base in kind.__mro__):
        yield "*"
        return
    for name in {name for base in kind.__mro__ if _is_of_torch(base) for name in vars(base)}:
        for base in kind.__mro__:
            if name in vars(base):
                if _is_of_torch(base):
                    break
                if not _extends(vars(base)[name], name, kind):
                    yield name
                    break


def _is_of_torch(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "torch"


def _extends(method: Any, name: str, kind: type) -> bool:
    """Whether a method calls the inherited method of the same name, by ``super()`` or by the name of a class.

    Example:
        >>> class Base:
        ...     def write(self): ...
        >>> class Counting(Base):
        ...     def write(self):
        ...         super().write()
        >>> class Other(Base):
        ...     def write(self): ...
        >>> _extends(Counting.write, "write", Counting), _extends(Other.write, "write", Other)
        (True, False)
    """
    function = inspect.unwrap(getattr(method, "__func__", None) or getattr(method, "fget", None) or method)
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    names = _names(code)
    return name in names and ("super" in names or any(base.__name__ in names for base in kind.__mro__[1:]))


def _names(code: CodeType) -> set[str]:
    """The names that a function uses, those of functions inside it included."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))
