"""OLMo-core's own storage, ``RemoteFileSystemWriter`` and ``RemoteFileSystemReader``, in a local directory.

They implement DCP's abstract classes directly: one file for each writer thread; all files, and the metadata, are renamed into place. They use no
``FileSystemBase``, so no faults at ``fs.`` sites are possible, and they do not support saves without collectives.

Not modelled: uploads to remote URLs; ``throttle_uploads`` and ``process_count``.
"""

from __future__ import annotations

from typing import Any

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability


class OlmoCoreEngine(FileSystemEngine):
    """DCP with OLMo-core's writer and reader."""

    def __init__(self) -> None:
        super().__init__("olmo-core", "OLMo-core: RemoteFileSystemWriter, in a directory")
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER})

    def make_writer(self, place: str) -> Any:
        """Makes a writer with two threads, so that results do not depend on the host: by default, it has as many as there are processors."""
        from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemWriter

        return RemoteFileSystemWriter(place, thread_count=2)

    def make_reader(self, place: str) -> Any:
        """Makes a reader with two threads."""
        from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemReader

        return RemoteFileSystemReader(place, thread_count=2)


OLMO_CORE = OlmoCoreEngine()
