"""Storages on which a checkpoint replaces another: one that falls back to what was replaced, and one that refuses to replace anything."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import uuid
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import _StoragePrefix

from ckpt_harness.engines.filesystem import FileSystemEngine

_OLD = ".metadata.old"


class KeepingWriter(dcp.FileSystemWriter):
    """Gives each save files of new names, and keeps the metadata of the save before."""

    def prepare_global_plan(self, plans):
        save = uuid.uuid4().hex
        return [dataclasses.replace(plan, storage_data=_StoragePrefix(f"{save}_{rank}_")) for rank, plan in enumerate(plans)]

    def finish(self, metadata, results):
        marker = Path(self.path) / ".metadata"
        if marker.exists():
            shutil.copy(marker, Path(self.path) / _OLD)
        super().finish(metadata, results)


class FallingBackReader(dcp.FileSystemReader):
    """Reads the metadata of the save before if it cannot read the metadata."""

    def read_metadata(self, *args, **kwargs):
        try:
            return super().read_metadata(*args, **kwargs)
        except OSError:
            return pickle.loads((Path(self.path) / _OLD).read_bytes())


class FallingBackEngine(FileSystemEngine):
    """DCP with these two."""

    def make_writer(self, place: str) -> Any:
        return KeepingWriter(place, sync_files=False)

    def make_reader(self, place: str) -> Any:
        return FallingBackReader(place)


FALLING_BACK = FallingBackEngine("falling-back", "a load that cannot read the metadata reads that of the save before")
REFUSING = FileSystemEngine("refusing", "DCP with overwrite=False", sync_files=False, overwrite=False)
