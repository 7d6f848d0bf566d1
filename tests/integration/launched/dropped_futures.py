"""Saves in the background, and looks at the futures in the way that is named: in a block of ``inject`` with a plan, or with the plan of the environment."""

from __future__ import annotations

import concurrent.futures
import contextlib
import sys

import examples
import torch
from torch.distributed.checkpoint import CheckpointException, async_save

import ckpt_harness


def look(how: str, number: int) -> None:
    """Saves once, and looks at the future."""
    future = async_save({"weight": torch.ones(2)}, checkpoint_id=examples.ROOT / str(number))
    future = getattr(future, "upload_completion", future)
    if how == "callback":
        future.add_done_callback(lambda _: None)
    with contextlib.suppress(CheckpointException):
        if how == "result":
            future.result()
        elif how == "exception":
            future.exception()
        elif how == "running":
            return
    concurrent.futures.wait([future])  # shows no failure


if __name__ == "__main__":
    how, saves, *plan = sys.argv[1:]
    with ckpt_harness.inject(plan[0]) if plan else contextlib.nullcontext():
        for number in range(int(saves)):
            look(how, number)
    print("trained", flush=True)
