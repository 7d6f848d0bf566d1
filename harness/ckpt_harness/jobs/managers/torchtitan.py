"""torchtitan's ``CheckpointManager``, with the state of the job in place of its model.

It removes old checkpoints by itself, whenever it saves, so jobs do not prune. Not modelled: its Hugging Face formats, the checkpoint of the last step, staging
into pinned memory, and a step 0.
"""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ckpt_harness.jobs.managers.protocol import State

KEPT = 2
"""How many checkpoints the manager keeps: the fewest that it allows."""


class TorchtitanManager:
    """Calls the manager as torchtitan's trainer does, with synchronous saves.

    Args:
        directory: where the steps lie.
    """

    mode = "disabled"

    def __init__(self, directory: Path) -> None:
        from torchtitan.components.checkpointer.dcp import CheckpointManager

        config = CheckpointManager.Config(enable=True, folder=str(directory), interval=1, keep_latest_k=KEPT, async_mode=self.mode)
        self._own: Any = CheckpointManager(config, dataloader=None, model_parts=[], optimizers=None, lr_schedulers=None, states={}, sd_adapter=None)

    def save(self, state: State, step: int) -> None:
        self._own.states = {"model": _Whole(state)}
        self._own.save(step)

    def latest(self) -> int | None:
        step: int = self._own._find_load_step()
        return None if step < 0 else step

    def load(self, state: State, step: int) -> None:
        self._own.states = {"model": _Whole(state)}
        self._own.load(step)

    def path(self, step: int) -> Path:
        return Path(self._own._create_checkpoint_id(step))

    def close(self) -> None:
        self._own.close()


class TorchtitanAsyncManager(TorchtitanManager):
    """Calls the manager with its ``async_mode`` on."""

    mode = "async"

    def save(self, state: State, step: int) -> None:
        super().save(state, step)
        self.wait()

    def async_save(self, state: State, step: int) -> Future[Any]:
        super().save(state, step)
        saving: Future[Any] = self._own.save_future
        return saving

    def wait(self) -> None:
        self._own.maybe_wait_for_saving()


class _Whole:
    """The whole state of a job, as the manager knows a model: saved entry by entry, and told of what was loaded."""

    def __init__(self, state: State) -> None:
        self._state = state

    def state_dict(self) -> State:
        return self._state

    def load_state_dict(self, loaded: State) -> None:
        self._state.update(loaded)
