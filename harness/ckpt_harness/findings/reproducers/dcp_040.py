"""DCP-040: An async save that stages by the writer, or in a process, forgets which parts a CheckpointableTensor holds.

Two processes save a tensor of eight elements, four each, with async_save and a storage writer that is its own stager. Plain torch, 2.14 or newer.
Exits with 0 if the finding shows, with 1 if not.
"""

import sys
import tempfile

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp


def half(rank: int, first: float) -> torch.Tensor:
    """A rank's half of the tensor."""
    tensor = torch.arange(first, first + 4)
    tensor.global_shape, tensor.global_offsets, tensor.local_offsets, tensor.local_sizes = (8,), ((4 * rank,),), ((0,),), ((4,),)
    return tensor


def save(rank: int, root: str) -> None:
    """Saves one half."""
    dist.init_process_group("gloo", init_method=f"file://{root}/store", rank=rank, world_size=2)
    state = {"weight": half(rank, 4.0 * rank)}
    dcp.async_save(state, storage_writer=dcp.FileSystemWriter(f"{root}/checkpoint")).result()
    print(f"rank {rank}: the save reported success", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    if not hasattr(dcp, "CheckpointableTensor"):
        sys.exit(f"torch {torch.__version__} has no CheckpointableTensor")
    with tempfile.TemporaryDirectory() as root:
        mp.spawn(save, (root,), 2)
        stored = dcp.FileSystemReader(f"{root}/checkpoint").read_metadata().state_dict_metadata["weight"]
    print(f"stored: a tensor of shape {tuple(stored.size)}, of the 8 elements that were saved")
    if tuple(stored.size) != (4,):
        sys.exit("not as recorded")
    print("wrong: one rank's half was stored as the whole tensor; the other half is lost, and the save reported success")
