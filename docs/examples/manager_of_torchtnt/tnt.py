"""torchtnt's ``DistributedCheckpointSaver``, as a job calls it; and how to read what it has saved.

It removes old checkpoints by itself, so a job does not prune. Each job needs ``--engine tnt.py:ENGINE`` beside ``--manager tnt.py:Saver``.
"""

import re
from pathlib import Path

from torch.distributed.checkpoint.stateful import Stateful
from torchtnt.framework.callbacks.checkpointer_types import KnobOptions
from torchtnt.framework.callbacks.dcp_saver import DistributedCheckpointSaver
from torchtnt.framework.state import EntryPoint, PhaseState, State
from torchtnt.framework.unit import TrainUnit
from torchtnt.utils.checkpoint import get_latest_checkpoint_path

from ckpt_harness.engines.filesystem import FileSystemEngine


class Whole:
    """The state of the job, as the unit knows its modules."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return {key: value.state_dict() if isinstance(value, Stateful) else value for key, value in self.state.items()}

    def load_state_dict(self, loaded):
        for key, value in self.state.items():
            if isinstance(value, Stateful):
                value.load_state_dict(loaded[key])
            else:
                self.state[key] = loaded[key]


class Unit(TrainUnit):
    """A unit that trains nothing."""

    def __init__(self, state, step):
        super().__init__()
        self.whole = Whole(state)
        self.train_progress._num_steps_completed = step

    def train_step(self, state, data):
        raise NotImplementedError


class Saver:
    """Saves at the end of each training step, and waits."""

    in_background = False

    def __init__(self, directory):
        self.directory = Path(directory)
        one_thread = KnobOptions(max_per_rank_io_concurrency=1)
        self.own = DistributedCheckpointSaver(
            str(directory), save_every_n_train_steps=1, keep_last_n_checkpoints=2, async_checkpoint=self.in_background, knob_options=one_thread
        )

    def path(self, step):
        return self.directory / f"epoch_0_train_step_{step}"

    def save(self, state, step):
        self.own.on_train_step_end(State(entry_point=EntryPoint.TRAIN, train_state=PhaseState(dataloader=[], max_epochs=1)), Unit(state, step))

    def latest(self):
        found = get_latest_checkpoint_path(str(self.directory), metadata_fname=".metadata")
        return None if found is None else int(re.search(r"step_(\d+)", found)[1])

    def load(self, state, step):
        DistributedCheckpointSaver.restore(str(self.path(step)), Unit(state, step))


class AsyncSaver(Saver):
    """Saves in the background."""

    in_background = True

    def save(self, state, step):
        super().save(state, step)
        self.wait()

    def async_save(self, state, step):
        super().save(state, step)
        return self.own._prev_snapshot

    def wait(self):
        self.own._wait()


class Engine(FileSystemEngine):
    """Reads the state of a job from where the saver puts it."""

    def load(self, state, reader, planner, place, call):
        whole = Whole(state)
        target = whole.state_dict()
        super().load({"app_state": {"whole": target}}, reader, planner, place, call)
        whole.load_state_dict(target)


ENGINE = Engine("tnt", "torchtnt: what DistributedCheckpointSaver saves", sync_files=False)
