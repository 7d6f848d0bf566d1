"""What runs in a worker process: it takes chunks of items, works on them in its main thread, and sends each result as soon as there is one."""

from __future__ import annotations

import contextlib
import pickle
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from ckpt_harness.campaigns.pools.outcomes import Done, Failed
from ckpt_harness.campaigns.pools.worker import Stage
from ckpt_harness.cases import printed
from ckpt_harness.errors import InternalError


def serve(connection: Connection, patience: float | None = None) -> None:
    """Works until the other end of the connection is closed.

    Args:
        connection: where work comes from; see :class:`ckpt_harness.campaigns.pools.worker.Worker`.
        patience: seconds without work after which the process ends too.
    """
    with contextlib.closing(_Begun()) as begun, contextlib.suppress(EOFError, OSError):  # whoever gave the work is gone
        while connection.poll(patience):
            work, first, items = connection.recv()
            _do(begun, work, first, items, connection)


class _Begun:
    """The work that has begun in this process. It stays begun from chunk to chunk, with all that its items share."""

    def __init__(self) -> None:
        self._work: bytes | None = None
        self._until = contextlib.ExitStack()
        self._do: Callable[[Any], Any]

    def function(self, work: bytes) -> Callable[[Any], Any]:
        """The function of a work, which begins if it has not begun yet."""
        if work != self._work:
            self.close()
            self._do = self._until.enter_context(pickle.loads(work).begun())
            self._work = work
        return self._do

    def close(self) -> None:
        """Ends the work."""
        self._work = None
        self._until.close()


def _do(begun: _Begun, work: bytes, first: int, items: Sequence[bytes], connection: Connection) -> None:
    try:
        with printed.shown_on_error():
            do = begun.function(work)
            connection.send(Stage.BEGUN)
            for number, item in enumerate(items, first):
                result = pickle.dumps(do(pickle.loads(item)))
                connection.send(Done(number, result))
        connection.send(Stage.ENDED)
    except BaseException as error:  # noqa: BLE001  (what the work raises is raised where its results are wanted)
        connection.send(Failed(_pickled(error), traceback.format_exc()))


def _pickled(error: BaseException) -> bytes:
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:  # noqa: BLE001  (there are many ways in which errors do not survive)
        return pickle.dumps(InternalError(f"{type(error).__name__}, which cannot be pickled"))
    return pickled
