"""Makes the waits of the standard library scheduler points, for the threads of a world only.

While a world runs, :func:`installed` replaces the factories of locks and queues, ``Thread.start`` and ``join``, ``sleep``, and the clocks of timeouts. Each
replacement checks whether the calling thread is a task of a world; for other threads, nothing changes. A thread that a task starts becomes a task of
the same rank.

Not modelled: a lock that was created before the run, or by a name that was imported from ``threading``, blocks in native code. If a parked task holds such
a lock and another task waits for it, the world ends as "unknown" after ``external_limit`` seconds.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import concurrent.futures.thread
import contextlib
import functools
import queue
import selectors
import threading
import time
import weakref
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from typing import Any

from ckpt_harness.worlds.simulated.locks import LockPerRank, WorldLock, WorldQueue, wait_outside, waiting_outside
from ckpt_harness.worlds.simulated.pools import pool_of
from ckpt_harness.worlds.simulated.scheduler import Scheduler
from ckpt_harness.worlds.simulated.tasks import State, Task, Unwind, current_task

_real_monotonic = time.monotonic
_real_start = threading.Thread.start
_real_join = threading.Thread.join
_real_is_alive = threading.Thread.is_alive
_SELECTORS: list[Any] = [kind for kind in vars(selectors).values() if isinstance(kind, type) and "select" in kind.__dict__]
_worker: Any = getattr(concurrent.futures.thread, "_worker", None)

# --- threads -----------------------------------------------------------------------------------------------------------


class _NativeEvent:
    """A replacement of the event ``Thread._started`` that is no scheduler point."""

    def __init__(self) -> None:
        self._set = False
        self._gate = allocate_lock()
        self._gate.acquire()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._gate.release()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._gate.acquire()
        return True

    def _at_fork_reinit(self) -> None:
        self._gate = allocate_lock()


def start(thread: threading.Thread, task: Task) -> None:
    """Starts ``thread`` as ``task``: it runs when it gets the baton."""
    task.thread = thread
    thread.run = functools.partial(_live, task, thread, thread.run)  # type: ignore[method-assign]
    _start_native(thread)


def _start_native(thread: Any) -> None:
    """Starts a thread without a scheduler point: the parent waits in native code until the thread exists.

    The native thread is a daemon, so that a thread stuck in native code does not prevent the interpreter's exit. Code on the thread sees the
    ``daemon`` flag that was requested, and its own threads inherit that flag.
    """
    thread._started = _NativeEvent()
    wanted, thread._daemonic = thread._daemonic, True
    try:
        _real_start(thread)
    finally:
        thread._daemonic = wanted


def _live(task: Task, thread: Any, run: Callable[[], None]) -> None:
    def body() -> None:
        try:
            run()
        except Unwind:
            pass
        except BaseException:  # noqa: BLE001  (exceptions of a thread go to the hook, as in threading itself)
            if not task.scheduler.unwinding:  # while unwinding, a lock may be released that is not held
                thread._invoke_excepthook(thread)

    # A thread that did not end in time was interrupted, and Unwind may be raised anywhere in here.
    with contextlib.suppress(Unwind):
        task.scheduler.live(task, body)
    thread.__dict__.pop("run", None)


def _start(self: threading.Thread) -> None:
    me = current_task()
    if me is None or self._started.is_set():  # type: ignore[attr-defined]
        _real_start(self)
        return
    me.scheduler.check()
    if _serves_the_process(self):
        _start_native(self)
        return
    task = me.scheduler.add(me.rank)
    start(self, task)
    me.scheduler.pause()


def is_spare(task: Task) -> bool:
    """Whether a task is an idle worker of a pool that is to live as long as the process."""
    work = [argument for argument in getattr(task.thread, "_args", ()) if isinstance(argument, WorldQueue)]
    return any(argument.lasting for argument in work) and task.waiting is not None and task.waiting.what == "queue"


def _serves_the_process(thread: Any) -> bool:
    """Whether a thread belongs to an executor or an event loop that outlives the world, although a rank starts it."""
    target = getattr(thread, "_target", None)
    if target is _worker:
        return not any(isinstance(argument, WorldQueue) for argument in thread._args)
    return getattr(target, "__name__", "") == "run_forever" and isinstance(getattr(target, "__self__", None), asyncio.AbstractEventLoop)


def _selecting(real: Callable[..., Any]) -> Callable[..., Any]:
    """Replaces a selector's ``select``: a task that runs an event loop hands the baton over while it waits for descriptors."""

    def select(self: Any, timeout: float | None = None) -> Any:
        me = current_task()
        if me is None or (timeout is not None and timeout <= 0):
            return real(self, timeout)
        scheduler, began = me.scheduler, me.scheduler.now
        until = None if timeout is None else _real_monotonic() + timeout

        def wait() -> Any:
            while True:
                left = _SLICE if until is None else min(_SLICE, until - _real_monotonic())
                ready = real(self, max(left, 0.0))
                if ready or left < _SLICE or scheduler.unwinding:
                    return ready

        ready = scheduler.step_out(waiting_outside("event loop"), wait)
        if ready:
            scheduler.progress()
        elif timeout is not None:
            scheduler.pass_time(began + timeout)
        return ready

    return select


_SLICE = 0.05
"""Real seconds after which a task in ``select`` checks whether its world has ended."""


def _task_of(thread: threading.Thread, scheduler: Scheduler) -> Task | None:
    return next((task for task in scheduler.tasks if task.thread is thread), None)


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    me = current_task()
    if me is None or not self._started.is_set() or self is threading.current_thread():  # type: ignore[attr-defined]
        _real_join(self, timeout)
        return
    task = _task_of(self, me.scheduler)
    if task is None:
        _join_outside(self, timeout)
    elif me.scheduler.join(task, None if timeout is None else max(timeout, 0.0)):
        _real_join(self)


def _join_outside(thread: threading.Thread, timeout: float | None) -> None:
    """Joins a thread outside the world. A helper thread does the join, so that the task can be unwound while it waits."""
    if (timeout is not None and timeout <= 0) or not _real_is_alive(thread):
        _real_join(thread, timeout)
        return
    over: list[bool] = []

    def subscribe(tell: Callable[[], None]) -> None:
        def watch() -> None:
            _real_join(thread, timeout)
            over.append(True)
            tell()

        _real_start(threading.Thread(target=watch, daemon=True))

    wait_outside(f"end of thread {thread.name}", subscribe, lambda: bool(over))


def _is_alive(self: threading.Thread) -> bool:
    me = current_task()
    task = _task_of(self, me.scheduler) if me is not None else None
    return _real_is_alive(self) if task is None else task.state is not State.DONE


def own(future: Any, scheduler: Scheduler) -> None:
    """Marks a future as completed by tasks of a world only, so that a wait for it can be part of a proved deadlock."""
    future._harness_scheduler = scheduler


def expect(future: Any, scheduler: Scheduler) -> None:
    """Marks a future as completed by the operation of a rank, so that a wait for it ends with the wait of another task of that rank."""
    with contextlib.suppress(AttributeError):  # a future of another type may have slots
        future._harness_expected_in = scheduler


# --- replacing and restoring -------------------------------------------------------------------------------------------


def _replacements() -> list[tuple[Any, str, Any]]:
    real_lock, real_allocate, real_rlock = threading.Lock, threading._allocate_lock, threading.RLock  # type: ignore[attr-defined]
    real_queue, real_sleep = queue.SimpleQueue, time.sleep
    real_submit, real_shutdown = concurrent.futures.ThreadPoolExecutor.submit, concurrent.futures.ThreadPoolExecutor.shutdown

    def lock() -> Any:
        return WorldLock() if current_task() is not None else real_lock()

    def allocate() -> Any:
        return WorldLock() if current_task() is not None else real_allocate()

    def rlock(*args: Any, **kwargs: Any) -> Any:
        return threading._PyRLock() if current_task() is not None else real_rlock(*args, **kwargs)  # type: ignore[attr-defined]

    def simple_queue() -> Any:
        return WorldQueue() if current_task() is not None else real_queue()

    def sleep(seconds: float) -> None:
        me = current_task()
        if me is None:
            real_sleep(seconds)
        elif seconds < 0:
            raise ValueError("sleep length must be non-negative")
        else:
            me.scheduler.sleep(seconds)

    def monotonic() -> float:
        me = current_task()
        return _real_monotonic() if me is None else me.scheduler.started + me.scheduler.now

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        me = current_task()
        pool = self if me is None else pool_of(me, self)
        if me is None or not isinstance(pool._work_queue, WorldQueue):
            return real_submit(pool, fn, *args, **kwargs)
        pool._work_queue.executor = weakref.ref(pool)
        future = real_submit(pool, fn, *args, **kwargs)
        own(future, me.scheduler)
        return future

    def shutdown(self: Any, *args: Any, **kwargs: Any) -> None:
        me = current_task()
        real_shutdown(self if me is None else pool_of(me, self), *args, **kwargs)

    return [
        (threading, "Lock", lock),
        (threading, "_allocate_lock", allocate),
        (threading, "RLock", rlock),
        (threading, "_time", monotonic),
        (threading.Thread, "start", _start),
        (threading.Thread, "join", _join),
        (threading.Thread, "is_alive", _is_alive),
        (queue, "SimpleQueue", simple_queue),
        (queue, "time", monotonic),
        (time, "sleep", sleep),
        (time, "monotonic", monotonic),
        *((kind, "select", _selecting(kind.__dict__["select"])) for kind in _SELECTORS),
        (concurrent.futures.thread, "_global_shutdown_lock", LockPerRank()),
        (concurrent.futures.ThreadPoolExecutor, "submit", submit),
        (concurrent.futures.ThreadPoolExecutor, "shutdown", shutdown),
    ]


_undo: list[tuple[Any, str, Any]] = []


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Replaces the standard library's waits inside the ``with`` block; blocks may nest."""
    if _undo:
        yield
        return
    for owner, name, replacement in _replacements():
        _undo.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, replacement)
    try:
        yield
    finally:
        while _undo:
            setattr(*_undo.pop())
