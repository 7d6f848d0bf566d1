"""DCP on fsspec's ``file://``: the local file system through fsspec, which DCP uses for remote storage."""

from __future__ import annotations

from pathlib import Path

from ckpt_harness._torch import FsspecReader, FsspecWriter
from ckpt_harness.engines.filesystem import FileSystemEngine


class FsspecFilesEngine(FileSystemEngine):
    """DCP with fsspec's writer and reader on a directory."""

    def make_writer(self, place: str) -> FsspecWriter:
        """Makes a writer. Without ``sync_files``, like DCP's engine ``filesystem``."""
        return FsspecWriter(Path(place).as_uri(), sync_files=False)

    def make_reader(self, place: str) -> FsspecReader:
        """Makes a reader for the directory."""
        return FsspecReader(Path(place).as_uri())


FSSPEC_FILES = FsspecFilesEngine("fsspec-file", "DCP on fsspec's file:// (the local file system)")
