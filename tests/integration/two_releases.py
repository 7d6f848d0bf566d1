"""An engine whose checkpoints depend on the interpreter: on `TRAIT=newer` it saves in other ways, which an interpreter without it does not always survive."""

from __future__ import annotations

import os
from pathlib import Path

import torch.distributed as dist

from ckpt_harness.engines.filesystem import FileSystemEngine

NEWER = os.environ.get("TRAIT") == "newer"


class TwoReleases(FileSystemEngine):
    """DCP's own storage. What goes wrong is chosen by the workload, whose name is the end of the place."""

    def save(self, state, writer, planner, place, call):
        super().save(state, writer, planner, place, call)
        if NEWER and dist.get_rank() == 0:
            Path(place, "newer").touch()
            if place.endswith("replicated"):
                _flip_a_bit(Path(place), state["replicated"].numpy().tobytes())

    def load(self, state, reader, planner, place, call):
        too_new = Path(place, "newer").exists() and not NEWER
        if too_new:
            self._before_a_load(place)
        super().load(state, reader, planner, place, call)
        if too_new and place.endswith("objects") and dist.get_rank() == 0:
            raise ValueError("format 2 is too new for rank 0")

    def _before_a_load(self, place):
        if place.endswith("divergent"):
            raise ValueError(f"format 2 of {place} is too new")
        if place.endswith("sharded"):
            os._exit(7)
        if place.endswith("stateful") and dist.get_world_size() > 1 and dist.get_rank() == 0:
            dist.barrier()


def _flip_a_bit(folder: Path, written: bytes) -> None:
    (file,) = (file for file in folder.glob("*.distcp") if written in file.read_bytes())
    content = bytearray(file.read_bytes())
    content[content.index(written)] ^= 1
    file.write_bytes(content)


ENGINE = TwoReleases("two-releases", "for a test", sync_files=False)
