"""DCP-021: a failure of the process executor's process is told on its rank alone, and the others wait. Plain torch; exits 0 if it shows."""

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

RANKS, PATIENCE = 2, 10


def start_and_die(*_):
    os._exit(1)  # as one does that finds no memory


def act(place):
    if dist.get_rank() == 1:
        executor._AsyncCheckpointProcess._checkpointing_subprocess = start_and_die
    kind = AsyncCheckpointerType.PROCESS
    dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", async_checkpointer_type=kind).result()


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
    shows = set(saw) == {1} and "process is dead" in saw[1]
    sys.exit(print("the finding shows") if shows else "the finding does not show")
