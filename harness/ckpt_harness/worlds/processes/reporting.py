"""How a process of a world reports events and waits; used by ranks and by processes that ranks start."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from ckpt_harness import runtime
from ckpt_harness.history import Event, History
from ckpt_harness.worlds.processes import messages, thread_watch
from ckpt_harness.worlds.processes.messages import Happened, Stopping
from ckpt_harness.worlds.processes.thread_watch import Mark


class Reporting(runtime.RealRuntime):
    """Reports events over a connection, and marks threads that sleep or wait because of a fault.

    Args:
        connection: the connection to the world or to the rank.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._sending = _thread.allocate_lock()
        self._marks: dict[int, Mark] = {}
        self._number = 0

    def rank(self) -> int:
        return self._number

    def sleep(self, seconds: float) -> None:
        self._marked(Mark("sleeps", "delay"), time.sleep, seconds)

    def hang(self, why: str) -> NoReturn:
        while True:
            self._marked(Mark("waits", why), threading.Event().wait)

    def stop(self, seconds: float, why: str) -> None:
        self._send(Stopping(seconds, why, thread_watch.source(sys._getframe())))
        with self._sending:  # otherwise another thread could be stopped in the middle of a message
            os.kill(os.getpid(), signal.SIGSTOP)

    def tell(self, event: Event) -> None:
        """Reports an event. When this method returns, the event is not lost if this process dies."""
        self._send(Happened(event))

    def _send(self, message: Any) -> None:
        with self._sending:
            messages.send(self._connection, message)

    def _marked(self, mark: Mark, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        me = threading.get_ident()
        before = self._marks.get(me)
        self._marks[me] = mark
        try:
            return function(*args, **kwargs)
        finally:
            if before is None:
                del self._marks[me]
            else:
                self._marks[me] = before


class Reported(History):
    """A history whose events reach the world before the process continues.

    Args:
        process: reports the events.
    """

    def __init__(self, process: Reporting) -> None:
        super().__init__()
        self._process = process

    def append(self, event: Event) -> None:
        self._process.tell(event)
