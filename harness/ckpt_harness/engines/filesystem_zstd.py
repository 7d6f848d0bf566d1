"""DCP on a file system, with every stream compressed by DCP's zstd extension."""

from __future__ import annotations

from ckpt_harness._torch import zstandard
from ckpt_harness.engines.filesystem import FileSystemEngine

FILESYSTEM_ZSTD = FileSystemEngine(
    "filesystem-zstd", "DCP on a file system; each tensor and object compressed with zstd; no fsync", sync_files=False, _extensions=[zstandard()]
)
"""The reader needs no option: the metadata names the extension."""
