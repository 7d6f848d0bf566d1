"""DCP on a file system: ``FileSystemWriter`` and ``FileSystemReader``."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp

from ckpt_harness.engines.dcp import DCP_CAPABILITIES, DcpCalls, flaws_of, markers
from ckpt_harness.faults.protocol import DCP, Capability, Protocol


class FileSystemEngine(DcpCalls):
    """DCP with its own file system storage.

    Args:
        name: for the command line.
        about: one line.
        usual: see :class:`ckpt_harness.engines.base.Engine`.
        lacks: what it does not claim, called as it usually is.
        writer_options: passed to ``FileSystemWriter``.
    """

    def __init__(
        self, name: str, about: str, *, usual: Mapping[str, str] | None = None, lacks: frozenset[Capability] = frozenset(), **writer_options: Any
    ) -> None:
        self.name = name
        self.about = about
        self.protocol: Protocol = DCP
        self.capabilities = DCP_CAPABILITIES - lacks
        self.usual = {**type(self).usual, **(usual or {})}
        self._writer_options = writer_options

    def place(self, root: Path, name: str) -> str:
        """A directory below ``root``."""
        return str(root / name)

    def make_writer(self, place: str) -> dcp.FileSystemWriter:
        """A writer for the directory."""
        return dcp.FileSystemWriter(place, **self._writer_options)

    def make_reader(self, place: str) -> dcp.FileSystemReader:
        """A reader for the directory."""
        return dcp.FileSystemReader(place)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether ``.metadata`` is there, or that of each rank."""
        return all((Path(place) / name).exists() for name in markers(apart))

    def flaws(self, place: str) -> Sequence[str]:
        """Chunks and objects that the metadata promises and no file holds."""
        return flaws_of(place)

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Relative name -> SHA-256 of each file."""
        root = Path(place)
        files = sorted(path for path in root.rglob("*") if path.is_file()) if root.exists() else []
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def discard(self, place: str) -> None:
        """Removes the directory."""
        shutil.rmtree(place, ignore_errors=True)


FILESYSTEM = FileSystemEngine("filesystem", "DCP on a file system, one file per rank, not fsynced", sync_files=False)
"""Fsync is off: the simulated world's crashes are those of ranks, which fsync does not matter to, and it costs most of a small save's time."""

FILESYSTEM_SYNCED = FileSystemEngine("filesystem-synced", "DCP on a file system, one file per rank, fsynced as DCP does by default")

FILESYSTEM_ITEMS = FileSystemEngine(
    "filesystem-items", "DCP on a file system, one file per tensor and object, not fsynced", sync_files=False, single_file_per_rank=False
)

FILESYSTEM_THREADS = FileSystemEngine(
    "filesystem-threads", "DCP on a file system, each rank writing on four threads", sync_files=False, thread_count=4
)

FILESYSTEM_NO_COLLECTIVES = FileSystemEngine(
    "filesystem-no-collectives",
    "DCP on a file system, each rank committing its own part, not fsynced",
    usual={"way": "no_collectives"},
    lacks=frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR}),
    sync_files=False,
)

ASYNC_THREAD = FileSystemEngine(
    "async-thread",
    "DCP on a file system, saving in the background by a thread of the rank, not fsynced",
    usual={"operation": "async_save", "executor": "thread"},
    lacks=frozenset({Capability.ANY_COORDINATOR}),
    sync_files=False,
)

ASYNC_PROCESS = FileSystemEngine(
    "async-process",
    "DCP on a file system, saving in the background by a process of the rank's, not fsynced",
    usual={"operation": "async_save", "executor": "process", "world": "processes"},
    lacks=frozenset({Capability.ANY_COORDINATOR}),
    sync_files=False,
)
