"""DCP-013: an error while loading what was saved without collectives leaves the others in a barrier. Plain torch; exits 0 if it shows."""

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


class Reader(dcp.FileSystemReader):
    def read_data(self, plan, planner):
        if dist.get_rank() == 1:
            raise OSError(5, "input/output error on rank 1")
        return super().read_data(plan, planner)


def act(place):
    dcp.save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", use_collectives=False)
    dcp.load({"weight": torch.zeros(4)}, storage_reader=Reader(f"{place}/checkpoint"))


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
    shows = set(saw) == {1} and saw[1].startswith("OSError")
    sys.exit(print("the finding shows") if shows else "the finding does not show")
