"""Where the threads of this process are, as evidence: what each is in, at which line, and whether it has run since it was last looked at.

A thread that waits in a collective sits in a function of ``torch.distributed``; one that waits on a lock sits in the futex system call without
a timeout. Anything else that sleeps is outside: it may be a timer, a disk or a network that ends it.

Not modelled: without ``/proc/PID/task/TID/syscall`` (some hardened kernels) a wait on a lock counts as outside, so a hang there is UNKNOWN.
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
"""What a thread waits in that forms a process group with the others."""
_AROUND = (
    "torch.distributed.c10d_logger",
    "torch.distributed._functional_collectives",
    "torch._ops",
    "torch.utils._contextlib",
    "ckpt_harness.injection.injector",
)
"""Modules whose functions may stand between a collective of ``dist`` and the call that waits."""
_SAME = {
    "all_gather_into_tensor": "all_gather",
    "all_gather_coalesced": "all_gather",
    "all_reduce_coalesced": "all_reduce",
    "all_to_all_single": "all_to_all",
    "reduce_scatter_tensor": "reduce_scatter",
    "_new_process_group_helper": "rendezvous",
}
"""Functions of ``dist`` -> what a collective is called wherever it is reported."""


_GLOO = "gloo_tcp_loop"
"""What gloo calls its thread that moves the bytes."""
_OF_TORCH = ("pt_gloo_runloop",)
"""What torch calls its threads that run collectives: they work for whoever is in one."""
_HOUSEKEEPING = "multiprocessing.resource_sharer"
"""The module of a thread that waits, for ever, for processes that want a descriptor of this one."""
_OUTERMOST = "_run"
"""The function of this package that calls bodies."""


class Mark(NamedTuple):
    """What a thread of a rank says of itself before it goes to sleep.

    Attributes:
        doing: ``sleeps``, or ``waits``.
        what: what for.
    """

    doing: Doing
    what: str


def look(marks: Mapping[int, Mark], idle: Iterable[int], *, served: bool = False) -> tuple[Thread, ...]:
    """The threads of this process, but for those that were idle before its job began, and those that serve whoever asks.

    Args:
        marks: ident -> what the thread says of itself.
        idle: idents of threads to leave out.
        served: whether a process that this one started is looked at too, so that a wait for its answer is no wait for something outside.
    """
    left_out = {*idle, threading.get_ident(), *(servant.ident for servant in runtime.servants())}
    threads = [thread for thread in threading.enumerate() if thread.ident not in left_out]
    threads.sort(key=lambda thread: thread is not threading.main_thread())
    stacks = sys._current_frames()
    threads = [thread for thread in threads if not any(_module(one) == _HOUSEKEEPING for one in _walk(stacks.get(thread.ident or 0)))]
    names = {tid: _read(tid, "comm").strip() for tid in sorted(natives().difference(*_bystanders.values()))}
    # A lock may be released by a native client's thread, and what that waits for nobody here knows; unless it waits on a lock too, as idle pools do.
    alone = all(name in (_GLOO, *_OF_TORCH) or _on_a_lock(tid) for tid, name in names.items())
    seen = [_see(thread, stacks.get(thread.ident or 0), marks.get(thread.ident or 0), alone=alone, served=served) for thread in threads]
    return (*seen, *(one for one in (_see_native(tid, name) for tid, name in names.items()) if one is not None))


_bystanders: dict[str, set[int]] = {}


def natives() -> set[int]:
    """The kernel's numbers of the threads of this process that are not Python's."""
    return {int(path.name) for path in Path("/proc/self/task").iterdir()} - {_tid(thread) for thread in threading.enumerate()}


def leave_out(owner: str, threads: set[int]) -> None:
    """From now on, threads of native code count for nothing: what they wait for is of no concern to any rank.

    Args:
        owner: whose they are; it had none before that still count for nothing.
        threads: the kernel's numbers of them.
    """
    _bystanders[owner] = threads


def _see_native(tid: int, name: str) -> Thread | None:
    """A thread of native code, if it matters: one that has something to do may be about to wake one of ours; one that polls has seen all there is."""
    if name != _GLOO:
        return Thread("runs", "native code", "", False, ()) if _state(tid)[0] in "RD" else None
    # Gloo's loop spins for ever once a peer is gone. While it is given the processor, and moves no byte, it does nothing for anybody.
    numbers = [int(line.partition(":")[2]) for line in _read(tid, "io").splitlines() if line.startswith(("rchar", "wchar"))]
    spent = int((_read(tid, "schedstat").split() or ["0"])[0])
    before, _spent[tid] = _spent.get(tid, spent), spent
    waiting_for_the_processor = _state(tid)[0] != "S" and spent == before
    return Thread("runs" if waiting_for_the_processor or not numbers else "waits", "gloo", "", False, tuple(numbers))


_spent: dict[int, int] = {}
"""Thread -> nanoseconds of the processor that it had used when last looked at."""


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
        doing, switches = "meets", ()  # whoever comes first polls until the last one has
    elif what is None and (said := _executor(frame, served=served)):
        what = said
    elif what is None:
        doing, what = ("waits", "lock") if alone and _on_a_lock(_tid(thread)) else ("outside", f"something outside (thread {thread.name!r})")
    return Thread(doing, what or "", source(frame), direct, switches, _members(inside))


def _tid(thread: threading.Thread) -> int:
    """The kernel's number of a thread. Before Python 3.12, the main thread of a forked process remembers that of its parent's."""
    return os.getpid() if thread is threading.main_thread() else thread.native_id or 0


def _state(tid: int) -> tuple[str, tuple[int, ...]]:
    """The kernel's letter for what a thread does, and how often it gave up the processor, of itself and not."""
    lines = _read(tid, "status").splitlines()
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return fields.get("State", "X").split()[0], tuple(int(fields.get(f"{kind}_ctxt_switches", "0")) for kind in ("voluntary", "nonvoluntary"))


def _on_a_lock(tid: int) -> bool:
    call = _read(tid, "syscall").split()
    return len(call) > 4 and call[0] == _FUTEX and call[4] == "0x0"  # the fourth argument is the timeout


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _entered(frame: FrameType | None) -> FrameType | None:
    """The call of the collective that a stack ends in, if it does."""
    for one in _walk(frame):
        module = _module(one)
        if module in (_C10D, _RENDEZVOUS):
            return one
        if module not in _AROUND:
            return None
    return None


def _executor(frame: FrameType | None, *, served: bool) -> str:
    """What DCP's process executor waits for, in the process or in the rank that started it; "" if it does not, or for what is not seen."""
    for one in _walk(frame):
        if _module(one) == _torch.EXECUTOR:
            return {"_checkpointing_subprocess": "a request", "_wait_for_response": "its process" if served else ""}.get(one.f_code.co_name, "")
        if _module(one) not in ("multiprocessing.connection", "selectors"):
            return ""
    return ""


def children() -> list[int]:
    """The processes that this one started and that have not ended, but for those of multiprocessing's own housekeeping."""
    found = [int(pid) for path in Path("/proc/self/task").iterdir() for pid in _read(int(path.name), "children").split()]
    return [pid for pid in found if not ended(pid) and b"multiprocessing.resource_tracker" not in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _name(collective: FrameType | None) -> str | None:
    """What a collective is called."""
    if collective is None:
        return None
    name = collective.f_code.co_name
    return FORMING if _module(collective) == _RENDEZVOUS else _SAME.get(name, name)


def _members(collective: FrameType | None) -> tuple[int, ...]:
    """The ranks of the world that a collective is among: every function of ``dist`` calls its process group ``group``."""
    group = None if collective is None else collective.f_locals.get("group")
    return tuple(dist.get_process_group_ranks(group)) if isinstance(group, dist.ProcessGroup) else ()


def in_collective(frame: FrameType | None) -> bool:
    """Whether a stack ends in a collective of ``dist``, which has a name."""
    return _entered(frame) is not None


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of a body's stack, innermost first, without those of this package within and around it."""
    while frame is not None:
        if not _module(frame).startswith("ckpt_harness.worlds.processes."):
            yield frame
        elif frame.f_code.co_name == _OUTERMOST:
            return
        frame = frame.f_back


def source(frame: FrameType | None) -> str:
    """The innermost line of a stack that says something to a reader; see :mod:`ckpt_harness.worlds.simulated.frames`."""
    return frames.innermost(_walk(frame))
