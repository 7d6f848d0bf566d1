"""DCP-035: In the safetensors format, what a failed save left loads with holes, and success is reported.

Two ranks save, and the write of rank 0 fails. One process loads. Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import logging
import sys
import tempfile
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor


class Failing(dcp.HuggingFaceStorageWriter):
    def write_data(self, plan, planner):
        if dist.get_rank() == 0:
            raise OSError("no space left on device")
        return super().write_data(plan, planner)


def save(rank, place):
    dist.init_process_group("gloo", init_method=f"file://{place}/rendezvous", rank=rank, world_size=2)
    weight = distribute_tensor(torch.ones(4), init_device_mesh("cpu", (2,)), [Shard(0)])
    try:
        dcp.save({"weight": weight}, storage_writer=Failing(f"{place}/checkpoint", save_distributed=True))
    except dcp.CheckpointException:
        print(f"rank {rank}: the save failed", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        torch.multiprocessing.spawn(save, (place,), nprocs=2)
        state = {"weight": torch.full((4,), -1.0)}
        dcp.load(state, storage_reader=dcp.HuggingFaceStorageReader(f"{place}/checkpoint"), no_dist=True)
    print(f"load: success; {state}")
    sys.exit(print("wrong: half of the tensor was never loaded") if state["weight"].tolist() == [-1.0, -1.0, 1.0, 1.0] else "not as recorded")
