"""DCP on a file system, every stream compressed by DCP's own extension."""

from __future__ import annotations

from ckpt_harness._torch import zstandard
from ckpt_harness.engines.filesystem import FileSystemEngine

FILESYSTEM_ZSTD = FileSystemEngine(
    "filesystem-zstd", "DCP on a file system, each tensor and object compressed, not fsynced", sync_files=False, _extensions=[zstandard()]
)
"""The reader needs to be told nothing: the metadata names the extension."""
