"""The process that ranks are forked from: torch is imported once, and a rank costs a fork.

It is single-threaded and holds no state of any case. It ends its ranks and removes their files when whoever started it is gone, however that
happened: it reads end-of-file on the socket that connects them. Ranks die with it by ``PR_SET_PDEATHSIG``, which reaches stopped ones too.

:class:`Forkserver` is the handle in the process that wants ranks; :func:`serve` is what runs in the server.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from ckpt_harness.errors import HarnessError, UsageError

PRELOAD = ("ckpt_harness.worlds.processes.rank", "ckpt_harness.cases.rig", "ckpt_harness.cases.bodies", "torch.distributed.checkpoint.filesystem")
"""What every rank finds imported. Names, not imports: a world must not depend on what runs in it."""
ENVIRONMENT = {
    "GLOO_SOCKET_IFNAME": "lo",  # ranks are on this machine, whatever its host name resolves to
    "OMP_NUM_THREADS": "1",  # ranks share the machine's cores, and forked OpenMP pools do not work
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # a killed peer is no news here
}
"""What ranks have in theirs, whatever their parent has."""
_LARGEST = 1 << 16
_START_LIMIT = 120.0
_END_LIMIT = 30.0
_SET_PDEATHSIG = 1


class Forkserver:
    """A running server. Linux only.

    Args:
        preload: modules to import before the first fork.

    Attributes:
        directory: a temporary directory that goes away with the server.

    Raises:
        UsageError: not on Linux.
        HarnessError: the server does not start.
    """

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        if not sys.platform.startswith("linux"):
            raise UsageError(f"ranks as processes need Linux (/proc, PR_SET_PDEATHSIG), not {sys.platform}; valid: simulated ranks")
        self.directory = tempfile.mkdtemp(prefix="ckpt-harness-ranks-")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start = {"path": sys.path, "preload": list(preload), "directory": self.directory, "parent": os.getpid()}
        code = f"import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start['path']; from {__name__} import serve; serve({theirs.fileno()}, start)"
        try:
            with theirs:
                # A session of its own: Ctrl-C in a terminal is for the parent to answer, not for ranks in the middle of a case.
                self._server = subprocess.Popen(
                    [sys.executable, "-c", code, json.dumps(start)],
                    pass_fds=[theirs.fileno()],
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
        self._control.settimeout(_START_LIMIT)
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._server.pid

    @property
    def usable(self) -> bool:
        """Whether ranks can be had from it: it runs, and this process started it."""
        return os.getpid() == self._owner and self._control.fileno() != -1 and self._server.poll() is None

    def fork(self, count: int) -> list[tuple[int, socket.socket]]:
        """Starts ranks; each runs :func:`ckpt_harness.worlds.processes.rank.live`.

        Returns:
            For each its process id, which stays its own until :meth:`end`, and the socket to it.
        """
        pairs = [socket.socketpair() for _ in range(count)]
        try:
            pids = self._ask({"do": "fork"}, [theirs.fileno() for _, theirs in pairs])
        except BaseException:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        return [(pid, ours) for pid, (ours, _) in zip(pids, pairs, strict=True)]

    def end(self, pids: Iterable[int]) -> None:
        """Kills ranks, with what they started, and waits until they are gone."""
        self._ask({"do": "end", "pids": list(pids)})

    def adopt(self, directory: str) -> None:
        """Has the server remove a directory too, if this process ends without doing so."""
        self._ask({"do": "adopt", "directory": directory})

    def check(self) -> None:
        """Makes sure that ranks which died did not do so for the server's sake.

        Raises:
            HarnessError: it has ended.
        """
        self._ask({"do": "nothing"})

    def close(self) -> None:
        """Ends the server, and all ranks with it."""
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
            raise HarnessError(f"the forkserver is gone: {error}") from error
        except BaseException:
            self._control.close()  # an answer that nobody fetched would be taken for that to the next question
            raise

    def _receive(self) -> Any:
        try:
            answer = self._control.recv(_LARGEST)
        except OSError as error:
            raise HarnessError(f"the forkserver does not answer: {error}") from error
        if not answer:
            raise HarnessError("the forkserver has ended; what it printed says why")
        return json.loads(answer)


# -- in the server


def serve(fd: int, start: dict[str, Any]) -> None:
    """Answers requests until nobody is left to ask.

    Args:
        fd: the socket.
        start: ``preload`` (module names), ``directory`` (removed at the end), ``parent`` (process id of whoever asks).
    """
    control = socket.socket(fileno=fd)
    ranks: set[int] = set()
    directories = {start["directory"]}
    tempfile.tempdir = start["directory"]  # what ranks put there goes with the server, however a rank ends

    def leave(*_: object) -> None:
        if os.getppid() != start["parent"]:  # the kernel also signals when only the thread that started this process has ended
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
    os._exit(0)  # what was preloaded may have exit handlers that take their time


def _prepare(preload: Iterable[str]) -> None:
    import gc

    for name in preload:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # the collector of a rank need not look at, and so copy, the pages that it shares with the server


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
    """Kills ranks and the processes that they started, which are in their process groups."""
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


