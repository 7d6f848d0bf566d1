"""Plants bugs in the real engine: an edit of a function's source, as a developer of the engine might make it, undone afterwards.

The function's code object is replaced in place. So every imported name of the function sees the edit, and tracebacks and reports of hangs still show
lines of torch.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from ckpt_harness.campaigns.sweep import Sweep

DCP = "torch.distributed.checkpoint"
UTILS, SAVER, LOADER, STORAGE = f"{DCP}.utils", f"{DCP}.state_dict_saver", f"{DCP}.state_dict_loader", f"{DCP}.filesystem"
WRITE, PLAN, READ = f"{UTILS}:_DistWrapper.all_reduce", f"{UTILS}:_DistWrapper.reduce_scatter", f"{UTILS}:_DistWrapper.all_gather"
FAILURES, WRAP = f"{UTILS}:_get_failure_dict", f"{DCP}.api:_wrap_exception"
SAVE, LOAD = f"{SAVER}:_save_state_dict", f"{LOADER}:_load_state_dict"
WRITER, READER = f"{STORAGE}:_FileSystemWriter", f"{STORAGE}:FileSystemReader"
UPLOAD = f"{DCP}._async_thread_executor:save_wrapper"


@dataclass(frozen=True)
class Edit:
    """A change of the source of one function.

    Attributes:
        where: ``module:qualified.name``.
        old: the text to replace. The text must occur exactly once; its indentation in the source is added to all lines of both texts.
        new: the new text.
    """

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A bug that a developer might make.

    Attributes:
        name: what the buggy engine does.
        caught_by: the oracles that must find the bug.
        edits: changes of the engine's source.
        search: the sweep that must find the bug.
        always: whether the buggy engine fails with no fault, too. A command then says so in one line, instead of a violation for each case.
    """

    name: str
    caught_by: tuple[str, ...]
    edits: tuple[Edit, ...]
    search: Sweep = Sweep(("save",), (2,))  # noqa: RUF009  (a frozen value)
    always: bool = False


class OtherSourceError(LookupError):
    """The source does not hold the text to replace: torch has another version, or the edit is wrong."""


@contextlib.contextmanager
def planted(edits: Sequence[Edit]) -> Iterator[None]:
    """Makes the edits for the length of the block. Attributes that the edited functions set on themselves are removed at the end.

    Raises:
        OtherSourceError: the source does not hold a text to replace; nothing is changed.
    """
    changed: dict[str, tuple[Any, str]] = {}
    for edit in edits:
        function, source = changed.get(edit.where) or _read(edit.where)
        changed[edit.where] = function, _replaced(source, edit)
    before = [(function, function.__code__, dict(function.__dict__)) for function, _ in changed.values()]
    compiled = [(function, _compiled(function, source)) for function, source in changed.values()]
    try:
        for function, code in compiled:
            function.__code__ = code
        yield
    finally:
        for function, code, attributes in before:
            function.__code__ = code
            function.__dict__.clear()
            function.__dict__.update(attributes)


def _read(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    for name in path.split("."):
        owner = inspect.getattr_static(owner, name)
    function = inspect.unwrap(owner)
    return function, textwrap.dedent(inspect.getsource(function))


def _replaced(source: str, edit: Edit) -> str:
    first = edit.old.split("\n")[0]
    lines = [line for line in source.split("\n") if first in line]
    indents = {line[: len(line) - len(line.lstrip())] for line in lines}
    for indent in indents:
        old, new = (text.replace("\n", f"\n{indent}") for text in (edit.old, edit.new))
        if source.count(old) == 1:
            return source.replace(old, new)
    raise OtherSourceError(f"{edit.where} has {len(lines)} lines with {first!r}; expected once: {edit.old!r}")


def _compiled(function: Any, source: str) -> CodeType:
    """The code object of an edited function, with the line numbers of the original."""
    tree = ast.parse(source)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    made: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, made)
    code: CodeType = made[definition.name].__code__
    return code
