"""Saves, in a process whose faults come from ``CKPT_HARNESS_PLAN`` alone; says how each save ended."""

from __future__ import annotations

import sys

import examples
import torch
from torch.distributed.checkpoint import CheckpointException, save

import ckpt_harness  # noqa: F401  (importing it is all that a process does)

if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        try:
            save({"weight": torch.ones(2)}, checkpoint_id=examples.ROOT / str(number))
            print("saved")
        except CheckpointException as error:
            print("failed", error.failures[0][0])
