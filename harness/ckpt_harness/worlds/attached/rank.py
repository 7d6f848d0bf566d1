"""A rank that a launcher started: it serves the cases of rank 0, and survives all of them, since it cannot be replaced.

A body runs on a thread of its own, and another thread serves rank 0. So a hung body can be released after the verdict. A body that cannot be released is
left behind on its thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import gc
import os
import queue
import threading
import time
import weakref
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.worlds.attached import sockets
from ckpt_harness.worlds.attached.messages import Finish, Finishing, Gone, Ping, Pong, Recall, Recalled
from ckpt_harness.worlds.processes.messages import Act, Form, Job, Reply, Settle, Settled, Where
from ckpt_harness.worlds.processes.rank import Rank
from ckpt_harness.worlds.processes.thread_watch import Mark

_RELEASE_LIMIT = 5.0
"""Seconds to wait for a hung body to unwind after its connections were closed."""
_LINGER = 0.2
"""Seconds to wait for other threads of a body after its end."""


class Released(SystemExit):
    """Ends the threads of a case after the verdict. A ``SystemExit``, so that threads end without a message."""


class LaunchedRank(Rank):
    """A launcher's rank, seen from inside its process.

    Args:
        connection: the connection to the world.
        store: the launcher's store, used by the process groups of cases.
        local: the number of this process among those on its host; it selects the GPU.
    """

    def __init__(self, connection: Connection, store: Any, local: int) -> None:
        self._store, self._local = store, local
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._body: threading.Thread | None = None
        self._serving: threading.Thread | None = None
        self._listening: threading.Thread | None = None
        self._released = threading.Event()
        self._abandoned: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._sockets: frozenset[str] = frozenset()
        self._began = 0
        super().__init__(connection)

    # -- services for faults: as in any rank, but waits can be released

    def sleep(self, seconds: float) -> None:
        if self._marked(Mark("sleeps", "delay"), self._released.wait, seconds):
            raise Released

    def hang(self, why: str) -> NoReturn:
        self._marked(Mark("waits", why), self._released.wait)
        raise Released

    def stop(self, seconds: float, why: str) -> None:
        runtime.RealRuntime.stop(self, seconds, why)  # rank 0 could not continue a process on another host

    def _reply(self) -> Any:
        reply = super()._reply()
        if isinstance(reply, Settle):
            raise Released
        return reply

    def _send(self, message: Any) -> None:
        of_the_body = threading.current_thread() not in (self._serving, self._listening)
        if of_the_body and (self._released.is_set() or threading.current_thread() in self._abandoned):
            raise Released  # its message would belong to a finished case
        super()._send(message)

    # -- the two threads

    def _hear(self, message: Any) -> None:
        self._listening = threading.current_thread()
        if isinstance(message, Ping):
            self._send(Pong(time.monotonic()))
        elif isinstance(message, (Where, Reply, Act)):
            super()._hear(message)
        else:
            self._calls.put(message)

    def _forsaken(self) -> None:
        self._calls.put(Gone())

    def attend(self) -> int | None:
        """Serves until there are no more cases.

        Returns:
            The exit status that all ranks have agreed on; None if rank 0 ended unexpectedly.
        """
        self._serving = threading.current_thread()
        while True:
            message = self._calls.get()
            if isinstance(message, Form):
                self._send(Settled(self._form(message)))
            elif isinstance(message, Job):
                self._body = threading.Thread(target=self._act, args=(message,), name=f"body of rank {self._number}", daemon=True)
                self._body.start()
            elif isinstance(message, Recall):
                self._send(Recalled(_torch.unfinished_collectives(self._began)))
            elif isinstance(message, Settle):
                self._let_go(message)
                self._send(Settled(""))
            elif isinstance(message, Finish):
                self._send(Finishing())
                return message.status
            elif isinstance(message, Gone):
                return None

    def rest(self, seconds: float) -> None:
        """Waits until rank 0 has ended, at most for ``seconds``."""
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=seconds)

    # -- a case

    def _form(self, form: Form) -> str:
        self._number, self._released, self._replies = form.rank, threading.Event(), queue.SimpleQueue()
        self._sockets, self._began = sockets.names(), time.time_ns()
        self._idle = frozenset(thread.ident for thread in threading.enumerate() if thread.ident)
        if form.store is None:
            return ""
        if dist.is_initialized():
            return "it is already a member of a process group; each case makes its own group"
        self._choose_device()
        try:
            dist.init_process_group(
                _backend(),
                store=dist.PrefixStore(form.store, self._store),
                rank=form.rank,
                world_size=form.size,
                timeout=dt.timedelta(seconds=form.timeout),
            )
        except RuntimeError as error:
            return f"it cannot join a process group: {error}"
        return ""

    def _choose_device(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.set_device(self._local % torch.cuda.device_count())  # the current device is a property of the thread

    def _act(self, job: Job) -> None:
        self._choose_device()
        try:
            self._run(job)
        except Released:
            return

    def _begin(self, job: Job) -> Any:
        here = os.getcwd()  # noqa: PTH109  (as it was sent)
        directory = job.directory if Path(job.directory).is_dir() else here
        # Each rank keeps its own environment, with the variables that the launcher set.
        return super()._begin(dataclasses.replace(job, directory=directory, environment=dict(os.environ)))

    def _others(self) -> list[threading.Thread]:
        left_out = {threading.current_thread(), *self._abandoned}
        return [thread for thread in threading.enumerate() if thread not in left_out and thread.ident not in self._idle]

    def _let_go(self, settle: Settle) -> None:
        """Ends everything that is left of a case after the verdict."""
        self._released.set()
        self._replies.put(settle)
        stuck = self._body is not None and self._body.is_alive()
        sockets.cut(self._sockets)  # also if this rank does not hang: other ranks may wait for it, and exceptions may keep its group alive
        deadline = time.monotonic() + (_RELEASE_LIMIT if stuck else _LINGER)
        for thread in self._others():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._abandoned.add(thread)
        self._body = None
        _torch.leave_groups(broken=stuck)
        if sockets.names() - self._sockets:  # an exception of the body still holds the group, in a reference cycle with its frames
            gc.collect()
        _torch.forget_plans()


def _backend() -> str:
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
