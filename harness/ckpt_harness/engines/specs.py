"""Objects of the user, found by where they are defined: ``module:object``, or ``path/to/file.py:object``."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import operator
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ckpt_harness.errors import UsageError, blamed, choices, quoted


def object_at(what: str, name: str, target: str, *, valid: str) -> Any:
    """Imports an object.

    Args:
        what: what the object is to be, such as ``engine``, for messages.
        name: the name that the user gave, for messages.
        target: where it is defined; the object may be dotted.
        valid: the valid forms, for messages.

    Raises:
        UsageError: there is no such object, or it cannot be imported.

    Example:
        >>> object_at("engine", "math:pi", "math:pi", valid="module:object")
        3.141592653589793
    """
    module, _, attribute = target.rpartition(":")
    if not module or not attribute:
        raise UsageError(f"{what} {quoted(name)} names no module, or no object; valid: {valid}")
    with blamed(f"{what} {quoted(name)} cannot be imported"):
        loaded = _of_file(Path(module).resolve()) if module.endswith(".py") else importlib.import_module(module)
        first = attribute.partition(".")[0]
        if not hasattr(loaded, first):
            raise UsageError(f"{what} {quoted(name)}: {Path(module).name} has no {quoted(first)}; {choices(_own_names(loaded), first)}")
        return operator.attrgetter(attribute)(loaded)


def file_of(name: str) -> str | None:
    """Returns the file that defines an object, as its name has it; None for an object of a package.

    Args:
        name: the object's name.

    Example:
        >>> file_of("engines/mine.py:ENGINE"), file_of("filesystem")
        ('engines/mine.py', None)
    """
    module, colon, _ = name.rpartition(":")
    return module if colon and module.endswith(".py") else None


@functools.cache
def is_installed(module: str) -> bool:
    """Whether a module can be found. The module is not imported: a large package takes seconds."""
    return importlib.util.find_spec(module) is not None


def _own_names(module: ModuleType) -> list[str]:
    """The public names of a module, without what it only imports: other modules, and classes and functions of theirs."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "annotations"}
    return [
        name
        for name, value in own.items()
        if not inspect.ismodule(value) and (not (inspect.isclass(value) or inspect.isroutine(value)) or value.__module__ == module.__name__)
    ]


@functools.cache
def _of_file(path: Path) -> ModuleType:
    """Returns the module of a file: the module that a test runner has already loaded from that file, or else a new one."""
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("__file__") == str(path):  # not getattr(module, "__file__"): some modules import others when asked
            return module
    spec = importlib.util.spec_from_file_location(f"_engine_in_{path.stem}", path)
    assert spec is not None and spec.loader is not None, "a name that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.append(str(path.parent))  # so that the file can import the files next to it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]  # the next look-up must not find half a module
        raise
    return module
