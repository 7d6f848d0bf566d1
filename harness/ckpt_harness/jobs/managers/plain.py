"""Plain DCP in a directory for each step: the manager that a trainer writes in an afternoon, without its bugs.

Files are not synced to the disk: a job loses processes, and no power.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import FileSystemWriter

from ckpt_harness.jobs.managers.protocol import State


class PlainManager:
    """Saves each step to a directory of its own, resumes from the newest that is committed, and keeps the newest.

    Rank 0 decides what concerns all ranks, and the others learn of it. Async saves have a process group of their own, since their collectives would cross
    those of everything else. A step that is saved again is removed first: what a failed overwrite leaves would load as a mixture.

    Args:
        directory: where the steps lie.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = Path(directory)
        self._under_way: list[Future[Any]] = []
        self._in_background = dist.new_group()

    # -- what a trainer calls; see :class:`ckpt_harness.jobs.managers.protocol.Manager`

    def save(self, state: State, step: int) -> None:
        self.wait()
        self._clear(step)
        dcp.save(state, **self._where(step))

    def async_save(self, state: State, step: int) -> Future[Any]:
        self.wait()
        self._clear(step)
        saving: Any = dcp.async_save(state, **self._where(step), process_group=self._in_background)
        self._under_way.append(saving)
        return saving  # type: ignore[no-any-return]  # without a stager of its own, DCP returns the future itself

    def wait(self) -> None:
        while self._under_way:
            self._under_way.pop(0).result()

    def latest(self) -> int | None:
        newest: int | None = self._agreed(max(self._committed(), default=None))
        return newest

    def load(self, state: State, step: int) -> None:
        dcp.load(state, checkpoint_id=self.path(step))

    def prune(self, keep: int) -> None:
        self.wait()
        if dist.get_rank() == 0:
            stay = self._committed()[-keep:]
            for step in self._steps():
                if stay and step < stay[-1] and step not in stay:
                    shutil.rmtree(self.path(step))
        dist.barrier()

    def path(self, step: int) -> Path:
        return self._directory / f"step-{step}"

    def close(self) -> None:
        dist.barrier()  # a rank that leaves the group would end the wait of others in it
        dist.destroy_process_group(self._in_background)

    # -- how

    def _where(self, step: int) -> dict[str, Any]:
        """Where DCP saves a step, as arguments of its functions."""
        return {"checkpoint_id": self.path(step), "storage_writer": FileSystemWriter(self.path(step), sync_files=False)}

    def _clear(self, step: int) -> None:
        """Removes what lies at a step."""
        if dist.get_rank() == 0:
            shutil.rmtree(self.path(step), ignore_errors=True)
        dist.barrier()

    def _steps(self) -> list[int]:
        """All steps that have a directory, in order."""
        names = [re.fullmatch(r"step-(\d+)", path.name) for path in self._directory.iterdir()] if self._directory.exists() else []
        return sorted(int(name[1]) for name in names if name)

    def _committed(self) -> list[int]:
        """The steps that are committed, in order."""
        return [step for step in self._steps() if (self.path(step) / ".metadata").exists()]

    @staticmethod
    def _agreed(value: Any) -> Any:
        """What rank 0 says."""
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]
