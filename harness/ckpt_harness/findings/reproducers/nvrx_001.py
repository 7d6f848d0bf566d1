"""NVRX-001: An error between planning and commit is raised on its own rank only, and the others wait for that rank.

nvidia-resiliency-ext 0.4.1 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import logging
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from nvidia_resiliency_ext.checkpointing.async_ckpt.filesystem_async import FileSystemWriterAsync
from nvidia_resiliency_ext.checkpointing.async_ckpt.state_dict_saver import save_state_dict_async_finalize, save_state_dict_async_plan

TIMEOUT = 5


def save(state, place):
    writer = FileSystemWriterAsync(place)
    planned = save_state_dict_async_plan(state, writer)
    write, _, arguments = writer.get_save_function_and_args()  # the second function would copy from a GPU
    write(*arguments)
    save_state_dict_async_finalize(*planned)


def on_rank(rank, place):
    logging.disable(logging.CRITICAL)
    dist.init_process_group("gloo", f"file://{place}/rendezvous", timedelta(seconds=TIMEOUT), rank=rank, world_size=2)
    try:
        save({f"of {rank}": threading.Lock() if rank == 1 else torch.ones(2)}, f"{place}/checkpoint")  # a lock cannot be pickled
        ending = "returned"
    except (OSError, RuntimeError, TypeError) as error:
        ending = "timed out" if "Timed out" in str(error) else type(error).__name__
    Path(place, f"rank {rank}").write_text(ending)
    print(f"rank {rank}: {ending}", flush=True)
    time.sleep(4 * TIMEOUT if rank == 1 else 0)  # if this rank ended, the other rank would notice


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        torch.multiprocessing.spawn(on_rank, (place,), nprocs=2)
        endings = [Path(place, f"rank {rank}").read_text() for rank in range(2)]
    shows = endings == ["timed out", "TypeError"]
    sys.exit(print("wrong: rank 0 learns nothing, and waits until the group's timeout") if shows else "not as recorded")
