#!/usr/bin/env bash
# torchtitan 0.3.0: after one failed async save, every later save fails with the error of that save, and saves nothing.
#
# CheckpointManager keeps the future of an async save. `_wait_for_saving` asks for its result, and forgets the future behind that: an
# error leaves the future where it is. The next save begins with `maybe_wait_for_saving`, so it raises the same error again, and so
# does each save until the trainer is restarted. A trainer that logs a failed checkpoint and trains on saves no more.
#
# Source: CheckpointManager._wait_for_saving in torchtitan/components/checkpointer/dcp.py.
# Runs in a Python that has torch; seen with torch 2.13.0. Exits with 0 if this is still so, and with 1 if it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/again.py" <<'PYTHON'
"""An async save whose commit fails: does the next save of the same CheckpointManager succeed?"""
import logging
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torchtitan.components.checkpointer.dcp import CheckpointManager

logging.disable(logging.CRITICAL)
finish = dcp.FileSystemWriter.finish


def commit(writer, metadata, results):
    if writer.path.name == "step-1":
        raise OSError(28, "No space left on device")
    finish(writer, metadata, results)


dcp.FileSystemWriter.finish = commit
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
config = CheckpointManager.Config(enable=True, folder=sys.argv[1], interval=1, async_mode="async")
manager = CheckpointManager(
    config, dataloader=None, model_parts=[torch.nn.Linear(2, 2)], optimizers=None, lr_schedulers=None, states={}, sd_adapter=None
)
for step in (1, 2, 3):
    try:
        manager.save(step)
        manager.maybe_wait_for_saving()
        print(f"step {step} is saved")
    except dcp.CheckpointException as error:
        print(f"step {step}: {error.failures[0][0]}")
manager.close()
dist.destroy_process_group()
PYTHON

python3 -m pip install -q --no-deps --target "$folder/packages" torchtitan==0.3.0
python3 -m pip install -q --target "$folder/packages" tyro==1.0.17

seen=$(PYTHONPATH="$folder/packages" python3 "$folder/again.py" "$folder/checkpoints" 2> /dev/null)
printf '%s\n' "$seen"
[ "$seen" = "step 1: [Errno 28] No space left on device
step 2: [Errno 28] No space left on device
step 3: [Errno 28] No space left on device" ] && [ ! -e "$folder/checkpoints/step-2" ]
