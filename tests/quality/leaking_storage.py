"""A storage that leaves a descriptor open at each commit, and one that closes what it opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint import FileSystemWriter

from ckpt_harness.engines.filesystem import FileSystemEngine


class LeakingWriter(FileSystemWriter):
    """Syncs its directory after a commit, and forgets to close it."""

    def finish(self, metadata, results):
        FileSystemWriter.finish(self, metadata, results)
        os.fsync(os.open(self.path, os.O_RDONLY))


class KeepingWriter(FileSystemWriter):
    """Keeps the commit marker open as long as it lives itself, and one file elsewhere for good."""

    log: Any = None

    def finish(self, metadata, results):
        FileSystemWriter.finish(self, metadata, results)
        self.marker = (Path(self.path) / ".metadata").open("rb")
        if KeepingWriter.log is None:
            KeepingWriter.log = os.open(__file__, os.O_RDONLY)


class LeakingEngine(FileSystemEngine):
    """DCP with ``LeakingWriter``."""

    def make_writer(self, place: str) -> Any:
        return LeakingWriter(place, **self._writer_options)


class KeepingEngine(FileSystemEngine):
    """DCP with ``KeepingWriter``."""

    def make_writer(self, place: str) -> Any:
        return KeepingWriter(place, **self._writer_options)


class ForgetfulWriter(FileSystemWriter):
    """Reads a file elsewhere at each commit, and leaves it open."""

    def finish(self, metadata, results):
        FileSystemWriter.finish(self, metadata, results)
        os.open(__file__, os.O_RDONLY)


class ForgetfulEngine(FileSystemEngine):
    """DCP with ``ForgetfulWriter``."""

    def make_writer(self, place: str) -> Any:
        return ForgetfulWriter(place, **self._writer_options)


class HastyWriter(FileSystemWriter):
    """Has a file elsewhere open while it writes, and closes it only if all goes well."""

    def write_data(self, plan, planner):
        guard = os.open(__file__, os.O_RDONLY)
        written = FileSystemWriter.write_data(self, plan, planner)
        os.close(guard)
        return written


class HastyEngine(FileSystemEngine):
    """DCP with ``HastyWriter``."""

    def make_writer(self, place: str) -> Any:
        return HastyWriter(place, **self._writer_options)


HASTY = HastyEngine("hasty", "leaves a file elsewhere open when a write fails", sync_files=False)
FORGETFUL = ForgetfulEngine("forgetful", "leaves a file elsewhere open at each commit", sync_files=False)
LEAKING = LeakingEngine("leaking", "leaves a descriptor open at each commit", sync_files=False)
TIDY = KeepingEngine("tidy", "keeps a file open as long as it is used", sync_files=False)
