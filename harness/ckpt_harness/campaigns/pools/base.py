"""What a pool and its work are, and the pool that is this process.

Every campaign hands its items to a pool, so where the items are worked on is decided in one place, and the results are the same everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from ckpt_harness.errors import HarnessError

Item = TypeVar("Item")
Result = TypeVar("Result")
_Item_contra = TypeVar("_Item_contra", contravariant=True)
_Result_co = TypeVar("_Result_co", covariant=True)

CHUNK = 40
"""Items that a process takes at a time: enough to reuse what cases share, few enough for a smooth progress bar."""


class PoolError(HarnessError):
    """A pool cannot go on. The results until then are good."""


class Work(Protocol[_Item_contra, _Result_co]):
    """What is done with each item. The work, the items and the results can be pickled.

    The module that defines the work imports what the work needs: a process that is about to do the work imports that module first.
    """

    @property
    def few(self) -> int:
        """The largest number of items that are done in this process before others would have started."""

    def begun(self) -> AbstractContextManager[Callable[[_Item_contra], _Result_co]]:
        """Prepares what items share. A process begins the work once, and goes on with it from chunk to chunk.

        Returns:
            A context manager that gives the function to call with each item.
        """

    def lost(self, item: _Item_contra, how: str) -> _Result_co:
        """The result of an item that has no other: the process that worked on it ended, and so did the next process.

        Args:
            item: the item.
            how: how the processes ended, such as ``ended by SIGKILL, twice in succession``.
        """


class Pool(Protocol):
    """Works on items, somewhere."""

    def run(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Works on items, and yields the results as they come, in any order. Whoever closes the generator ends the work.

        Args:
            work: what is done with each item.
            items: read a little ahead of the results; they may be drawn while results come.

        Raises:
            PoolError: the pool cannot go on. The results until then were yielded.
        """


def split(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Takes items in chunks.

    Args:
        items: read no further than to the end of a chunk.
        size: items in a chunk; the last may have less.

    Example:
        >>> list(split("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


class InThisProcess:
    """The pool that is this process. An item that ends its process ends the campaign."""

    def run(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Works on one item after the other; see :meth:`Pool.run`."""
        with work.begun() as do:
            for item in items:
                yield do(item)


HERE = InThisProcess()
