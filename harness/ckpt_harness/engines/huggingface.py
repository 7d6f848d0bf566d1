"""DCP in the safetensors format: ``HuggingFaceStorageWriter`` and its readers.

Such storage holds tensors and nothing else, keeps no ``.metadata``, and reads (and consolidates) past the writer's file system, so that no fault
below the storage could reach all of it. Not tried: ``fqn_to_index_mapping``, threads, and saving by rank 0 alone, which needs gathered tensors.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
import torch.distributed.checkpoint as dcp

from ckpt_harness.engines.dcp import UNTOLD
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.workloads.workload import Holding

if importlib.util.find_spec("safetensors") is None:
    raise ImportError("DCP's storage needs the package safetensors: pip install 'ckpt-harness[huggingface]'")

_INDEX = "model.safetensors.index.json"
_BLOCK = 2
"""Rows and columns that share a scale: as small as the tensors of workloads are."""


class HuggingFaceEngine(FileSystemEngine):
    """DCP in the safetensors format, each rank saving its own part.

    Without collectives all ranks would write to the same file, since it is numbered by the global plan.

    Args:
        name: for the command line.
        about: one line.
        consolidated: whether the coordinator puts the parts together when all ranks have written theirs. Without, nothing is stored that would tell
            whether a checkpoint is complete.
    """

    usual: Mapping[str, str] = MappingProxyType({"workload": "tensors"})
    cannot_hold = frozenset({Holding.OBJECTS, Holding.QUANTIZED})

    def __init__(self, name: str, about: str, *, consolidated: bool) -> None:
        super().__init__(name, about, save_distributed=True, enable_consolidation=consolidated)
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR})
        self.capabilities |= {Capability.COMMIT_MARKER} if consolidated else set()
        self._consolidated = consolidated
        if consolidated:
            self.protocol = UNTOLD
            self.cannot_hold = type(self).cannot_hold | {Holding.INTEGERS}  # it asks torch.finfo() of every dtype
            # What is put together is taken for tensors: where there are pickled objects, it runs out of memory.
            self.planners = {name: about for name, about in self.planners.items() if name != "no-flatten"}

    def checkpoint_id(self, place: str) -> str | None:
        """Nothing where parts are put together: told again where to write, the writer forgets that they go into a directory of their own.

        Then the parts lie beside the whole, and both are read: the save has succeeded, and what it has left does not load.
        """
        return None if self._consolidated else place

    def make_writer(self, place: str) -> dcp.HuggingFaceStorageWriter:
        """A writer for the directory; it does not fsync, as the other engines do not."""
        writer = dcp.HuggingFaceStorageWriter(place, **self._writer_options)
        writer.sync_files = False
        return writer

    def make_reader(self, place: str) -> dcp.HuggingFaceStorageReader:
        """A reader for the directory."""
        return dcp.HuggingFaceStorageReader(place)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether the index is there, which is written last; or any file of tensors, where there is no index."""
        return (Path(place) / _INDEX).exists() if self._consolidated else any(Path(place).glob("*.safetensors"))

    def flaws(self, place: str) -> Sequence[str]:
        """None: there is no metadata beside the files that could differ from them."""
        return ()


class QuantizedEngine(HuggingFaceEngine):
    """The same, consolidated, read by the reader that dequantizes: weights beside which scales are stored come back multiplied by them."""

    usual = MappingProxyType({"workload": "quantized"})
    cannot_hold = frozenset({Holding.OBJECTS})

    def make_reader(self, place: str) -> dcp.HuggingFaceStorageReader:
        """A reader for the directory."""
        return dcp.QuantizedHuggingFaceStorageReader(place, target_dtype=torch.float64, block_size=_BLOCK)


HUGGINGFACE = HuggingFaceEngine("huggingface", "DCP in the safetensors format, one file per rank", consolidated=False)

HUGGINGFACE_CONSOLIDATED = HuggingFaceEngine(
    "huggingface-consolidated", "DCP in the safetensors format, consolidated into one file by the coordinator", consolidated=True
)

HUGGINGFACE_QUANTIZED = QuantizedEngine(
    "huggingface-quantized", "DCP in the safetensors format, consolidated, with weights that are dequantized when they are read", consolidated=True
)
