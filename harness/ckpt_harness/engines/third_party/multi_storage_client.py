"""NVIDIA's multi-storage-client: its DCP writer and reader, on plain paths, which it serves by its POSIX provider.

Not modelled: profiles of object stores, its caches and its prefetching.
"""

from __future__ import annotations

from typing import Any

from ckpt_harness.engines.filesystem import FileSystemEngine


class MultiStorageEngine(FileSystemEngine):
    """DCP with the client's writer and reader, which are DCP's own on a ``FileSystemBase`` of the client's."""

    def __init__(self) -> None:
        super().__init__("multi-storage-client", "multi-storage-client's writer on a directory", sync_files=False)

    def make_writer(self, place: str) -> Any:
        """A writer for the directory, which does not fsync, as with DCP's own."""
        from multistorageclient.contrib.torch import MultiStorageFileSystemWriter

        return MultiStorageFileSystemWriter(place, **self._writer_options)

    def make_reader(self, place: str) -> Any:
        """A reader for the directory."""
        from multistorageclient.contrib.torch import MultiStorageFileSystemReader

        return MultiStorageFileSystemReader(place)


MULTI_STORAGE_CLIENT = MultiStorageEngine()
