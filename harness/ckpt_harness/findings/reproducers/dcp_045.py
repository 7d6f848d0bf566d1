"""DCP-045: With plan caching, a save with another coordinator than before fails, or loses what it saves and reports success.
Claim: a save that another rank coordinates than the save before succeeds, and its checkpoint holds what was saved.
With torch 2.13.0 that was not so. Exits with 0 if it is not so again, with 1 if it is. Plain torch; written by hand for: ckpt-harness job 'save a coordinator=1 planner=plan-caching; save a planner=plan-caching' --ranks 2 --workload replicated"""

import sys
import tempfile
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS = 2
STORIES = {  # name -> whether the planner flattens the state; then coordinator and key of each save
    "the same state": (True, [(1, "weight"), (0, "weight")]),
    "the same state, not flattened": (False, [(1, "weight"), (0, "weight")]),
    "a state with another key in between": (True, [(0, "weight"), (1, "bias"), (0, "bias")]),
}

def raised(error):
    return f"raised {type(error).__name__}: { {rank: failed for rank, (failed, _) in getattr(error, 'failures', {}).items()} or error}"[:200]

def state(key, value, ranks):
    return {f"{key} of rank {rank}": torch.full((4,), float(value)) for rank in ranks}

def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    for story, (flat, saves) in enumerate(STORIES.values()):
        planner = type(f"Planner{story}", (dcp.DefaultSavePlanner,), {})  # plans are cached by the name of the class
        for number, (coordinator, key) in enumerate(saves, 1):
            writer, made = dcp.FileSystemWriter(f"{place}/{story}/{number}"), planner(flatten_state_dict=flat, enable_plan_caching=True)
            try:
                dcp.save_state_dict(state(key, number, [rank]), writer, coordinator_rank=coordinator, planner=made)
                saw[story, number, rank] = "returned"
            except BaseException as error:  # noqa: BLE001  (of whatever type)
                saw[story, number, rank] = raised(error)
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang

def load(story, place):
    flat, saves = list(STORIES.values())[story]
    found = state(saves[-1][1], 0, range(RANKS))
    try:
        dcp.load(found, checkpoint_id=f"{place}/{story}/{len(saves)}", planner=dcp.DefaultLoadPlanner(flatten_state_dict=flat))
    except BaseException as error:  # noqa: BLE001  (of whatever type)
        return raised(error)
    return "holds what was saved" if all((value == len(saves)).all() for value in found.values()) else f"holds {found}"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.dict(), time.monotonic() + 30
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while len(saw) < RANKS * sum(len(saves) for _, saves in STORIES.values()) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            process.kill()
        wrong = []
        for story, name in enumerate(STORIES):
            ended = {f"save {number}, rank {rank}": text for (its, number, rank), text in sorted(saw.items()) if its == story}
            loaded = load(story, place)
            print(f"{name}:", *(f"{what}: {text}" for what, text in (ended | {"the last checkpoint": loaded}).items()), sep="\n    ")
            wrong += [name] * (loaded != "holds what was saved" and not any("hang" in text for text in ended.values()))
    sys.exit(print("wrong: a save with another coordinator fails, or its checkpoint does not hold what was saved") if len(wrong) == len(STORIES) else "not as recorded")
