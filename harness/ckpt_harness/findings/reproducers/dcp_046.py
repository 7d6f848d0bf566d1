"""DCP-046: With plan caching, a save that begins while the first save is planned fails with a KeyError.

Plain torch, one process. Exits with 0 if the finding shows, with 1 if not."""

import sys
import tempfile
import time

import torch
import torch.distributed.checkpoint as dcp


class Slow(dcp.FileSystemWriter):
    def prepare_global_plan(self, plans):
        time.sleep(2)  # the plan is made and cached, and handed out to no rank yet
        return super().prepare_global_plan(plans)


def planner():
    return dcp.DefaultSavePlanner(enable_plan_caching=True)


def state(value):
    return {"weight": torch.full((4,), value)}


def ending(wait):
    try:
        wait()
    except BaseException as error:  # noqa: BLE001  (of whatever type)
        return f"raised {error!r}"
    return "success"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        first = dcp.async_save(state(1.0), storage_writer=Slow(f"{place}/1"), planner=planner())
        time.sleep(1)
        second = ending(lambda: dcp.save(state(2.0), storage_writer=dcp.FileSystemWriter(f"{place}/2"), planner=planner()))
        print("first save, in the background:", ending(first.result))
    print("second save, beside it:", second)
    if "KeyError" not in second:
        sys.exit("not as recorded")
    print("wrong: a save fails because another save is under way")
