"""DCP-043: A rank that goes on after an error completes the save that the others still make.
Claim: a save that failed on a rank before it began is reported as a success by no rank, and leaves no commit marker; what is committed holds one save.
With torch 2.13.0 that was not so. Exits with 0 if it is not so again, with 1 if it is.
Plain torch; written by hand for: ckpt-harness job 'save a; continue; save b; restart; load latest' --faults 'save[1]/writer.reset@1=raise' --ranks 2
and for: ckpt-harness job 'save a; continue; save a' --faults 'save[1]/writer.reset@1=raise' --ranks 2"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS = 2
PLACES = {"two saves to two places": ("a", "b"), "two saves to one place": ("a", "a")}

class Failing(dcp.FileSystemWriter):
    def reset(self, checkpoint_id=None):
        raise OSError("the directory cannot be reached")

def on_rank(rank, root, places, saw):
    dist.init_process_group("gloo", f"file://{root}/store", timedelta(seconds=60), RANKS, rank)
    for number, place in enumerate(places, 1):  # a trainer that logs the error of a save and goes on
        writer = Failing if (number, rank) == (1, 1) else dcp.FileSystemWriter
        try:
            dcp.save({f"of rank {rank}": torch.full((4,), float(number))}, checkpoint_id=f"{root}/{place}", storage_writer=writer(f"{root}/{place}"))
            saw[rank, number] = "returned"
        except BaseException as error:  # noqa: BLE001  (of whatever type)
            saw[rank, number] = f"raised {error!r}"[:300]
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang

def load(path):
    if not Path(path, ".metadata").exists():
        return "not committed"
    state = {f"of rank {rank}": torch.zeros(4) for rank in range(RANKS)}
    try:
        dcp.load(state, checkpoint_id=path)
    except dcp.api.CheckpointException as error:
        return f"does not load: {error.failures[0][0]!r}"
    return f"holds saves {sorted({int(value) for part in state.values() for value in part.tolist()})}"

def run(places):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, mp.Manager() as manager:
        saw, end = manager.dict(), time.monotonic() + 20
        ranks = mp.start_processes(on_rank, (root, places, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while len(saw) < 2 * RANKS - 1 and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2)  # for a rank that is still to report
        for process in ranks:
            process.kill()
        return dict(sorted(saw.items())), {place: load(f"{root}/{place}") for place in sorted(set(places))}

if __name__ == "__main__":
    wrong = []
    for story, places in PLACES.items():
        saw, held = run(places)
        texts = [f"rank {rank}, save {number}: {text}" for (rank, number), text in saw.items()] + [f"place {place}: {text}" for place, text in held.items()]
        print(f"{story}:", *texts, sep="\n    ")
        wrong += [story] * (saw.get((0, 1)) == "returned" and held["a"] not in ("not committed", "holds saves [2]"))
    sys.exit(print("wrong: a save that one rank never began was committed, and reported as a success") if len(wrong) == len(PLACES) else "not as recorded")
