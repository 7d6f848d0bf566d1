"""The engine of a conformance class: DCP on the writer and reader that the class makes."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.errors import UsageError, unknown
from ckpt_harness.faults.protocol import Capability


class Storage(Protocol):
    """What a conformance class says of its storage."""

    capabilities: Collection[str]

    def make_writer(self, place: str) -> Any:
        """Returns a storage writer for a directory."""

    def make_reader(self, place: str) -> Any:
        """Returns a storage reader for a directory."""

    def committed(self, place: str) -> bool:
        """Whether the directory holds a complete checkpoint."""


class StorageEngine(FileSystemEngine):
    """DCP on the storage that a class describes. Places are directories.

    Args:
        describes: the class. Each question is answered by a new instance, so instances need no state.

    Raises:
        UsageError: the class claims an unknown capability, or a replay line could not name the class.
    """

    def __init__(self, describes: type[Storage]) -> None:
        super().__init__(_address(describes), f"DCP on the storage of {describes.__name__}")
        self.capabilities = claimed(describes)
        self._describes = describes

    def make_writer(self, place: str) -> Any:
        return self._describes().make_writer(place)

    def make_reader(self, place: str) -> Any:
        return self._describes().make_reader(place)

    def committed(self, place: str, apart: int = 0) -> bool:
        storage = self._describes()
        if not apart:
            return storage.committed(place)
        return all(_has_part(storage, place, rank) for rank in range(apart))


def _has_part(storage: Storage, place: str, rank: int) -> bool:
    """Whether a rank that saved without collectives has committed its part: whether the metadata of the part can be read."""
    try:
        storage.make_reader(place).read_metadata(rank=rank)
    except Exception:  # noqa: BLE001  (each reader raises what it likes where there is no part)
        return False
    return True


def claimed(describes: type[Storage]) -> frozenset[Capability]:
    """Returns the capabilities that a class claims.

    Raises:
        UsageError: an unknown capability; the message lists valid ones.
    """
    valid = {capability.value: capability for capability in Capability}
    for name in describes.capabilities:
        if name not in valid:
            raise UsageError(
                f"{describes.__name__}.capabilities: {unknown('capability', name, valid, see='pydoc ckpt_harness.faults.protocol.Capability')}"
            )
    return frozenset(valid[name] for name in describes.capabilities)


def _address(describes: type[Storage]) -> str:
    """``path/to/test_file.py:TestClass.engine``, the name by which a replay line finds the engine."""
    if "<locals>" in describes.__qualname__:
        raise UsageError(f"{describes.__qualname__} is defined in a function, where no replay line finds the class; define it in a module")
    file = sys.modules[describes.__module__].__file__
    assert file is not None, "the module of a class has a file"
    path, here = Path(file), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}:{describes.__qualname__}.engine"
