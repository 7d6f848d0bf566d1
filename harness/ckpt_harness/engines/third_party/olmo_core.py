"""OLMo-core's own storage, ``RemoteFileSystemWriter`` and ``RemoteFileSystemReader``, on a local directory.

They are written from DCP's abstract classes alone: one file for each writer thread, renamed into place, the metadata too. They know no ``FileSystemBase``,
so no fault of a disk can strike them, and no parts of ranks that save without collectives.

Not modelled: remote URLs, to which whole files are uploaded; ``throttle_uploads`` and ``process_count``.
"""

from __future__ import annotations

from typing import Any

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability


class OlmoCoreEngine(FileSystemEngine):
    """DCP with OLMo-core's writer and reader."""

    def __init__(self) -> None:
        super().__init__("olmo-core", "OLMo-core's RemoteFileSystemWriter on a directory")
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER})

    def make_writer(self, place: str) -> Any:
        """A writer for the directory, with two threads wherever it runs: as many as the host has processors are its default."""
        from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemWriter

        return RemoteFileSystemWriter(place, thread_count=2)

    def make_reader(self, place: str) -> Any:
        """A reader for the directory, likewise."""
        from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemReader

        return RemoteFileSystemReader(place, thread_count=2)


OLMO_CORE = OlmoCoreEngine()
