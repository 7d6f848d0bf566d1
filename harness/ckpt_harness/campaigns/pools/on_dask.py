"""The pool that is a Dask cluster: chunks of items are tasks, and any machine of the cluster works on them.

An item that ends the process which works on it is found by :mod:`ckpt_harness.campaigns.pools.worker`; the worker of Dask lives on.

If a worker of Dask dies, Dask runs its tasks again elsewhere. It gives up a task whose workers died several times in succession
(``distributed.scheduler.allowed-failures``), and blames all tasks alike that such a worker had. So the items of the task become suspects: each is tried
once more, while the cluster does nothing else, and is lost if its workers die again.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckpt_harness.campaigns.pools import dask_worker
from ckpt_harness.campaigns.pools.base import Item, PoolError, Result, Work, split
from ckpt_harness.campaigns.pools.outcomes import Lost, Outcome, results
from ckpt_harness.errors import HarnessError, UsageError, described, quoted

if TYPE_CHECKING:
    from distributed import Client, Future

SCHEME = "dask://"
_AHEAD = 3
"""Chunks for each thread of the cluster that are with the scheduler: a thread never waits, and a long campaign does not fill the scheduler's memory."""
_FEWEST = 256
"""Chunks that are with the scheduler at least. A cluster that grows with its work may have no worker yet."""
_CLOSING = 1.0
"""Seconds for the farewell to the scheduler. Whatever happens, the scheduler drops the tasks of a client that is gone."""


class DaskPool:
    """The workers of a Dask cluster.

    Args:
        address: of the scheduler, ``dask://HOST:PORT``.
        files: files of the user that the work imports, such as an engine; see :class:`ckpt_harness.campaigns.pools.dask_worker.FromClient`.
    """

    def __init__(self, address: str, files: Sequence[str] = ()) -> None:
        self._address = address
        self._digests = {file: dask_worker.digest_of(file) for file in files}

    def check(self) -> str:
        """Makes sure that the cluster can work, before anything runs.

        Returns:
            The size of the cluster, in words.

        Raises:
            UsageError: Dask is not installed, there is no such scheduler, or a worker has other versions.
        """
        with self._client() as client:
            try:
                client.run_on_scheduler(dask_worker.answer)
            except Exception as error:
                what = f"the scheduler {self._address} cannot pass on work: {described(error)}"
                raise UsageError(f"{what}; valid: ckpt-harness installed where the scheduler runs") from error
            wanted = dask_worker.versions()
            found = client.run(dask_worker.versions, on_error="return")
            for address, theirs in found.items():
                if isinstance(theirs, Exception):
                    raise UsageError(f"worker {address} cannot work: {described(theirs)}; valid: ckpt-harness and torch installed on every worker")
                dask_worker.check_versions(wanted, theirs, address)
            return f"{self._address}: {_counted(client.nthreads())}"

    def run(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Works on items; see :meth:`ckpt_harness.campaigns.pools.base.Pool.run`."""
        pickled = pickle.dumps(dask_worker.FromClient(work, str(Path.cwd()), self._digests))
        with self._client() as client:
            for chunk, outcomes in self._connected(_Tasks(client, pickled).outcomes(split(items))):
                yield from results(work, chunk, outcomes)

    def _connected(self, outcomes: Iterator[tuple[list[Item], list[Outcome]]]) -> Iterator[tuple[list[Item], list[Outcome]]]:
        """The outcomes, as long as there is a connection to the scheduler.

        Raises:
            PoolError: there is none any more.
        """
        try:
            yield from outcomes
        except OSError as error:
            raise PoolError(f"the connection to the scheduler {quoted(self._address)} is lost: {described(error)}") from error

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        """A connection to the scheduler. At its end the scheduler drops what is left of the tasks."""
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError("--on needs dask.distributed, which is not installed: pip install 'ckpt-harness[dask]'") from error
        try:
            client = Client(f"tcp://{self._address.removeprefix(SCHEME)}", set_as_default=False, name="ckpt-harness")
        except OSError as error:
            raise UsageError(f"no Dask scheduler answers at {quoted(self._address)}; `dask scheduler` starts one") from error
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=_CLOSING)


class _Tasks:
    """The tasks of one run.

    Args:
        client: the connection to the scheduler.
        work: what is done with each item, pickled.
    """

    def __init__(self, client: Client, work: bytes) -> None:
        from distributed import as_completed

        self._client = client
        self._work = work
        self._run = uuid.uuid4().hex
        self._versions = dask_worker.versions()
        self._numbers = itertools.count()
        self._given: dict[Any, list[Any]] = {}
        self._suspects: deque[Any] = deque()
        self._alone = False
        self._finished = as_completed(loop=client.loop, with_results=True, raise_errors=False)

    def outcomes(self, chunks: Iterator[list[Item]]) -> Iterator[tuple[list[Item], list[Outcome]]]:
        """Yields each chunk with what became of its items, as they come."""
        most = _FEWEST
        for turn in itertools.count():
            if turn % _FEWEST == 0:  # workers come and go
                most = max(_FEWEST, _AHEAD * sum(self._client.nthreads().values()))
            self._submit_more(chunks, most)
            if not self._given:
                return
            future, result = next(self._finished)
            chunk = self._given.pop(future.key)
            if future.status == "finished":
                self._alone = False
                yield chunk, result
            else:
                yield from self._unfinished(chunk, future, result)

    def _submit_more(self, chunks: Iterator[list[Item]], most: int) -> None:
        """Submits what may be submitted now: where there are suspects, one suspect while nothing else is under way."""
        if not self._suspects and not self._alone:
            while len(self._given) < most and (chunk := next(chunks, None)):
                self._submit(chunk)
        elif not self._given:
            self._alone = True
            self._submit([self._suspects.popleft()])

    def _submit(self, chunk: list[Item]) -> None:
        items = [pickle.dumps(item) for item in chunk]
        key = (f"ckpt-harness-{self._run}", next(self._numbers))
        future = self._client.submit(dask_worker.do, self._run, self._versions, self._work, items, key=key, pure=False)
        self._given[key] = chunk
        self._finished.add(future)

    def _unfinished(self, chunk: list[Item], future: Future, result: Any) -> Iterator[tuple[list[Item], list[Outcome]]]:
        """A task has no result: its items become suspects, or the suspect is lost.

        Raises:
            PoolError: that is not because workers died.
        """
        from distributed import KilledWorker

        if future.status != "error":
            raise PoolError(f"the scheduler is gone, or dropped the tasks: {len(self._given) + 1} chunks have no result")
        error = result[1]
        if not isinstance(error, KilledWorker):
            raise error if isinstance(error, HarnessError) else PoolError(f"a task failed on the cluster: {described(error)}")
        if self._alone:
            self._alone = False
            yield chunk, [Lost(0, "ended with its Dask worker, even while the cluster ran nothing else")]
        else:
            self._suspects.extend(chunk)


def _counted(threads: Mapping[str, int]) -> str:
    """The size of a cluster, in words."""
    if not threads:
        return "no worker yet; cases wait until there are workers"
    total = sum(threads.values())
    return f"{len(threads)} worker{'s' * (len(threads) != 1)}, {total} case{'s' * (total != 1)} at a time"
