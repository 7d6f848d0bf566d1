"""ACC-001: An error in a model's load_state_dict is raised on its own rank only, and hangs the others in a barrier. accelerate 1.15.0 on torch 2.13.0.
Claim: every rank learns that a rank could not load. Each rank's line began as in SAW. Exits with 0 if they begin so again, with 1 if not."""

import os
import sys
import tempfile
import threading
import time
from datetime import timedelta
from traceback import extract_stack

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import load_fsdp_model, save_fsdp_model

RANKS, SAW = 2, ["hung in wait_for_everyone", "raised OSError"]


class Model(torch.nn.Linear):
    def load_state_dict(self, state_dict, *args, **kwargs):
        if dist.get_rank() == 1:
            raise OSError("out of memory")
        return super().load_state_dict(state_dict, *args, **kwargs)


def tell_where(rank, saw):
    calls = [call.name for frame in sys._current_frames().values() for call in extract_stack(frame)[::-1] if "/accelerate/" in call.filename]
    outermost = [name for name in calls if name == "wait_for_everyone"] or calls
    saw[rank] = saw[rank] or f"hung in {outermost[0] if outermost else '?'}"


def on_rank(rank, place, saw):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_WORLD_SIZE=str(RANKS), MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    threading.Timer(10, tell_where, (rank, saw)).start()
    accelerator, model = Accelerator(cpu=True), Model(4, 4)
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type="SHARDED_STATE_DICT")
    try:
        save_fsdp_model(plugin, accelerator, model, f"{place}/checkpoint")
        load_fsdp_model(plugin, accelerator, model, f"{place}/checkpoint")
        saw[rank] = "returned"
    except BaseException as error:  # noqa: BLE001
        saw[rank] = f"raised {type(error).__name__}: {error}"[:300]
    time.sleep(60)  # stays alive: gloo would report a closed connection to the others, and hide whether they hang


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.list([""] * RANKS), time.monotonic() + 40
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while not (same := all(map(str.startswith, saw, SAW))) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            process.kill()
        print(*(f"rank {rank}: {text or 'no answer'}" for rank, text in enumerate(saw)), sep="\n")
    sys.exit(print("wrong: a rank hangs; not every rank learns the cause") if same else "not as recorded")
