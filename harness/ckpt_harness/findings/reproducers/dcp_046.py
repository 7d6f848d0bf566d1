"""DCP-046: With plan caching, a save beside another save fails, or commits a checkpoint without what was saved and reports success.

Plain torch, one process. Exits with 0 if the finding shows, with 1 if not."""

import sys
import tempfile
import time

import torch
import torch.distributed.checkpoint as dcp

STORIES = {  # name -> keys of the save before, of the save in the background, and of the save beside it
    "the first saves of a process": ([], ["weight"], ["weight"]),
    "another save has a key more": (["weight"], ["weight"], ["weight", "bias"]),
    "another save has a key less": (["weight", "bias"], ["weight", "bias"], ["weight"]),
}


class Slow(dcp.FileSystemWriter):
    def prepare_global_plan(self, plans):
        time.sleep(2)  # the plan is made and cached, and handed out to no rank yet
        return super().prepare_global_plan(plans)


def ending(wait):
    try:
        wait()
    except dcp.api.CheckpointException as error:
        return f"raised {error.failures[0][0]!r}"[:150]
    return "success"


def loaded(keys, place):
    return ending(lambda: dcp.load({key: torch.zeros(4) for key in keys}, checkpoint_id=place))


def story(name, before, beneath, beside):
    planner = type(name.title().replace(" ", ""), (dcp.DefaultSavePlanner,), {})  # plans are cached by the name of the class
    with tempfile.TemporaryDirectory() as place:

        def saved(save, keys, value, writer):
            state = {key: torch.full((4,), value) for key in keys}
            return save(state, storage_writer=writer(f"{place}/{value}"), planner=planner(enable_plan_caching=True))

        if before:
            saved(dcp.save, before, 1.0, dcp.FileSystemWriter)
        upload = saved(dcp.async_save, beneath, 2.0, Slow)
        time.sleep(1)
        endings = [ending(lambda: saved(dcp.save, beside, 3.0, dcp.FileSystemWriter)), ending(upload.result)]
        loads = [loaded(beside, f"{place}/3.0"), loaded(beneath, f"{place}/2.0")]
    print(f"{name}:", f"    save beside it: {endings[0]}; load: {loads[0]}", f"    save in the background: {endings[1]}; load: {loads[1]}", sep="\n")
    return [*endings, *loads] == ["success"] * 4


if __name__ == "__main__":
    sound = [name for name, keys in STORIES.items() if story(name, *keys)]
    if sound:
        sys.exit(f"not as recorded: {', '.join(sound)}")
    print("wrong: a save beside another save fails, or its checkpoint does not hold what was saved")
