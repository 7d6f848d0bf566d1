"""What becomes of an item that another process works on, and the way from there to its result."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn, TypeAlias

from ckpt_harness.campaigns.pools.base import Item, Result, Work
from ckpt_harness.errors import HarnessError, InternalError


class Done(NamedTuple):
    """An item is done.

    Attributes:
        number: which of the items.
        result: the pickled result.
    """

    number: int
    result: bytes


class Lost(NamedTuple):
    """An item ended two processes.

    Attributes:
        number: which of the items.
        how: how the processes ended, such as ``ended by SIGKILL, twice in succession``.
    """

    number: int
    how: str


class Failed(NamedTuple):
    """The work raised an error; the rest of the items is not done.

    Attributes:
        error: the pickled error.
        trace: its traceback, as text.
    """

    error: bytes
    trace: str

    def reraise(self) -> NoReturn:
        """Raises the error in this process."""
        try:
            error = pickle.loads(self.error)
        except Exception:  # noqa: BLE001  (a class of the user's, from a module that this process cannot import)
            error = InternalError("a worker process raised an error that cannot be unpickled here")
        raise error from ElsewhereError(self.trace)


class ElsewhereError(HarnessError):
    """The traceback of an error in another process: the cause of the error that is raised in this process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


Outcome: TypeAlias = "Done | Lost | Failed"


def results(work: Work[Item, Result], items: Sequence[Item], outcomes: Iterable[Outcome]) -> Iterator[Result]:
    """The results of items.

    Args:
        work: what was done with each item.
        items: all items that were given.
        outcomes: what became of some of them.

    Raises:
        BaseException: what the work raised.
    """
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            outcome.reraise()
        yield pickle.loads(outcome.result) if isinstance(outcome, Done) else work.lost(items[outcome.number], outcome.how)
