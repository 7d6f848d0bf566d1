"""What ranks do in the tests of the process world: functions of a module, so that they can be sent."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.runtime import current
from ckpt_harness.worlds.processes.rank import here


def who() -> tuple[int, int]:
    return current().rank(), os.getpid()


def barrier() -> int:
    dist.barrier()
    return os.getpid()


class _Stream:
    """Writes when it is collected, as a stream does that is closed by its finalizer."""

    def __init__(self, path: Path) -> None:
        self.path, self.itself = path, self

    def __del__(self) -> None:
        self.path.touch()


def leave_open(directory: Path) -> bool:
    """Whether garbage was collected before the body ended."""
    path = directory / str(current().rank())
    _Stream(path)
    assert [{} for _ in range(100_000)]
    return path.exists()


def late(seconds: float) -> int:
    """Rank 0 is late for a barrier."""
    if current().rank() == 0:
        current().sleep(seconds)
    return barrier()


def poll() -> int:
    """Rank 0 asks again and again, and never comes to the barrier."""
    while current().rank() == 0:
        here().ask("now?")
        threading.Event().wait(0.05)
    return barrier()


def busy(rounds: int) -> int:
    """Rank 0 computes before it comes to a barrier."""
    total = 0
    if current().rank() == 0:
        for number in range(rounds):
            total += number * number % 7
    return barrier()


def leave_behind() -> None:
    """Rank 0 waits in a barrier to which nobody else comes."""
    if current().rank() == 0:
        dist.barrier()


def stop(seconds: float) -> int:
    if current().rank() == 1:
        current().stop(seconds, "stop at a test")
    return barrier()


def end(how: str) -> int:
    """Rank 1 ends while the others are on their way to a barrier."""
    dist.barrier()
    if current().rank() == 1:
        {"die": current().die, "exit": current().exit}[how]()
    return barrier()


def chain() -> None:
    """Rank 0 hears of nobody but rank 1, which dies; rank 2 of nobody but rank 0."""
    rank = dist.get_rank()
    groups = [dist.new_group([0, 1]), dist.new_group([0, 2])]
    dist.barrier()
    if rank == 1:
        current().die()
    if rank == 0:
        dist.barrier(groups[0])
    dist.barrier(groups[1])


def chain_caught() -> None:
    """The same, but rank 0 catches its error."""
    with contextlib.suppress(RuntimeError) if dist.get_rank() == 0 else contextlib.nullcontext():
        chain()


def kill(pid: int) -> None:
    """Rank 0 kills another process. No rank ends, or says anything, unless that ends the rank."""
    if dist.get_rank() == 0:
        os.kill(pid, signal.SIGKILL)
    reading, _ = os.pipe()
    os.read(reading, 1)


def wait_on_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def wait_for_a_thread() -> None:
    """Rank 0's other thread waits in a barrier; its main thread for that thread."""
    if current().rank() == 0:
        thread = threading.Thread(target=dist.barrier, name="uploads", daemon=True)
        thread.start()
        thread.join()


def wait_outside(handle: int) -> bytes:
    """Waits for a pipe that nobody of this world writes to."""
    reader, _ = os.pipe()
    return os.read(reader, handle)


def leave_a_thread() -> int:
    threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()
    return os.getpid()


def leave_a_group() -> int:
    dist.new_group([0, 1])
    return os.getpid()


def give(value: Any) -> Any:
    return value


def give_unpicklable() -> Callable[[], None]:
    return lambda: None


def fail_with(kind: str) -> None:
    raise zoo.make(kind, "a test")


def fail(error: BaseException) -> None:
    raise error


def die_with_a_child_left() -> None:
    """Rank 1 dies; a process that it has forked lives on, with its sockets."""
    if current().rank() == 1:
        if os.fork() == 0:
            signal.pause()
        current().die()
    current().hang("hang at a test")


def be_stopped(file: str) -> None:
    """Rank 1 writes down its number, is stopped by a signal that its world did not send, and waits in a barrier to which nobody else comes."""
    if current().rank() == 1:
        Path(file).write_text(str(os.getpid()), encoding="ascii")
        os.kill(os.getpid(), signal.SIGSTOP)
        dist.barrier()
