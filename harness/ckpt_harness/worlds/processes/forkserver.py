"""The forkserver: a process that has imported torch, and from which ranks are forked. So a new rank costs only a fork.

The server has a single thread and holds no state of any case. When its parent ends, in whatever way, the server reads end-of-file on their socket; it
then ends its ranks and removes their files. If the server dies, the kernel kills its ranks (``PR_SET_PDEATHSIG``), stopped ranks too.

:class:`Forkserver` is the handle in the parent; :func:`serve` runs in the server.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.worlds.fair_clock import SLICE, FairClock
from ckpt_harness.worlds.interruption import only_waiting

PRELOAD = ("ckpt_harness.worlds.processes.rank", "ckpt_harness.cases.rig", "ckpt_harness.cases.bodies", "torch.distributed.checkpoint.filesystem")
"""Modules that are imported before the first fork. They are named here, not imported, since a world must not depend on the code that runs in it."""
ENVIRONMENT = {
    "GLOO_SOCKET_IFNAME": "lo",  # all ranks are on this machine, whatever its host name resolves to
    "OMP_NUM_THREADS": "1",  # ranks share the machine's cores, and OpenMP does not survive a fork
    "PYTHONUNBUFFERED": "1",  # what a rank has printed is not lost when the rank is killed
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # warnings about killed ranks would be noise
}
"""Environment variables of ranks; they replace those of the parent."""
_LARGEST = 1 << 16
_ANSWER_LIMIT = 120.0
"""Seconds within which the server must answer; at its start, it imports torch. Seconds in which it waits for a processor do not count."""
_END_LIMIT = 30.0
_SET_PDEATHSIG = 1


class Forkserver:
    """A running forkserver. Linux only.

    Args:
        preload: modules to import before the first fork.

    Attributes:
        directory: a temporary directory that the server removes when it ends.

    Raises:
        UsageError: the system is not Linux.
        HarnessError: the server does not start.
    """

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        if not sys.platform.startswith("linux"):
            raise UsageError(f"world 'processes' needs Linux (/proc, PR_SET_PDEATHSIG), not {sys.platform}; valid: world 'simulated'")
        self.directory = tempfile.mkdtemp(prefix="ckpt-harness-ranks-")
        self._control, servers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start = {"path": sys.path, "preload": list(preload), "directory": self.directory, "parent": os.getpid()}
        read = "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start['path']"
        code = f"{read}; from {__name__} import serve; serve({servers_end.fileno()}, start)"
        try:
            with servers_end:
                # In a session of its own, so that Ctrl-C in a terminal reaches the parent only, and no rank in the middle of a case.
                self._server = subprocess.Popen(
                    [sys.executable, "-c", code, json.dumps(start)],
                    pass_fds=[servers_end.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, **ENVIRONMENT},
                )
        except BaseException:
            self._control.close()
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self._owner = os.getpid()
        self._asking = _thread.allocate_lock()
        try:
            with only_waiting():
                self._receive()
        except BaseException:
            self._server.kill()  # it would go on importing torch, and has no ranks yet
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    @property
    def usable(self) -> bool:
        """Whether the server can fork ranks: it runs, and this process started it."""
        return os.getpid() == self._owner and self._control.fileno() != -1 and self._server.poll() is None

    def fork(self, count: int) -> list[tuple[int, socket.socket]]:
        """Starts ranks; each runs :func:`ckpt_harness.worlds.processes.rank.live`.

        Args:
            count: the number of ranks.

        Returns:
            For each rank its process id, which is not reused before :meth:`end`, and the socket to it.
        """
        pairs = [socket.socketpair() for _ in range(count)]
        try:
            pids = self._ask({"do": "fork"}, [ranks_end.fileno() for _, ranks_end in pairs])
        except BaseException:
            for own_end, _ in pairs:
                own_end.close()
            raise
        finally:
            for _, ranks_end in pairs:
                ranks_end.close()
        return [(pid, own_end) for pid, (own_end, _) in zip(pids, pairs, strict=True)]

    def end(self, pids: Iterable[int]) -> None:
        """Kills ranks and the processes that they started, and waits for their end."""
        self._ask({"do": "end", "pids": list(pids)})

    def adopt(self, directory: str) -> None:
        """Makes the server remove a directory if this process ends without removing it."""
        self._ask({"do": "adopt", "directory": directory})

    def check(self) -> None:
        """Checks that the server is alive. Used after the death of a rank, since ranks also die when the server ends.

        Raises:
            HarnessError: the server has ended.
        """
        self._ask({"do": "nothing"})

    def close(self) -> None:
        """Ends the server and all of its ranks."""
        self._control.close()
        if os.getpid() != self._owner:
            return
        try:
            self._server.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> Any:
        try:
            with self._asking:
                socket.send_fds(self._control, [json.dumps(request).encode()], list(fds))
                return self._receive()
        except OSError as error:
            self._control.close()
            raise HarnessError(f"the forkserver has ended: {error}") from error
        except BaseException:
            self._control.close()  # an unread answer would be mistaken for the answer to the next request
            raise

    def _receive(self) -> Any:
        """Waits for the server's answer.

        Raises:
            HarnessError: the server does not answer in time, or has ended.
        """
        clock = FairClock()
        deadline = clock.now() + _ANSWER_LIMIT
        try:
            while not select.select([self._control], [], [], SLICE)[0]:
                clock.tick()
                if clock.now() >= deadline:
                    raise HarnessError(f"the forkserver does not answer for {_ANSWER_LIMIT:g} s")
            answer = self._control.recv(_LARGEST)
        except OSError as error:
            raise HarnessError(f"the forkserver does not answer: {error}") from error
        if not answer:
            raise HarnessError("the forkserver has ended; see its output above")
        return json.loads(answer)


# -- in the server


def serve(fd: int, start: dict[str, Any]) -> None:
    """Answers requests until the parent has ended.

    Args:
        fd: descriptor of the socket.
        start: ``preload`` (module names), ``directory`` (removed at the end), ``parent`` (process id of the parent).
    """
    control = socket.socket(fileno=fd)
    ranks: set[int] = set()
    directories = {start["directory"]}
    tempfile.tempdir = start["directory"]  # so the temporary files of ranks are removed with the server, however a rank ends

    def leave(*_: object) -> None:
        if os.getppid() != start["parent"]:  # the kernel also sends the signal when only the thread that started this process has ended
            _end(ranks, directories)
            os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    _die_with_parent(signal.SIGTERM)
    leave()
    _prepare(start["preload"])
    with contextlib.suppress(OSError):
        control.send(b"null")
        while True:
            message, fds, _, _ = socket.recv_fds(control, _LARGEST, 1024)
            if not message:
                break
            control.send(json.dumps(_answer(json.loads(message), fds, control, ranks, directories)).encode())
    _end(ranks, directories)
    os._exit(0)  # preloaded modules may have slow exit handlers


def _prepare(preload: Iterable[str]) -> None:
    import gc

    for name in preload:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # so that the garbage collector of a rank does not touch, and thereby copy, pages shared with the server


def _answer(request: dict[str, Any], fds: Sequence[int], control: socket.socket, ranks: set[int], directories: set[str]) -> Any:
    if request["do"] == "fork":
        pids = [_fork(fd, [control.fileno(), *fds]) for fd in fds]
        for fd in fds:
            os.close(fd)
        ranks.update(pids)
        return pids
    if request["do"] == "end":
        _kill(pid for pid in request["pids"] if pid in ranks)
        ranks.difference_update(request["pids"])
    elif request["do"] == "adopt":
        directories.add(request["directory"])
    return None


def _fork(fd: int, inherited: Iterable[int]) -> int:
    server = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _die_with_parent(signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for other in inherited:
            if other != fd:
                os.close(other)
        from ckpt_harness.worlds.processes.rank import live

        live(fd)
    finally:
        os._exit(1)


def _kill(pids: Iterable[int]) -> None:
    """Kills ranks and the processes that they started; these are in the same Unix process groups."""
    killed = list(pids)
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for pid in killed:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _end(ranks: set[int], directories: set[str]) -> None:
    _kill(ranks)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def _die_with_parent(number: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, number)


