#!/usr/bin/env bash
# torchtitan 0.3.0: failed async saves remove the last whole checkpoint.
#
# CheckpointManager removes old checkpoints when it has begun an async save, not when the save is committed, and it counts directories:
# what a failed save has left counts as a checkpoint that is kept. With keep_latest_k=2, three failed saves in a row (across restarts, as
# on a disk that is full) leave the job without any checkpoint; where the directory of the new save is there in time, two.
#
# Source: CheckpointManager._save and _purge_stale_checkpoints in torchtitan/components/checkpointer/dcp.py.
# Runs in a Python that has torch; seen with torch 2.13.0. Exits with 0 if this is still so, and with 1 if it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/retained.py" <<'PYTHON'
"""Two async saves in a row whose commit fails: which checkpoints does CheckpointManager keep?"""
import logging
import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torchtitan.components.checkpointer.dcp import CheckpointManager

logging.disable(logging.CRITICAL)
folder, full = sys.argv[1], set(sys.argv[2:])
finish = dcp.FileSystemWriter.finish


def commit(writer, metadata, results):
    if writer.path.name in full:
        raise OSError(28, "No space left on device")
    finish(writer, metadata, results)


dcp.FileSystemWriter.finish = commit
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
config = CheckpointManager.Config(enable=True, folder=folder, interval=1, keep_latest_k=2, async_mode="async")
for step in (1, 2, 3, 4):  # each step in a new manager, as after a restart
    manager = CheckpointManager(
        config, dataloader=None, model_parts=[torch.nn.Linear(2, 2)], optimizers=None, lr_schedulers=None, states={}, sd_adapter=None
    )
    try:
        manager.save(step)
        manager.maybe_wait_for_saving()
    except dcp.CheckpointException as error:
        print(f"step {step} failed: {error.failures[0][0]}")
    manager.close()
whole = [name for name in sorted(os.listdir(folder)) if os.path.exists(os.path.join(folder, name, ".metadata"))]
print("whole checkpoints:", whole)
dist.destroy_process_group()
PYTHON

python3 -m pip install -q --no-deps --target "$folder/packages" torchtitan==0.3.0
python3 -m pip install -q --target "$folder/packages" tyro==1.0.17

mkdir "$folder/checkpoints"
seen=$(PYTHONPATH="$folder/packages" python3 "$folder/retained.py" "$folder/checkpoints" step-2 step-3 step-4 2> /dev/null)
printf '%s\n' "$seen"
[ "$seen" = "step 2 failed: [Errno 28] No space left on device
step 3 failed: [Errno 28] No space left on device
step 4 failed: [Errno 28] No space left on device
whole checkpoints: []" ]
