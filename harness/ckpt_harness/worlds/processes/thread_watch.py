"""Observes the threads of this process: what each thread does, at which source line, and whether it has run since the last look.

A thread that waits in a collective is inside a function of ``torch.distributed``. A thread that waits for a lock is inside the futex system call without
a timeout. Every other sleeping thread counts as ``outside``: a timer, a disk or a network may wake it.

Not modelled: without ``/proc/PID/task/TID/syscall`` (some hardened kernels), a wait for a lock counts as ``outside``, so a hang in it is UNKNOWN.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.worlds.processes.evidence import ended
from ckpt_harness.worlds.processes.messages import Doing, Thread
from ckpt_harness.worlds.simulated import frames

_FUTEX = {"x86_64": "202", "aarch64": "98", "riscv64": "98"}.get(platform.machine(), "")
_C10D = "torch.distributed.distributed_c10d"
_RENDEZVOUS = "torch.distributed.rendezvous"
FORMING = "rendezvous"
"""The name of the wait of a thread that forms a process group with other ranks."""
_AROUND = (
    "torch.distributed.c10d_logger",
    "torch.distributed._functional_collectives",
    "torch._ops",
    "torch.utils._contextlib",
    "ckpt_harness.injection.injector",
    "ckpt_harness.injection.consequences",
)
"""Modules whose functions may be on the stack between a collective of ``dist`` and the call that waits."""
_SAME = {
    "all_gather_into_tensor": "all_gather",
    "all_gather_coalesced": "all_gather",
    "all_gather_single": "all_gather",
    "all_reduce_coalesced": "all_reduce",
    "all_to_all_single": "all_to_all",
    "reduce_scatter_single": "reduce_scatter",
    "reduce_scatter_tensor": "reduce_scatter",
    "_new_process_group_helper": "rendezvous",
}
"""Function of ``dist`` -> name of the collective in reports."""


_GLOO = "gloo_tcp_loop"
"""The name of gloo's thread that transfers data."""
_OF_TORCH = ("pt_gloo_runloop",)
"""The names of torch's threads that run collectives on behalf of a waiting thread."""
_HOUSEKEEPING = "multiprocessing.resource_sharer"
"""The module of multiprocessing's own thread, which waits for ever for other processes."""
_OUTERMOST = "_run"
"""The name of the function of this package that calls bodies."""


class Mark(NamedTuple):
    """What a thread notes about itself before it sleeps or waits.

    Attributes:
        doing: ``sleeps`` or ``waits``.
        what: what it waits for.
    """

    doing: Doing
    what: str


def look(marks: Mapping[int, Mark], idle: Iterable[int], *, served: bool = False) -> tuple[Thread, ...]:
    """Observes the threads of this process, except threads that existed before its job began, and threads that serve requests of any thread.

    Args:
        marks: ident of a thread -> what the thread has noted about itself.
        idle: idents of the threads to leave out.
        served: whether processes that this process started are observed too. If so, a wait for their answer is no wait for something outside.
    """
    left_out = {*idle, threading.get_ident(), *(servant.ident for servant in runtime.servants())}
    threads = [thread for thread in threading.enumerate() if thread.ident not in left_out]
    threads.sort(key=lambda thread: thread is not threading.main_thread())
    stacks = sys._current_frames()
    threads = [thread for thread in threads if not any(_module(frame) == _HOUSEKEEPING for frame in _walk(stacks.get(thread.ident or 0)))]
    names = {tid: _read(tid, "comm").strip() for tid in sorted(natives().difference(*_bystanders.values()))}
    # A thread of a native client may release a lock, and it is unknown what that thread waits for, unless it waits for a lock too, as idle pools do.
    alone = all(name in (_GLOO, *_OF_TORCH) or _on_a_lock(tid) for tid, name in names.items())
    seen = [_see(thread, stacks.get(thread.ident or 0), marks.get(thread.ident or 0), alone=alone, served=served) for thread in threads]
    native = (_see_native(tid, name) for tid, name in names.items())
    return (*seen, *(thread for thread in native if thread is not None))


_bystanders: dict[str, set[int]] = {}


def natives() -> set[int]:
    """Returns the kernel's ids of the threads of this process that Python did not start."""
    return {int(path.name) for path in Path("/proc/self/task").iterdir()} - {_tid(thread) for thread in threading.enumerate()}


def leave_out(owner: str, threads: set[int]) -> None:
    """From now on, leaves native threads out of all looks, because they do not affect any rank.

    Args:
        owner: the name of their owner. The threads replace those of an earlier call for the same owner.
        threads: the kernel's ids of the threads.
    """
    _bystanders[owner] = threads


def _see_native(tid: int, name: str) -> Thread | None:
    """Observes a native thread; returns None if it does not matter.

    A native thread that runs may be about to wake a thread of the body. A native thread that sleeps does not matter, except gloo's own.
    """
    if name != _GLOO:
        return Thread("runs", "native code", "", False, ()) if _state(tid)[0] in "RD" else None
    # gloo's loop spins for ever once a peer has ended. While it gets processor time and transfers no byte, it makes no progress.
    numbers = [int(line.partition(":")[2]) for line in _read(tid, "io").splitlines() if line.startswith(("rchar", "wchar"))]
    spent = int((_read(tid, "schedstat").split() or ["0"])[0])
    before, _spent[tid] = _spent.get(tid, spent), spent
    waiting_for_the_processor = _state(tid)[0] != "S" and spent == before
    return Thread("runs" if waiting_for_the_processor or not numbers else "waits", "gloo", "", False, tuple(numbers))


_spent: dict[int, int] = {}
"""Id of a thread -> nanoseconds of processor time that it had used at the last look."""


def _read(tid: int, name: str) -> str:
    try:
        return Path(f"/proc/self/task/{tid}/{name}").read_text(encoding="utf-8")
    except OSError:
        return ""


def _see(thread: threading.Thread, frame: FrameType | None, mark: Mark | None, *, alone: bool, served: bool) -> Thread:
    state, switches = _state(_tid(thread))
    inside = _entered(frame) if mark is None else None
    what = mark.what if mark is not None else _name(inside)
    direct = what is not None
    doing: Doing = "waits"
    if state != "S":
        doing = "runs"
    elif mark is not None:
        doing = mark.doing
    elif what == FORMING:
        doing, switches = "meets", ()  # the ranks that arrive first poll until the last rank has arrived
    elif what is None and (request := _executor(frame, served=served)):
        what = request
    elif what is None:
        doing, what = ("waits", "lock") if alone and _on_a_lock(_tid(thread)) else ("outside", f"something outside (thread {thread.name!r})")
    return Thread(doing, what or "", source(frame), direct, switches, _members(inside))


def _tid(thread: threading.Thread) -> int:
    """The kernel's id of a thread. Before Python 3.12, the main thread of a forked process still has the id of its parent."""
    return os.getpid() if thread is threading.main_thread() else thread.native_id or 0


def _state(tid: int) -> tuple[str, tuple[int, ...]]:
    """The kernel's letter for the state of a thread, and its counts of voluntary and involuntary context switches."""
    lines = _read(tid, "status").splitlines()
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return fields.get("State", "X").split()[0], tuple(int(fields.get(f"{kind}_ctxt_switches", "0")) for kind in ("voluntary", "nonvoluntary"))


def _on_a_lock(tid: int) -> bool:
    call = _read(tid, "syscall").split()
    return len(call) > 4 and call[0] == _FUTEX and call[4] == "0x0"  # the fourth argument is the timeout


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _entered(frame: FrameType | None) -> FrameType | None:
    """The frame of the collective that a stack is in; None if it is in no collective."""
    for caller in _walk(frame):
        module = _module(caller)
        if module in (_C10D, _RENDEZVOUS):
            return caller
        if module not in _AROUND:
            return None
    return None


def _executor(frame: FrameType | None, *, served: bool) -> str:
    """What DCP's process executor waits for, in its own process or in the rank; "" if the stack is not that of the executor, or cannot be observed."""
    for caller in _walk(frame):
        if _module(caller) == _torch.EXECUTOR:
            waits = {"_checkpointing_subprocess": "a request", "_wait_for_response": "its process" if served else ""}
            return waits.get(caller.f_code.co_name, "")
        if _module(caller) not in ("multiprocessing.connection", "selectors"):
            return ""
    return ""


def children() -> list[int]:
    """Returns the process ids of the running processes that this process started, except those of multiprocessing itself."""
    pids = [int(pid) for path in Path("/proc/self/task").iterdir() for pid in _read(int(path.name), "children").split()]
    return [pid for pid in pids if not ended(pid) and b"multiprocessing.resource_tracker" not in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _name(collective: FrameType | None) -> str | None:
    """The name of a collective in reports."""
    if collective is None:
        return None
    name = collective.f_code.co_name
    return FORMING if _module(collective) == _RENDEZVOUS else _SAME.get(name, name)


def _members(collective: FrameType | None) -> tuple[int, ...]:
    """The ranks of the world in a collective's process group, which is the parameter ``group`` of every function of ``dist``."""
    group = None if collective is None else collective.f_locals.get("group")
    return tuple(dist.get_process_group_ranks(group)) if isinstance(group, dist.ProcessGroup) else ()


def in_collective(frame: FrameType | None) -> bool:
    """Whether a stack is inside a collective of ``dist``."""
    return _entered(frame) is not None


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of a body's stack, innermost first, without the frames of this package."""
    while frame is not None:
        if not _module(frame).startswith("ckpt_harness.worlds.processes."):
            yield frame
        elif frame.f_code.co_name == _OUTERMOST:
            return
        frame = frame.f_back


def source(frame: FrameType | None) -> str:
    """The innermost source line of a stack outside the harness and torch's wrappers; see :mod:`ckpt_harness.worlds.simulated.frames`."""
    return frames.innermost(_walk(frame))
