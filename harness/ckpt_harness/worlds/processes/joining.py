"""A process that a rank starts, such as DCP's process executor for async saves. It joins the rank and counts as a part of it.

The process finds the rank by an environment variable. It reports its events, and the state of its threads when asked. It joins when it receives the
first faulty object; before that, the rank cannot observe it, and waits for it count as waits for something outside.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from multiprocessing.connection import Connection
from typing import Any

from ckpt_harness import runtime
from ckpt_harness.history import Event, History
from ckpt_harness.worlds.processes import hooks, messages, thread_watch
from ckpt_harness.worlds.processes.messages import Answer, Welcome, Where
from ckpt_harness.worlds.processes.reporting import Reported, Reporting

DOOR = "CKPT_HARNESS_DOOR"
"""Environment variable with the name of the rank's socket, in Linux's abstract namespace."""
JOINING = f"{__name__}:join"
"""The value of ``ckpt_harness.runtime.JOIN`` in a rank's environment."""


class Joined(Reporting):
    """A joined process, seen from inside.

    Args:
        connection: the connection to the rank.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
        welcome: Welcome = messages.receive(connection)
        self._number, self._started = welcome.rank, welcome.started
        self._listener = threading.Thread(target=self._listen, name="rank", daemon=True)
        self._listener.start()

    def tell(self, event: Event) -> None:
        """Reports an event, and waits until the rank has passed it on: so when the process ends, the rank has all of its events."""
        super().tell(event)
        self._taken.get()

    def _listen(self) -> None:
        try:
            while True:
                message = messages.receive(self._connection)
                if isinstance(message, Where):
                    idle = () if self._listener.ident is None else (self._listener.ident,)
                    self._send(Answer(message.number, thread_watch.look(self._marks, idle, served=False)))
                else:
                    self._taken.put(message)
        except EOFError:
            os._exit(1)  # the rank has ended, so this process is no longer needed


def join() -> History:
    """Joins the rank that started this process, until either ends.

    Returns:
        The history to which events of this process are appended.
    """
    door = socket.socket(socket.AF_UNIX)
    door.connect(f"\0{os.environ[DOOR]}")
    joined = Joined(Connection(door.detach()))
    runtime.install_for_good(joined)
    hooks.watch_futures()
    return Reported(joined)


