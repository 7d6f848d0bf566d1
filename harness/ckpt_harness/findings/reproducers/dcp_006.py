"""DCP-006: An error in a Stateful's state_dict is raised on its own rank only, and hangs the others.

Claim: every rank raises a CheckpointException that names rank 1 and the original error.
With torch 2.13.0 each rank's line began as in SAW, and there was no commit marker. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay 'state.state_dict@1=raise(MemoryError)' --op save --ranks 2 --workload stateful"""

import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from traceback import extract_stack
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["hung in gather_object", "raised MemoryError: injected at state.state_dict on rank 1"]


class Model(SimpleNamespace):
    def state_dict(self):
        if dist.get_rank() == 1:
            raise MemoryError("injected at state.state_dict on rank 1")
        return dict(vars(self))

    def load_state_dict(self, state_dict):
        vars(self).update(state_dict)


def tell_where(rank, saw):
    calls = [call.name for frame in sys._current_frames().values() for call in extract_stack(frame)[::-1] if "/checkpoint/" in call.filename]
    saw[rank] = saw[rank] or f"hung in {' < '.join(calls[:3])}"


def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    threading.Timer(3, tell_where, (rank, saw)).start()
    try:
        dcp.save({"model": Model(weight=torch.ones(4), step=1)}, checkpoint_id=f"{place}/checkpoint")
        saw[rank] = "returned"
    except BaseException as error:  # noqa: BLE001
        saw[rank] = f"raised {type(error).__name__}: {error}"[:300]
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.list([""] * RANKS), time.monotonic() + 30
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while not (same := all(map(str.startswith, saw, SAW))) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            process.kill()
        stored = sorted(path.name for path in Path(place, "checkpoint").glob("*"))
        print(*(f"rank {rank}: {text or 'no answer'}" for rank, text in enumerate(saw)), f"on storage: {stored}", sep="\n")
    sys.exit(print("wrong: a rank hangs; ranks disagree; not all learn the cause") if same and ".metadata" not in stored else "not as recorded")
