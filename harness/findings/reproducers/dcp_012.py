"""DCP-012: without collectives, a failed save leaves the others in a barrier. Plain torch; exits 0 if it shows."""

import contextlib
import multiprocessing
import queue
import sys
import tempfile
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.multiprocessing import start_processes

RANKS, PATIENCE = 3, 2


class Writer(dcp.FileSystemWriter):
    def write_data(self, plan, planner):
        if dist.get_rank() == 1:
            raise OSError(28, "no space left on device of rank 1")
        return super().write_data(plan, planner)


def act(place):
    dcp.save({"weight": torch.ones(4)}, storage_writer=Writer(f"{place}/checkpoint"), use_collectives=False)


def on_rank(rank, place, results):
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
        ranks = start_processes(on_rank, (place, results), RANKS, join=False, daemon=True, start_method="fork").processes
        with contextlib.suppress(queue.Empty):
            while len(saw) < RANKS:
                saw.update([results.get(timeout=PATIENCE if saw else 30)])
        for process in ranks:
            process.kill()
    for rank in range(RANKS):
        print(f"rank {rank}: {saw.get(rank, f'still waiting after {PATIENCE} s')}")
    shows = set(saw) == {1} and "no space left" in saw[1]
    sys.exit(print("the finding shows") if shows else "the finding does not show")
