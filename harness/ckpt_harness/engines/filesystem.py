"""DCP on a file system: ``FileSystemWriter`` and ``FileSystemReader``."""

from __future__ import annotations

import hashlib
import os
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
        name: the name on the command line.
        about: a description of one line.
        usual: see :class:`ckpt_harness.engines.base.Engine`.
        lacks: capabilities of DCP that the engine does not claim.
        writer_options: options of ``FileSystemWriter``.

    Attributes:
        kin: name of the built-in engine whose known findings count for this engine too, since its storage derives from the storage of that engine;
            "" if none do; None to find out from the class of the writer (:mod:`ckpt_harness.engines.kin`).
    """

    capabilities: frozenset[Capability] = DCP_CAPABILITIES
    kin: str | None = None

    def __init__(
        self, name: str, about: str, *, usual: Mapping[str, str] | None = None, lacks: frozenset[Capability] = frozenset(), **writer_options: Any
    ) -> None:
        self.name = name
        self.about = about
        self.protocol: Protocol = DCP
        self.capabilities = type(self).capabilities - lacks
        self.usual = {**type(self).usual, **(usual or {})}
        self._writer_options = writer_options

    def place(self, root: Path, name: str) -> str:
        """Returns a directory below ``root``."""
        return str(root / name)

    def make_writer(self, place: str) -> dcp.FileSystemWriter:
        """Makes a writer for the directory."""
        return dcp.FileSystemWriter(place, **self._writer_options)

    def make_reader(self, place: str) -> dcp.FileSystemReader:
        """Makes a reader for the directory."""
        return dcp.FileSystemReader(place)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether ``.metadata`` exists, or for a save without collectives, that of each rank."""
        return all((Path(place) / name).exists() for name in markers(apart))

    def flaws(self, place: str) -> Sequence[str]:
        """Lists chunks and objects that the metadata names and no file contains."""
        return flaws_of(place)

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Returns the SHA-256 of each file, by relative name."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in _files_below(place).items()}

    def stored(self, place: str) -> Mapping[str, bytes] | None:
        """Returns each file, by relative name: DCP's reader reads nothing else. A derived class may have another reader, so for such a class None."""
        return _files_below(place) if type(self) is FileSystemEngine else None

    def discard(self, place: str) -> None:
        """Removes the directory."""
        shutil.rmtree(place, ignore_errors=True)


def _files_below(place: str) -> dict[str, bytes]:
    """Relative name -> content of each file below a directory, in the order of the names; empty where there is no directory."""
    files: dict[str, bytes] = {}
    top = os.path.join(place, "")  # noqa: PTH118  (with the separator)
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118  (every case looks several times, and a Path takes longer than the file)
            if os.path.isfile(path):  # noqa: PTH113
                with open(path, "rb") as file:  # noqa: PTH123
                    files[path[len(top) :]] = file.read()
    return dict(sorted(files.items(), key=lambda file: file[0].replace(os.sep, "\0")))  # by parts, as paths compare


FILESYSTEM = FileSystemEngine("filesystem", "DCP on a file system; one file per rank; no fsync", sync_files=False)
"""Without fsync: it makes no difference if ranks die and the system keeps running, and it takes most of the time of a small save."""

FILESYSTEM_SYNCED = FileSystemEngine("filesystem-synced", "DCP on a file system; one file per rank; fsync, as is DCP's default")

FILESYSTEM_ITEMS = FileSystemEngine(
    "filesystem-items", "DCP on a file system; one file per tensor and object; no fsync", sync_files=False, single_file_per_rank=False
)

FILESYSTEM_THREADS = FileSystemEngine(
    "filesystem-threads", "DCP on a file system; each rank writes with four threads; no fsync", sync_files=False, thread_count=4
)

FILESYSTEM_NO_COLLECTIVES = FileSystemEngine(
    "filesystem-no-collectives",
    "DCP on a file system, without collectives: each rank commits its own part; no fsync",
    usual={"way": "no_collectives"},
    lacks=frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR}),
    sync_files=False,
)

ASYNC_THREAD = FileSystemEngine(
    "async-thread",
    "DCP on a file system; async_save with a thread of the rank; no fsync",
    usual={"operation": "async_save", "executor": "thread"},
    lacks=frozenset({Capability.ANY_COORDINATOR}),
    sync_files=False,
)

ASYNC_PROCESS = FileSystemEngine(
    "async-process",
    "DCP on a file system; async_save with a process of the rank; no fsync",
    usual={"operation": "async_save", "executor": "process", "world": "processes"},
    lacks=frozenset({Capability.ANY_COORDINATOR}),
    sync_files=False,
)
