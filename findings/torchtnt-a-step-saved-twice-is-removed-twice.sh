#!/usr/bin/env bash
# torchtnt 0.2.4: a step that is saved twice counts as two checkpoints, and is removed twice.
#
# CheckpointManager of torchtnt keeps a list of the checkpoints that it has saved. A trainer that is restarted behind a save whose success it
# did not see saves that step again, and the list has it twice. With keep_last_n_checkpoints=2, the next save removes the checkpoint before it
# as the older of the two, so one is left instead of two; and the save behind that fails on rank 0 with a FileNotFoundError, for the directory
# is gone. The other ranks see no error. A third save of the same step removes the checkpoint that it has just written.
#
# Source: CheckpointManager.append_checkpoint and remove_checkpoint in torchtnt/utils/checkpoint.py.
# Runs in a Python that has torch; seen with torch 2.13.0. Exits with 0 if this is still so, and with 1 if it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/twice.py" <<'PYTHON'
"""A step that is saved twice, then two more steps: which does the saver keep?"""
import logging
import os
import sys

import torch.distributed as dist
from torchtnt.framework.callbacks.dcp_saver import DistributedCheckpointSaver
from torchtnt.framework.state import EntryPoint, PhaseState, State
from torchtnt.framework.unit import TrainUnit

logging.disable(logging.CRITICAL)


class Unit(TrainUnit):
    def __init__(self, step):
        super().__init__()
        self.train_progress._num_steps_completed = step

    def train_step(self, state, data):
        raise NotImplementedError


dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
saver = DistributedCheckpointSaver(sys.argv[1], save_every_n_train_steps=1, keep_last_n_checkpoints=2)
for step in (1, 2, 2, 3, 4):
    try:
        saver.on_train_step_end(State(entry_point=EntryPoint.TRAIN, train_state=PhaseState(dataloader=[], max_epochs=1)), Unit(step))
        print(f"step {step} is saved; kept:", *sorted(os.listdir(sys.argv[1])))
    except FileNotFoundError as error:
        print(f"step {step}: no such file: {os.path.basename(str(error.filename))}; kept:", *sorted(os.listdir(sys.argv[1])))
dist.destroy_process_group()
PYTHON

python3 -m pip install -q --no-deps --target "$folder/packages" torchtnt==0.2.4
python3 -m pip install -q --target "$folder/packages" fsspec numpy packaging psutil pyre-extensions==0.0.32 'setuptools<81' tabulate tensorboard==2.20.0 tqdm
seen=$(PYTHONPATH="$folder/packages" python3 "$folder/twice.py" "$folder/checkpoints" 2> /dev/null)
printf '%s\n' "$seen"
[ "$seen" = "step 1 is saved; kept: epoch_0_train_step_1
step 2 is saved; kept: epoch_0_train_step_1 epoch_0_train_step_2
step 2 is saved; kept: epoch_0_train_step_2
step 3 is saved; kept: epoch_0_train_step_3
step 4: no such file: epoch_0_train_step_2; kept: epoch_0_train_step_3 epoch_0_train_step_4" ]
