"""A process that a rank starts, such as the one of an async save's executor: it joins the rank, and is seen with it.

It finds the rank by a name in its environment, says what happens in it, and says where its threads are when it is asked. It joins when the first
faulty object reaches it; what it does before that is not seen, and counts as something outside.
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
from ckpt_harness.worlds.processes import messages, where
from ckpt_harness.worlds.processes.messages import Answer, Welcome, Where
from ckpt_harness.worlds.processes.reporting import Reported, Reporting

DOOR = "CKPT_HARNESS_DOOR"
"""Environment variable with the name of the socket that a rank listens on, in Linux's abstract name space."""
JOINING = f"{__name__}:join"
"""What ``ckpt_harness.runtime.JOIN`` says in a rank's environment."""


class Joined(Reporting):
    """A process of a rank's, from inside.

    Args:
        connection: to the rank.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
        welcome: Welcome = messages.receive(connection)
        self._number, self._started = welcome.rank, welcome.started
        self._listener = threading.Thread(target=self._listen, name="rank", daemon=True)
        self._listener.start()

    def tell(self, event: Event) -> None:
        """Reports an event, and waits until the rank has passed it on: a rank that learns of this process' end has heard all that it said."""
        super().tell(event)
        self._taken.get()

    def _listen(self) -> None:
        try:
            while True:
                message = messages.receive(self._connection)
                if isinstance(message, Where):
                    idle = () if self._listener.ident is None else (self._listener.ident,)
                    self._send(Answer(message.number, where.look(self._marks, idle, served=False)))
                else:
                    self._taken.put(message)
        except EOFError:
            os._exit(1)  # the rank is gone, and nobody waits for what is done here


def join() -> History:
    """Joins the rank that started this process, for as long as both live.

    Returns:
        What records for it.
    """
    door = socket.socket(socket.AF_UNIX)
    door.connect(f"\0{os.environ[DOOR]}")
    joined = Joined(Connection(door.detach()))
    runtime.install_for_good(joined)
    return Reported(joined)


