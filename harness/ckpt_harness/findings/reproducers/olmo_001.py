"""OLMO-001: whatever resolve_data raises arrives as an OLMoCheckpointError that quotes a traceback. ai2-olmo-core 3.0.0 on torch 2.13.0; exits 0 if it shows."""

import errno
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemWriter


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, item):
        raise OSError(errno.EIO, "the device is gone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        try:
            dcp.save({"weight": torch.ones(4)}, storage_writer=RemoteFileSystemWriter(place), planner=Planner(), no_dist=True)
        except dcp.api.CheckpointException as error:
            told = error.failures[0][0]
            print(f"{type(told).__name__}, errno {getattr(told, 'errno', None)}: {str(told)[:200]!r}")
    sys.exit(print("wrong: the cause is lost but for its text") if type(told).__name__ == "OLMoCheckpointError" else "not as recorded")
