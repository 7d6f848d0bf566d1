"""Neighbours of findings about third-party packages, for which DCP's own engine stands in."""

from __future__ import annotations

from neighbours import CAUGHT, EARLY, FINISHED, MIXED, NEXT_RANK, Neighbour
from planting import LOADER, READER, SAVE, STORAGE, WRITE, Edit

_UNREPORTED = Edit(WRITE, CAUGHT, "except ZeroDivisionError:\n    raise")
_FINISH_IGNORED = Edit(SAVE, FINISHED, f"try:\n    {FINISHED}\nexcept BaseException:\n    pass")
_LEFT_WAITING = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"

PACKAGES = (
    Neighbour(
        "ACC-001",
        "after a load, the ranks wait for each other in a barrier of DCP",
        (
            Edit(
                f"{LOADER}:load",
                "elem.load_state_dict(stateful_sd[key])",
                "elem.load_state_dict(stateful_sd[key])\ndist.barrier(process_group)",
            ),
        ),
        "replay state.load_state_dict@0=raise --op load --ranks 2 --workload stateful",
        "bounded",
        "accelerate",
    ),
    Neighbour(
        "MCORE-001",
        "an error of write_data is raised on its own rank only",
        (_UNREPORTED,),
        "replay writer.write_data@1=raise --ranks 2",
        "bounded",
        "megatron-core",
    ),
    Neighbour(
        "MCORE-002",
        "an error of the commit is ignored",
        (_FINISH_IGNORED,),
        "replay writer.finish@0=raise --ranks 2",
        "attribution",
        "megatron-core",
    ),
    Neighbour(
        "NVRX-001",
        "an error of write_data is raised on its own rank only",
        (_UNREPORTED,),
        "replay writer.write_data@1=raise --ranks 2",
        "bounded",
        "nvidia-resiliency-ext",
    ),
    Neighbour(
        "NVRX-002",
        "an error of the commit is ignored",
        (_FINISH_IGNORED,),
        "replay writer.finish@0=raise --ranks 2",
        "attribution",
        "nvidia-resiliency-ext",
    ),
    Neighbour(
        "OLMO-001",
        "an error of resolve_data is blamed on the next rank",
        (NEXT_RANK,),
        "replay save_planner.resolve_data@0=raise --ranks 2",
        "attribution",
        "olmo-core",
    ),
    Neighbour(
        "OLMO-002",
        "a failed load leaves a waiting thread of another kind",
        (
            Edit(
                f"{READER}.read_data",
                "planner.commit_tensor(req, target_tensor)",
                f"{_LEFT_WAITING}\nplanner.commit_tensor(req, target_tensor)",
            ),
        ),
        "replay load_planner.commit_tensor@0=raise --op load --ranks 2",
        "hygiene",
        "olmo-core",
    ),
    Neighbour("OLMO-003", "a rank writes before the ranks have agreed on the plan", (EARLY,), MIXED, "purity", "olmo-core"),
    Neighbour(
        "SMC-001",
        "a ValueError while an item is loaded leaves the item out, and the load reports success",
        (
            Edit(
                f"{READER}.read_data",
                "planner.load_bytes(req, read_bytes)",
                "try:\n    planner.load_bytes(req, read_bytes)\nexcept ValueError:\n    pass",
            ),
        ),
        "replay 'load_planner.load_bytes@0=raise(ValueError)' --op load --ranks 2",
        "attribution",
        "sagemaker",
    ),
    Neighbour(
        "SMC-002",
        "any error while items are written leaves the other ranks waiting",
        (_UNREPORTED,),
        "replay save_planner.resolve_data@1=raise --ranks 2",
        "bounded",
        "sagemaker",
    ),
    Neighbour(
        "SMC-003",
        "an error of a planner is blamed on the next rank",
        (NEXT_RANK,),
        "replay save_planner.resolve_data@1=raise --ranks 2",
        "attribution",
        "sagemaker",
    ),
    Neighbour("SMC-004", "a rank writes before the ranks have agreed on the plan", (EARLY,), MIXED, "purity", "sagemaker"),
    Neighbour(
        "S3C-001",
        "after an error of resolve_data a thread stays behind",
        (
            Edit(
                f"{STORAGE}:_write_files_from_queue",
                "data = planner.resolve_data(write_item)",
                f"{_LEFT_WAITING}\ndata = planner.resolve_data(write_item)",
            ),
        ),
        "replay save_planner.resolve_data@0=raise --op save --ranks 2 --workload objects",
        "hygiene",
        "s3torchconnector",
    ),
)
