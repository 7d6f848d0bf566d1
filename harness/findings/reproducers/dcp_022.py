"""DCP-022: once the process of the process executor has died, no async save succeeds any more. Plain torch; exits 0 if it shows."""

import contextlib
import multiprocessing
import os
import queue
import sys
import tempfile
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import _async_process_executor as executor
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType
from torch.multiprocessing import start_processes

RANKS, PATIENCE = 2, 15


def save(place):
    kind = AsyncCheckpointerType.PROCESS
    return repr(dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=place, async_checkpointer_type=kind).exception())[:70]


def act(place):
    first = save(f"{place}/1")
    if dist.get_rank() == 1:  # as the kernel does where memory runs out
        executor._CHECKPOINT_PROCESS._save_process.kill()
        executor._CHECKPOINT_PROCESS._save_process.join()
    return " | ".join([first, save(f"{place}/2"), save(f"{place}/3")])


def on_rank(rank, place, results):
    os.setpgrp()
    store = dist.FileStore(f"{place}/store", RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS, timeout=timedelta(seconds=30))
    dist.barrier()
    try:
        saw = act(place) or "success"
    except BaseException as error:  # noqa: BLE001
        saw = f"{type(error).__name__}: {error}"
    results.put((rank, saw))
    time.sleep(30)  # stays alive: gloo would tell the others of a closed connection, and hide that they hang


if __name__ == "__main__":
    results, saw = multiprocessing.get_context("fork").Queue(), {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        ranks = start_processes(on_rank, (place, results), RANKS, join=False, start_method="fork").processes
        with contextlib.suppress(queue.Empty):
            while len(saw) < RANKS:
                saw.update([results.get(timeout=PATIENCE if saw else 30)])
        for process in ranks:
            os.killpg(process.pid, 9)  # with the process that it started
    for rank in range(RANKS):
        print(f"rank {rank}: {saw.get(rank, f'still waiting after {PATIENCE} s')}")
    told = saw.get(1, "").split(" | ")
    sys.exit(print("the finding shows") if len(told) == 3 and told[0] == "None" and "None" not in told[1:] else "the finding does not show")
