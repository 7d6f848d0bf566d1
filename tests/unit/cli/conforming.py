"""A conformance class, which names an engine."""

from __future__ import annotations

import torch.distributed.checkpoint as dcp

from ckpt_harness.conformance.storage import StorageConformance


class Conforming(StorageConformance):
    """DCP's own file system."""

    def make_writer(self, place: str) -> dcp.FileSystemWriter:
        return dcp.FileSystemWriter(place)

    def make_reader(self, place: str) -> dcp.FileSystemReader:
        return dcp.FileSystemReader(place)
