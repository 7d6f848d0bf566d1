"""The process of a rank: it runs jobs for a world, one after another, and reports events when they happen.

The main thread runs the bodies. A second thread receives the world's messages, so that a hung rank can still report where it hangs, and the
process ends at once when the world has ended.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pickle
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_sharer
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.errors import UsageError
from ckpt_harness.history import ErrorRecord
from ckpt_harness.worlds import descriptors, garbage
from ckpt_harness.worlds.base import Faults
from ckpt_harness.worlds.fair_clock import FairClock
from ckpt_harness.worlds.processes import entering, hooks, joining, messages, thread_watch
from ckpt_harness.worlds.processes.evidence import Evidence
from ckpt_harness.worlds.processes.joined_processes import Family
from ckpt_harness.worlds.processes.messages import (
    Act,
    Acted,
    Answer,
    Ask,
    Broken,
    Ended,
    Form,
    Job,
    Meet,
    Note,
    Settle,
    Settled,
    Thread,
    Welcome,
    Where,
)
from ckpt_harness.worlds.processes.reporting import Reporting
from ckpt_harness.worlds.processes.thread_watch import Mark

MEETING = "a meeting of all ranks"
"""The name of the wait in :meth:`Rank.meet`, the same as in the simulated world."""
_LINGER = 10.0
"""Longest time to wait for the threads of a body after its end, in seconds. Usually they only need processor time, and waiting for it does not count; a
thread that is observed to hang is not waited for."""
_PAUSE = 0.05


def live(fd: int) -> NoReturn:
    """The main function of a forked process: serves a world until the world has ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.set_inheritable(fd, False)  # otherwise a program that the rank starts would keep the socket open after the rank's death
    rank = Rank(Connection(fd))
    be(rank)
    hooks.install(rank.counting_as_waiting)
    with runtime.installed(rank):
        while True:
            rank.serve()


_here: list[Rank] = []


def be(rank: Rank) -> None:
    """From now on, :func:`here` returns ``rank``."""
    _here[:] = [rank]


def here() -> Rank:
    """Returns the rank of this process.

    Raises:
        UsageError: this process is not a rank.
    """
    if not _here:
        raise UsageError("this process is not a rank of a world of processes")
    return _here[0]


class Rank(Reporting):
    """A rank, seen from inside its process.

    Args:
        connection: the connection to the world.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._idle: frozenset[int] = frozenset()
        self._elders: frozenset[int] = frozenset()
        self._groups = 0
        self._family: Family | None = None
        self._parting: Family | None = None
        self._unanswered: tuple[int, tuple[Thread, ...]] | None = None
        self._bell, self._ring = socket.socketpair()
        threading.Thread(target=self._listen, name="world", daemon=True).start()

    # -- requests of the body to its world

    def ask(self, message: Any) -> Any:
        """Sends a request to the caller of :meth:`ckpt_harness.worlds.processes.ProcessWorld.run`; returns the reply."""
        self._send(Ask(message))
        return self._reply().value

    def note(self, message: Any) -> None:
        """Sends a report to the caller of :meth:`ckpt_harness.worlds.processes.ProcessWorld.run`, from any thread, and goes on."""
        self._send(Note(message))

    def meet(self, action: Callable[[], None]) -> None:
        """Waits until every rank has called this method; see :class:`ckpt_harness.worlds.base.World`."""
        self._send(Meet())
        if isinstance(self._marked(Mark("waits", MEETING), self._reply), Act):
            try:
                action()
            finally:
                self._send(Acted())
                self._reply()

    def ask_at_collectives(self, faults: Faults) -> None:
        """Consults ``faults`` before every collective for the rest of the job."""
        hooks.ask(faults)

    def counting_as_waiting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a method so that its callers count as waiting in a collective, unless their stack shows that already."""

        def wait(*args: Any, **kwargs: Any) -> Any:
            if thread_watch.in_collective(sys._getframe(1)):
                return method(*args, **kwargs)
            return self._marked(Mark("waits", "collective"), method, *args, **kwargs)

        return wait

    def expect_processes(self) -> None:
        """From now until the end of the job, processes that the body starts may join the rank."""
        self._family = Family(Welcome(self._number, self._started), self._send)
        os.environ.update({runtime.JOIN: joining.JOINING, joining.DOOR: self._family.name})
        self._ring.send(b"!")

    # -- the two threads

    def _reply(self) -> Any:
        return self._replies.get()

    def _listen(self) -> None:
        """Receives messages of the world and of joined processes, until the world has ended; then ends the rank."""
        try:
            while True:
                family = self._family
                joined: list[Any] = [] if family is None else [family.door, *family.connections]
                ready = wait([self._connection, self._bell, *joined])
                if self._bell in ready:
                    self._bell.recv(1)
                    if self._parting is not None:
                        self._parting.close()
                        self._parting = None
                elif self._connection in ready:
                    self._hear(messages.receive(self._connection))
                elif family is not None:
                    self._hear_family(family, ready)
        except EOFError:
            return
        finally:
            self._forsaken()

    def _forsaken(self) -> None:
        """The world has ended."""
        os._exit(1)

    def _hear(self, message: Any) -> None:
        if not isinstance(message, Where):
            self._replies.put(message)
            return
        served = self._family is not None and bool(self._family.connections)
        self._unanswered = message.number, thread_watch.look(self._marks, self._idle, served=served)
        if self._family is not None:
            self._family.ask(message.number)
        self._answer()

    def _hear_family(self, family: Family, ready: Sequence[Any]) -> None:
        if family.door in ready:
            family.admit()
        for connection in family.connections:
            if connection in ready:
                family.listen(connection)
        self._answer()

    def _answer(self) -> None:
        """Answers the world, once all joined processes have answered."""
        joined = () if self._family is None else self._family.answers()
        if self._unanswered is not None and joined is not None:
            number, own = self._unanswered
            self._unanswered = None
            self._send(Answer(number, (*own, *joined)))

    def serve(self) -> None:
        """Takes a message and acts on it."""
        message = self._replies.get()
        if isinstance(message, Form):
            self._send(Settled(self._form(message)))
        elif isinstance(message, Settle):
            self._send(Settled(self._settle(message.number)))
        elif isinstance(message, Job):
            self._run(message)

    def _form(self, form: Form) -> str:
        self._number, self._groups = form.rank, 0 if form.store is None else 1
        if form.store is not None:
            timeout = dt.timedelta(seconds=form.timeout)
            try:
                store = dist.FileStore(form.store, form.size)
                dist.init_process_group("gloo", store=store, rank=form.rank, world_size=form.size, timeout=timeout)
            except RuntimeError as error:
                return f"it cannot join a process group: {error}"
        return ""

    def _run(self, job: Job) -> None:
        try:
            body, args, faults = self._begin(job)
        except BaseException as error:  # noqa: BLE001  (whatever an import or a rendezvous raises)
            self._send(Broken(f"{type(error).__name__}: {error}"))
            return
        self._idle = frozenset(thread.ident for thread in threading.enumerate() if thread is not threading.current_thread() and thread.ident)
        self._elders = frozenset(thread_watch.children())
        before = descriptors.open_files()
        value: Any
        hooks.ask(faults)
        try:
            with garbage.kept():
                value = body(*args)
            record = None
        except BaseException as error:  # noqa: BLE001  (SystemExit and KeyboardInterrupt of a rank are outcomes too)
            value, record = error, ErrorRecord.of(error)
        finally:
            hooks.ask(None)
            _flush()
        garbage.collect()
        at, left = self.now(), tuple(self._left())
        left_open = descriptors.left_open(before, descriptors.open_files())
        self._part_from_processes()
        self._send(Ended("returned" if record is None else "raised", _pickled(value), record, at, left, left_open))

    def _left(self) -> Iterator[str]:
        """Threads and processes of the body that are still running, except those of multiprocessing itself."""
        resource_sharer.stop()  # multiprocessing's own thread, which the body did not leak
        evidence, clock = Evidence(1), FairClock()
        deadline = clock.now() + _LINGER
        while (others := self._others()) and clock.now() < deadline:
            others[0].join(_PAUSE)
            clock.tick()
            if evidence.add({0: thread_watch.look(self._marks, self._idle)}, {}) == "stuck":
                break
        for thread in self._others():
            yield f"thread {thread.name!r} is still running"
        for pid in set(thread_watch.children()) - self._elders:
            yield f"process {pid} is still running"

    def _part_from_processes(self) -> None:
        if self._family is not None:
            self._parting, self._family = self._family, None
            self._ring.send(b"!")

    def _others(self) -> list[threading.Thread]:
        """Threads of the body, without its main thread."""
        left_out = {threading.main_thread(), *runtime.servants()}
        return [thread for thread in threading.enumerate() if thread not in left_out and thread.ident not in self._idle]

    def _begin(self, job: Job) -> Any:
        self._started = job.started
        return entering.enter(job)

    def _settle(self, number: int) -> str:
        """Makes the rank ready for another job: empties the plan caches.

        Returns:
            "", or what remains of the last job: a thread, a sub-group, or a group whose ranks are at different collectives.
        """
        for thread in self._others():
            return f"thread {thread.name!r} is still running"
        _torch.forget_plans()
        if _torch.count_groups() != self._groups:
            return f"it is a member of {_torch.count_groups()} process groups"
        if not self._groups:
            return ""
        numbers = [torch.zeros(1, dtype=torch.long) for _ in range(dist.get_world_size())]
        dist.all_gather(numbers, torch.tensor([number]))
        return "" if all(int(received) == number for received in numbers) else "the ranks of its group are at different collectives"


def _flush() -> None:
    """Flushes the output of the body, so that it appears before the job ends. Errors are ignored."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


class WorldHere:
    """The world object on a rank: it can :meth:`meet`, and cannot run.

    Args:
        size: the number of ranks.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def meet(self, action: Callable[[], None]) -> None:
        """See :class:`ckpt_harness.worlds.base.World`."""
        here().meet(action)


def _pickled(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001  (an object that cannot be pickled may raise anything)
        return None
