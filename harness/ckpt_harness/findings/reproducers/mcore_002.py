"""MCORE-002: An error in the commit is raised on the coordinator only, and the others wait for the coordinator.

megatron-core 0.16.1 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import logging
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core.dist_checkpointing.strategies.filesystem_async import FileSystemWriterAsync
from megatron.core.dist_checkpointing.strategies.state_dict_saver import save_state_dict_async_finalize, save_state_dict_async_plan

TIMEOUT = 5


def save(state, place):
    writer = FileSystemWriterAsync(place)
    planned = save_state_dict_async_plan(state, writer)[0]
    write, _, arguments = writer.get_save_function_and_args()  # the second function would copy from a GPU
    write(*arguments)
    save_state_dict_async_finalize(*planned)


def on_rank(rank, place):
    logging.disable(logging.CRITICAL)
    torch.cuda.current_device = lambda: "cpu"  # the device of the last collective
    dist.init_process_group("gloo", f"file://{place}/rendezvous", timedelta(seconds=TIMEOUT), rank=rank, world_size=2)
    try:
        save({f"of {rank}": torch.ones(2)}, f"{place}/checkpoint")
        ending = "returned"
    except (OSError, RuntimeError) as error:
        ending = "timed out" if "Timed out" in str(error) else type(error).__name__
    Path(place, f"rank {rank}").write_text(ending)
    print(f"rank {rank}: {ending}", flush=True)
    time.sleep(4 * TIMEOUT if rank == 0 else 0)  # if this rank ended, the other rank would notice


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        Path(place, "checkpoint", ".metadata").mkdir(parents=True)  # a file cannot replace a directory
        torch.multiprocessing.spawn(on_rank, (place,), nprocs=2)
        endings = [Path(place, f"rank {rank}").read_text() for rank in range(2)]
    shows = endings == ["IsADirectoryError", "timed out"]
    sys.exit(print("wrong: rank 1 learns nothing, and waits until the group's timeout") if shows else "not as recorded")
