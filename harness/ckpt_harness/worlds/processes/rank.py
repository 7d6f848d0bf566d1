"""A process that is a rank: it takes jobs from a world, one after another, and reports what happens as it happens.

Its main thread runs the bodies. A second one reads what the world says, so that a rank which hangs can still say where, and which notices at
once when the world is gone.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import os
import pickle
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_sharer
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.errors import UsageError
from ckpt_harness.history import ErrorRecord
from ckpt_harness.worlds import garbage
from ckpt_harness.worlds.base import Faults
from ckpt_harness.worlds.processes import hooks, joined, messages, where
from ckpt_harness.worlds.processes.evidence import Evidence
from ckpt_harness.worlds.processes.family import Family
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
    Settle,
    Settled,
    Thread,
    Welcome,
    Where,
)
from ckpt_harness.worlds.processes.reporting import Reporting
from ckpt_harness.worlds.processes.where import Mark

MEETING = "a meeting of all ranks"
"""What a rank waits for in :meth:`Rank.meet`; the simulated world calls it the same."""
_LINGER = 10.0
"""Seconds that the threads of a body may take to end after it: they only need the processor, however loaded it is.
One that is seen to wait for nothing that could come is not waited for."""
_PAUSE = 0.05


def live(fd: int) -> NoReturn:
    """What a forked process does: be a rank until the world is gone."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.set_inheritable(fd, False)  # a program that a rank starts must not keep the socket open when the rank dies
    rank = Rank(Connection(fd))
    be(rank)
    hooks.install(rank.counting_as_waiting)
    with runtime.installed(rank):
        while True:
            rank.serve()


_here: list[Rank] = []


def be(rank: Rank) -> None:
    """Makes ``rank`` what this process is, from now on."""
    _here[:] = [rank]


def here() -> Rank:
    """The rank that this process is.

    Raises:
        UsageError: it is none.
    """
    if not _here:
        raise UsageError("only the ranks of a world of processes have a world to talk to")
    return _here[0]


class Rank(Reporting):
    """A rank, from inside.

    Args:
        connection: to the world.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._idle: frozenset[int] = frozenset()
        self._elders: frozenset[int] = frozenset()
        self._groups = 0
        self._family: Family | None = None
        self._parting: Family | None = None
        self._unanswered: tuple[int, tuple[Thread, ...]] | None = None
        self._bell, self._ring = socket.socketpair()
        threading.Thread(target=self._listen, name="world", daemon=True).start()

    # -- what a body may ask of its world

    def ask(self, message: Any) -> Any:
        """Asks whoever runs the world; see :meth:`ckpt_harness.worlds.processes.ProcessWorld.run`."""
        self._send(Ask(message))
        return self._reply().value

    def meet(self, action: Callable[[], None]) -> None:
        """Waits until every rank is here; see :class:`ckpt_harness.worlds.base.World`."""
        self._send(Meet())
        if isinstance(self._marked(Mark("waits", MEETING), self._reply), Act):
            try:
                action()
            finally:
                self._send(Acted())
                self._reply()

    def ask_at_collectives(self, faults: Faults) -> None:
        """Consults ``faults`` at every collective for the rest of the job."""
        hooks.ask(faults)

    def counting_as_waiting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a method whose callers are in a collective for as long as it takes, where nothing else says so."""

        def wait(*args: Any, **kwargs: Any) -> Any:
            if where.in_collective(sys._getframe(1)):
                return method(*args, **kwargs)
            return self._marked(Mark("waits", "collective"), method, *args, **kwargs)

        return wait

    def expect_processes(self) -> None:
        """From now until the job is over, processes that the body starts may join the rank."""
        self._family = Family(Welcome(self._number, self._started), self._send)
        os.environ.update({runtime.JOIN: joined.JOINING, joined.DOOR: self._family.name})
        self._ring.send(b"!")

    # -- the two threads

    def _reply(self) -> Any:
        return self._told.get()

    def _listen(self) -> None:
        """Answers and passes on, until the world is gone; then so is the rank."""
        try:
            while True:
                family = self._family
                theirs: list[Any] = [] if family is None else [family.door, *family.connections]
                ready = wait([self._connection, self._bell, *theirs])
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
        """The world is gone."""
        os._exit(1)

    def _hear(self, message: Any) -> None:
        if not isinstance(message, Where):
            self._told.put(message)
            return
        served = self._family is not None and bool(self._family.connections)
        self._unanswered = message.number, where.look(self._marks, self._idle, served=served)
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
        """Answers the world, once all processes of the rank have answered too."""
        theirs = () if self._family is None else self._family.answers()
        if self._unanswered is not None and theirs is not None:
            number, ours = self._unanswered
            self._unanswered = None
            self._send(Answer(number, (*ours, *theirs)))

    def serve(self) -> None:
        """Takes one message and does what it says."""
        message = self._told.get()
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
                return f"it cannot join a group: {error}"
        return ""

    def _run(self, job: Job) -> None:
        try:
            body, args, faults = self._begin(job)
        except BaseException as error:  # noqa: BLE001  (whatever an import or a rendezvous raises)
            self._send(Broken(f"{type(error).__name__}: {error}"))
            return
        self._idle = frozenset(thread.ident for thread in threading.enumerate() if thread is not threading.current_thread() and thread.ident)
        self._elders = frozenset(where.children())
        value: Any
        hooks.ask(faults)
        try:
            with garbage.kept():
                value = body(*args)
            record = None
        except BaseException as error:  # noqa: BLE001  (SystemExit and KeyboardInterrupt of one rank are outcomes too)
            value, record = error, ErrorRecord.of(error)
        finally:
            hooks.ask(None)
            _flush()
        garbage.collect()
        at, left = self.now(), tuple(self._left())
        self._part_from_processes()
        self._send(Ended("returned" if record is None else "raised", _pickled(value), record, at, left))

    def _left(self) -> Iterator[str]:
        """What of the body goes on: threads that do not end, and processes, but for those of multiprocessing's own housekeeping."""
        resource_sharer.stop()  # multiprocessing's thread that hands descriptors to processes, which is nobody's leak
        evidence, deadline = Evidence(1), time.monotonic() + _LINGER
        while (others := self._others()) and time.monotonic() < deadline:
            others[0].join(_PAUSE)
            if evidence.add({0: where.look(self._marks, self._idle)}, {}) == "stuck":
                break
        for thread in self._others():
            yield f"thread {thread.name!r} is still running"
        for pid in set(where.children()) - self._elders:
            yield f"process {pid} is still running"

    def _part_from_processes(self) -> None:
        if self._family is not None:
            self._parting, self._family = self._family, None
            self._ring.send(b"!")

    def _others(self) -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one is not threading.main_thread() and one.ident not in self._idle and one not in runtime.servants()]

    def _begin(self, job: Job) -> Any:
        self._started = job.started
        sys.path[:] = job.path
        if os.environ != job.environment:
            os.environ.clear()
            os.environ.update(job.environment)
        os.chdir(job.directory)
        _forget_namesakes(*job.module)
        if job.main is not None and job.main not in _mains:
            from multiprocessing.spawn import import_main_path

            _mains.add(job.main)
            import_main_path(job.main)
        return pickle.loads(job.work)

    def _settle(self, number: int) -> str:
        """What is left of the last job: a thread, a sub-group, a group in which not all are at the same place. Plan caches can be emptied."""
        for thread in self._others():
            return f"thread {thread.name!r} is still running"
        _torch.forget_plans()
        if _torch.count_groups() != self._groups:
            return f"it is in {_torch.count_groups()} groups"
        if not self._groups:
            return ""
        everybody = [torch.zeros(1, dtype=torch.long) for _ in range(dist.get_world_size())]
        dist.all_gather(everybody, torch.tensor([number]))
        return "" if all(int(one) == number for one in everybody) else "the ranks of its group are at different places"


_mains: set[str] = set()


def _forget_namesakes(name: str, file: str | None) -> None:
    """Makes sure that the body is the sender's: a module of the same name from elsewhere may be left of an earlier job."""
    found = sys.modules.get(name)
    if name != "__main__" and file is not None and getattr(found, "__file__", file) != file:
        del sys.modules[name]
    if name not in sys.modules:
        importlib.invalidate_caches()  # the file may be younger than what the import system remembers of its directory


def _flush() -> None:
    """What a body printed appears while the caller still looks at it; where it cannot, that is no concern of the body's."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


class WorldHere:
    """What a world is to one of its own ranks: somewhere to meet.

    Args:
        size: number of ranks.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def meet(self, action: Callable[[], None]) -> None:
        """See :class:`ckpt_harness.worlds.base.World`."""
        here().meet(action)


def _pickled(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001  (whatever an object raises that does not want to be pickled)
        return None
