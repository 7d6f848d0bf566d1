"""The program's own operations on files below the state directory.

What is seen, and when:

- *before*: by an audit hook, whichever library acts, native code that goes through Python's ``os`` and ``io`` included.
- *after*: by replacing the functions of ``os`` and ``open``. A program that took a function from the module ``posix`` is seen before, and not after.
- of a file that is opened for writing: *opened* (it is there, and empty), and once its file object is closed, *half* (a prefix of the file is there; for
  a file that no single write holds) and *after*.

Not seen: native code that opens files itself, ``mmap``, and what is written to a descriptor that ``os.open`` returned.
"""

from __future__ import annotations

import _thread
import builtins
import io
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

from ckpt_harness.drill.inside.agent import Agent

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ONE_OPERATION = {
    "os.remove": ("file.remove", ((0, 1),)),
    "os.rmdir": ("file.rmdir", ((0, 1),)),
    "os.mkdir": ("file.mkdir", ((0, 2),)),
    "os.rename": ("file.rename", ((1, 3), (0, 2))),
    "os.link": ("file.link", ((1, 3),)),
    "os.symlink": ("file.symlink", ((1, 2),)),
    "os.truncate": ("file.truncate", ((0, None),)),
}
"""Audit event -> the site, and the arguments that may name the file, each with that of its directory: the first that lies in the state names the point."""
_FUNCTIONS = ("remove", "unlink", "rmdir", "mkdir", "rename", "replace", "link", "symlink", "truncate", "ftruncate")
_LISTING = frozenset({"os.listdir", "os.scandir"})
WRITTEN_AT_ONCE = io.DEFAULT_BUFFER_SIZE
"""A file of at most so many bytes reaches the system in one write."""


class _Call:
    """A function of a module, with something after it.

    An object, since a function would become a method where a class has it as an attribute.
    """

    def __init__(self, original: Callable[..., Any], run: Callable[..., Any]) -> None:
        self.__wrapped__ = original
        self.__name__ = original.__name__
        self.__qualname__ = original.__qualname__
        self.__module__ = original.__module__
        self.__doc__ = original.__doc__
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self.__wrapped__, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (sys.modules["os" if self.__module__ == "posix" else self.__module__], self.__name__)


class _Watcher:
    """Turns audit events and calls into points.

    Args:
        agent: the agent of this process.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._local = _thread._local()

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Is called before each audited operation of the process."""
        if event == "open":
            if not self._agent.is_at_work:
                self._opening(*args)
        elif event in _ONE_OPERATION:
            if not self._agent.is_at_work:
                self._operating(event, args)
        elif event in _LISTING and not self._agent.is_at_work and args and args[0] is not None:
            self._agent.inside(args[0])

    def _opening(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int):
            return
        inside = self._agent.inside(path)
        if inside is None:
            return
        if not isinstance(flags, int) or not flags & _WRITING:
            if not os.path.isdir(path):  # noqa: PTH112  (pathlib costs a start-up)
                self._agent.tell({"type": "read", "path": inside})
            return
        nth = self._agent.count("file.write", inside)
        self._local.done = "file.write", inside, nth
        self._agent.at_file("file.write", inside, nth, "before")

    def _operating(self, event: str, args: tuple[Any, ...]) -> None:
        site, places = _ONE_OPERATION[event]
        for number, directory in places:
            at = args[directory] if directory is not None and directory < len(args) else None
            inside = self._agent.inside(args[number], at if isinstance(at, int) else None)
            if inside is not None:
                nth = self._agent.count(site, inside)
                self._local.done = site, inside, nth
                self._agent.at_file(site, inside, nth, "before")
                return

    def _take(self) -> tuple[str, str, int] | None:
        """The operation that the calling thread has just done, if it was on a watched file."""
        done: tuple[str, str, int] | None = getattr(self._local, "done", None)
        self._local.done = None
        return done

    def operate(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a function of ``os``."""
        self._take()
        result = original(*args, **kwargs)
        done = self._take()
        if done is not None:
            self._agent.at_file(*done, "after")
        return result

    def open_descriptor(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls ``os.open``."""
        self._take()
        descriptor = original(*args, **kwargs)
        done = self._take()
        if done is not None:
            self._agent.at_file(*done, "opened")
            self._local.opened = descriptor, done
        return descriptor

    def open_file(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls ``open``."""
        self._take()
        opened = original(*args, **kwargs)
        done = self._take()
        if done is not None:
            self._agent.at_file(*done, "opened")
        else:
            descriptor, before = getattr(self._local, "opened", None) or (None, None)
            name = args[0] if args else kwargs.get("file")
            if descriptor is not None and (name == descriptor or "opener" in kwargs):
                done, self._local.opened = before, None
        if done is not None:
            self._see_the_end(opened, done)
        return opened

    def _see_the_end(self, file: Any, done: tuple[str, str, int]) -> None:
        """Makes the close of a file a point. The file is held by nobody: a program may leave its close to the garbage collector."""
        held = weakref.ref(file)

        def close() -> None:
            opened = held()
            if opened is None or opened.closed:
                return
            full = _full_name(opened)
            type(opened).close(opened)
            if full is not None and os.path.exists(full):  # noqa: PTH110
                if os.path.getsize(full) > WRITTEN_AT_ONCE:  # noqa: PTH202
                    self._agent.at_file(*done, "half", full)
                self._agent.at_file(*done, "after")

        file.close = close


def _full_name(file: Any) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{file.fileno()}")  # noqa: PTH115
    except (OSError, ValueError):
        return None


def watch(agent: Agent) -> None:
    """Watches the files of the process from now on."""
    watcher = _Watcher(agent)
    sys.addaudithook(watcher.audit)
    for name in _FUNCTIONS:
        _replace(os, name, watcher.operate)
    _replace(os, "open", watcher.open_descriptor)
    opened = _Call(builtins.open, watcher.open_file)
    builtins.open = io.open = opened


def _replace(module: Any, name: str, run: Callable[..., Any]) -> None:
    """Replaces a function of ``os``, also in the sets that say what the function supports: ``shutil`` asks them."""
    original = getattr(module, name, None)
    if original is None:
        return
    call = _Call(original, run)
    for supports in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
        if original in supports:
            supports.add(call)
    setattr(module, name, call)
