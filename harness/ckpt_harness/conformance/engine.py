"""The engine that a conformance class describes: DCP on the class's writer and reader."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import torch.distributed.checkpoint as dcp

from ckpt_harness._torch import FsspecWriter
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import Capability


class Storage(Protocol):
    """What a conformance class says of its storage."""

    capabilities: Collection[str]

    def make_writer(self, place: str) -> Any:
        """A storage writer for a directory."""

    def make_reader(self, place: str) -> Any:
        """A storage reader for a directory."""

    def committed(self, place: str) -> bool:
        """Whether the directory holds a checkpoint that counts."""


class StorageEngine(FileSystemEngine):
    """DCP on the storage of a class. Places are directories.

    Args:
        describes: the class; it is made anew for every question, so it keeps no state.

    Attributes:
        kin: the built-in engine whose findings it inherits; "" if none. Known once a writer was made.

    Raises:
        UsageError: the class claims an unknown capability, or cannot be found again by the line that replays a case.
    """

    def __init__(self, describes: type[Storage]) -> None:
        super().__init__(_address(describes), f"DCP on the storage of {describes.__name__}")
        self.capabilities = claimed(describes)
        self.kin = ""
        self._describes = describes

    def make_writer(self, place: str) -> Any:
        writer = self._describes().make_writer(place)
        self.kin = _kin_of(writer)
        return writer

    def make_reader(self, place: str) -> Any:
        return self._describes().make_reader(place)

    def committed(self, place: str, apart: int = 0) -> bool:
        storage = self._describes()
        return all(_has_part(storage, place, rank) for rank in range(apart)) if apart else storage.committed(place)


def _kin_of(writer: object) -> str:
    """The built-in engine whose storage a writer inherits, "" if none: it has the findings of that."""
    if isinstance(writer, FsspecWriter):
        return "fsspec-file"
    if isinstance(writer, dcp.FileSystemWriter):
        return "filesystem-threads" if writer.thread_count > 1 else "filesystem-synced"
    return ""


def _has_part(storage: Storage, place: str, rank: int) -> bool:
    """Whether a rank that saved without collectives has committed its part: whether its metadata can be read."""
    try:
        storage.make_reader(place).read_metadata(rank=rank)
    except Exception:  # noqa: BLE001  (what a reader raises for a part that is not there is its own affair)
        return False
    return True


def claimed(describes: type[Storage]) -> frozenset[Capability]:
    """The capabilities that a class claims.

    Raises:
        UsageError: an unknown one; the message lists the valid ones.
    """
    known = {one.value: one for one in Capability}
    unknown = sorted(set(describes.capabilities) - set(known))
    if unknown:
        raise UsageError(f"{describes.__name__}.capabilities: unknown {', '.join(map(repr, unknown))}; capabilities: {', '.join(map(repr, known))}")
    return frozenset(known[name] for name in describes.capabilities)


def _address(describes: type[Storage]) -> str:
    """``path/to/test_file.py:TestClass.engine``, as a replay line needs it."""
    if "<locals>" in describes.__qualname__:
        raise UsageError(f"{describes.__qualname__} is made in a function, where no replay line can find it; define it in a module")
    file = sys.modules[describes.__module__].__file__
    assert file is not None, "a module that defines a class came from a file"
    path = Path(file)
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{describes.__qualname__}.engine"
