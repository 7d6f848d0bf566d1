"""DCP-020: two async saves under way on one group take each other's messages. Plain torch; exits 0 if it shows."""

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

RANKS, PATIENCE = 2, 3


class Writer(dcp.FileSystemWriter):
    def reset(self, checkpoint_id=None):
        if dist.get_rank() == 1 and str(self.path).endswith("first"):
            time.sleep(1)  # a storage that is slow to connect, so that the second save is ahead of the first on this rank
        super().reset(checkpoint_id)


def act(place):
    saves = []
    for number, name in enumerate(["first", "second"], 1):
        state = {f"of {name}, rank {dist.get_rank()}": torch.full((4,), float(number))}
        saves.append(dcp.async_save(state, storage_writer=Writer(f"{place}/{name}", sync_files=False)))
    assert all(save.result() for save in saves)
    keys = dcp.FileSystemReader(f"{place}/first").read_metadata().state_dict_metadata
    return f"success, and the first checkpoint holds: {', '.join(sorted(keys))}"


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
    shows = any("of second" in text for text in saw.values()) or len(saw) < RANKS or any("Error" in text for text in saw.values())
    sys.exit(print("the finding shows") if shows else "the finding does not show")
