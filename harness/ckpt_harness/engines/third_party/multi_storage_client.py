"""NVIDIA's multi-storage-client: its DCP writer and reader on plain paths, which use its POSIX provider.

Not modelled: profiles for object stores, caches, and prefetching.
"""

from __future__ import annotations

from typing import Any

from ckpt_harness.engines.filesystem import FileSystemEngine


class MultiStorageEngine(FileSystemEngine):
    """DCP with the client's writer and reader. They derive from DCP's and use the client's own ``FileSystemBase``."""

    def __init__(self) -> None:
        super().__init__("multi-storage-client", "NVIDIA's multi-storage-client, in a directory; no fsync", sync_files=False)

    def make_writer(self, place: str) -> Any:
        """Makes a writer for the directory; without fsync, like DCP's engine ``filesystem``."""
        from multistorageclient.contrib.torch import MultiStorageFileSystemWriter

        return MultiStorageFileSystemWriter(place, **self._writer_options)

    def make_reader(self, place: str) -> Any:
        """Makes a reader for the directory."""
        from multistorageclient.contrib.torch import MultiStorageFileSystemReader

        return MultiStorageFileSystemReader(place)


MULTI_STORAGE_CLIENT = MultiStorageEngine()
