"""A storage that keeps one checkpoint: once its own is committed, a save removes older ones beside it. Bugs are planted in it (``bugs_retained.py``)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint import FileSystemWriter

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability


class KeepingWriter(FileSystemWriter):
    """Removes older checkpoints when its own is committed."""

    def prepare_global_plan(self, plans):
        return FileSystemWriter.prepare_global_plan(self, plans)

    def finish(self, metadata, results):
        FileSystemWriter.finish(self, metadata, results)
        remove_others(Path(self.path))


def remove_others(place: Path) -> None:
    """Removes every checkpoint beside ``place`` that is committed. A save that is still under way is no older checkpoint."""
    for other in place.parent.iterdir():
        if other != place and (other / ".metadata").exists():
            shutil.rmtree(other)


class KeepingEngine(FileSystemEngine):
    """DCP with ``KeepingWriter``."""

    def make_writer(self, place: str) -> Any:
        return KeepingWriter(place, **self._writer_options)


KEEPING = KeepingEngine("keeping", "keeps one checkpoint, and says so", sync_files=False)
KEEPING.capabilities |= {Capability.RETENTION}
SILENT = KeepingEngine("silent", "keeps one checkpoint, and does not say so", sync_files=False)
