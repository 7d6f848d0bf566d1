"""DCP in the safetensors format: ``HuggingFaceStorageWriter`` and its readers.

This storage holds only tensors and has no ``.metadata``. It reads and consolidates without the writer's file system object, so faults at ``fs.`` sites
would not reach all of its accesses. Not covered: ``fqn_to_index_mapping``, threads, and saves by rank 0 only, which need gathered tensors.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
import torch.distributed.checkpoint as dcp

from ckpt_harness.engines.dcp import WITHOUT_ID
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.workloads.workload import Holding

if importlib.util.find_spec("safetensors") is None:
    raise ImportError("DCP's safetensors storage needs the package safetensors: pip install 'ckpt-harness[huggingface]'")

_INDEX = "model.safetensors.index.json"
_BLOCK = 2
"""Rows and columns of a block that shares a scale; small, like the tensors of workloads."""


class HuggingFaceEngine(FileSystemEngine):
    """DCP in the safetensors format; each rank saves its own part.

    Saves without collectives are not supported: all ranks would write to the same file, since the global plan numbers the files.

    Args:
        name: the name on the command line.
        about: a description of one line.
        consolidated: whether the coordinator merges the parts when all ranks have written them. Otherwise there is no commit marker.
    """

    usual: Mapping[str, str] = MappingProxyType({"workload": "tensors"})
    cannot_hold = frozenset({Holding.OBJECTS, Holding.QUANTIZED})

    def __init__(self, name: str, about: str, *, consolidated: bool) -> None:
        super().__init__(name, about, save_distributed=True, enable_consolidation=consolidated)
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR})
        self.capabilities |= {Capability.COMMIT_MARKER} if consolidated else set()
        self._consolidated = consolidated
        if consolidated:
            self.protocol = WITHOUT_ID
            self.cannot_hold = type(self).cannot_hold | {Holding.INTEGERS}  # consolidation calls torch.finfo() for every dtype
            # Consolidation treats everything as tensors: with pickled objects, it runs out of memory.
            self.planners = {name: about for name, about in self.planners.items() if name != "no-flatten"}

    def checkpoint_id(self, place: str) -> str | None:
        """Returns None if parts are consolidated: after a ``reset``, the writer forgets that parts belong into a directory of their own.

        The parts would then be next to the consolidated file, and the reader would read both: the save succeeds, and its checkpoint does not load.
        """
        return None if self._consolidated else place

    def make_writer(self, place: str) -> dcp.HuggingFaceStorageWriter:
        """Makes a writer for the directory; without fsync, like the other engines."""
        writer = dcp.HuggingFaceStorageWriter(place, **self._writer_options)
        writer.sync_files = False
        return writer

    def make_reader(self, place: str) -> dcp.HuggingFaceStorageReader:
        """Makes a reader for the directory."""
        return dcp.HuggingFaceStorageReader(place)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether the index exists, which is written last; without consolidation, whether any file of tensors exists."""
        return (Path(place) / _INDEX).exists() if self._consolidated else any(Path(place).glob("*.safetensors"))

    def flaws(self, place: str) -> Sequence[str]:
        """Returns nothing: there is no separate metadata that could contradict the files."""
        return ()


class QuantizedEngine(HuggingFaceEngine):
    """Consolidated, with the dequantizing reader: it multiplies weights by the scales that are stored beside them."""

    usual = MappingProxyType({"workload": "quantized"})
    cannot_hold = frozenset({Holding.OBJECTS})

    def make_reader(self, place: str) -> dcp.HuggingFaceStorageReader:
        """Makes a reader for the directory."""
        return dcp.QuantizedHuggingFaceStorageReader(place, target_dtype=torch.float64, block_size=_BLOCK)


HUGGINGFACE = HuggingFaceEngine("huggingface", "DCP in the safetensors format; one file per rank", consolidated=False)

HUGGINGFACE_CONSOLIDATED = HuggingFaceEngine(
    "huggingface-consolidated", "DCP in the safetensors format; the coordinator merges all files into one", consolidated=True
)

HUGGINGFACE_QUANTIZED = QuantizedEngine(
    "huggingface-quantized", "DCP in the safetensors format; files merged; quantized weights are dequantized when read", consolidated=True
)
