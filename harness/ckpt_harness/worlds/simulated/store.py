"""The key-value store of simulated ranks. Waiting for a key is a scheduler point."""

from __future__ import annotations

import datetime as dt

import torch.distributed as dist

from ckpt_harness.worlds.simulated.scheduler import Scheduler
from ckpt_harness.worlds.simulated.tasks import Task, Waiting, current_task


class SimulatedStore(dist.Store):
    """A dictionary that the ranks of a world share.

    A wait that times out raises ``TimeoutError``, not torch's ``DistStoreError``: after the latter, torch's barrier over a store retries until
    real time has passed.

    Args:
        scheduler: the world's scheduler.
        seconds: longest wait for a key, in virtual seconds.
    """

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        super().__init__()
        self._scheduler, self._seconds = scheduler, seconds
        self._values: dict[str, bytes] = {}
        self._waiters: list[Task] = []

    def set(self, key: str, value: str | bytes) -> None:
        self._values[key] = value.encode() if isinstance(value, str) else bytes(value)
        for task in self._waiters:
            task.scheduler.wake(task)

    def get(self, key: str) -> bytes:
        self.wait([key])
        return self._values[key]

    def add(self, key: str, value: int) -> int:
        total = int(self._values.get(key, b"0")) + value
        self.set(key, str(total))
        return total

    def check(self, keys: list[str]) -> bool:
        return all(key in self._values for key in keys)

    def compare_set(self, key: str, expected_value: str | bytes, desired_value: str | bytes) -> bytes:
        expected = expected_value.encode() if isinstance(expected_value, str) else bytes(expected_value)
        if self._values.get(key, b"") == expected:
            self.set(key, desired_value)
        return self._values.get(key, expected)

    def delete_key(self, key: str) -> bool:
        return self._values.pop(key, None) is not None

    def num_keys(self) -> int:
        return len(self._values)

    def set_timeout(self, timeout: dt.timedelta) -> None:
        self._seconds = timeout.total_seconds()

    @property
    def timeout(self) -> dt.timedelta:
        """Longest wait for a key."""
        return dt.timedelta(seconds=self._seconds)

    def wait(self, keys: list[str], timeout: dt.timedelta | None = None) -> None:
        """Parks the calling rank until all ``keys`` are set."""
        me = current_task()
        if me is None:
            if not self.check(keys):
                raise RuntimeError("only a rank of a simulated world can wait for a key of its store")
            return
        deadline = self._scheduler.now + self._seconds
        waiting = Waiting(f"store key {keys[0]}")
        self._waiters.append(me)
        try:
            while not self.check(keys):
                if not self._scheduler.park(waiting, deadline, "timer") and not self.check(keys):
                    raise TimeoutError(f"wait timeout after {int(self._seconds * 1000)}ms, keys: {', '.join(keys)}")
        finally:
            self._waiters.remove(me)
