"""NVRX-002: An error in the commit is raised on the coordinator only, while the others report success.

nvidia-resiliency-ext 0.4.1 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import logging
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from nvidia_resiliency_ext.checkpointing.async_ckpt.filesystem_async import FileSystemWriterAsync
from nvidia_resiliency_ext.checkpointing.async_ckpt.state_dict_saver import save_state_dict_async_finalize, save_state_dict_async_plan


def save(state, place):
    writer = FileSystemWriterAsync(place)
    planned = save_state_dict_async_plan(state, writer)
    write, _, arguments = writer.get_save_function_and_args()  # the second function would copy from a GPU
    write(*arguments)
    save_state_dict_async_finalize(*planned)


def on_rank(rank, place):
    logging.disable(logging.CRITICAL)
    dist.init_process_group("gloo", init_method=f"file://{place}/rendezvous", rank=rank, world_size=2)
    try:
        save({f"of {rank}": torch.ones(2)}, f"{place}/checkpoint")
        ending = "returned"
    except (OSError, RuntimeError, TypeError) as error:
        ending = type(error).__name__
    Path(place, f"rank {rank}").write_text(ending)
    print(f"rank {rank}: {ending}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        Path(place, "checkpoint", ".metadata").mkdir(parents=True)  # a file cannot replace a directory
        torch.multiprocessing.spawn(on_rank, (place,), nprocs=2)
        endings = [Path(place, f"rank {rank}").read_text() for rank in range(2)]
    shows = endings == ["IsADirectoryError", "returned"]
    sys.exit(print("wrong: rank 1 reports success for a save that was never committed") if shows else "not as recorded")
