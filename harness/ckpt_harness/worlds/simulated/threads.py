"""The standard library's waits as scheduler points, for the threads of a world only.

While at least one world runs, :func:`installed` replaces the factories of locks and queues, ``Thread.start`` and ``join``, ``sleep`` and the
clocks that timeouts are measured with. Each replacement asks whether the calling thread is a task of a world; any other thread gets what it
always got. A thread that a task starts becomes a task of the same rank.

Not modelled: a lock that was made before the world ran, or through a name imported from ``threading`` at import time, blocks natively. When a
task that is parked holds such a lock and another wants it, the world ends as "unknown" after ``external_limit`` seconds. A
``ThreadPoolExecutor`` made before the world keeps native threads: what runs on them belongs to no rank.
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
    """What ``Thread._started`` needs of an event, without a scheduler point in it."""

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
    """Starts ``thread`` as ``task``: it runs when it gets the baton, and its end is a scheduler event."""
    task.thread = thread
    thread.run = functools.partial(_live, task, thread, thread.run)  # type: ignore[method-assign]
    _start_native(thread)


def _start_native(thread: Any) -> None:
    """Starts without a scheduler point: the parent waits natively until the thread exists, and no longer.

    The native thread is a daemon, so that one that is stuck in native code cannot keep the interpreter from exiting; the code that runs sees
    the flag that was asked for, and its own threads inherit it.
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
        except (Unwind, SystemExit):
            pass
        except BaseException:  # noqa: BLE001  (whatever escapes a thread goes to the hook, as in threading itself)
            if not task.scheduler.unwinding:  # a lock that unwinding could not take back may be released in vain
                thread._invoke_excepthook(thread)

    # One that was interrupted late, since its world could not wait for it, may meet that anywhere in here.
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


def _serves_the_process(thread: Any) -> bool:
    """Whether a thread works for an executor or an event loop that outlives the world, though a rank happens to start it."""
    target = getattr(thread, "_target", None)
    if target is _worker:
        return not any(isinstance(argument, WorldQueue) for argument in thread._args)
    return getattr(target, "__name__", "") == "run_forever" and isinstance(getattr(target, "__self__", None), asyncio.AbstractEventLoop)


def _selecting(real: Callable[..., Any]) -> Callable[..., Any]:
    """A selector's ``select`` for tasks: an event loop that a rank runs itself waits for descriptors without the baton."""

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
"""Real seconds after which a task that selects looks whether its world is over."""


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
    """A helper thread waits for the foreign one, so that the task can be unwound where it waits."""
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
    """Notes that only tasks of a world complete a future, so that a wait for it can be proved to be in vain."""
    future._harness_scheduler = scheduler


# --- replacing and restoring -------------------------------------------------------------------------------------------


def _replacements() -> list[tuple[Any, str, Any]]:
    real_lock, real_allocate, real_rlock = threading.Lock, threading._allocate_lock, threading.RLock  # type: ignore[attr-defined]
    real_queue, real_sleep = queue.SimpleQueue, time.sleep
    real_submit = concurrent.futures.ThreadPoolExecutor.submit

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
        if me is None or not isinstance(self._work_queue, WorldQueue):
            return real_submit(self, fn, *args, **kwargs)
        self._work_queue.executor = weakref.ref(self)
        future = real_submit(self, fn, *args, **kwargs)
        own(future, me.scheduler)
        return future

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
    ]


_undo: list[tuple[Any, str, Any]] = []


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Replaces the standard library's waits for as long as a world runs; worlds may nest."""
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
