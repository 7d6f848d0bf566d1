"""The server that ranks are forked from, run as a program: ``python warm.py DESCRIPTOR ROOT``.

It imports torch, and forks at each request a warden, which forks torchrun, which forks its ranks where it would start interpreters. It has a single
thread of Python, and runs no operation of torch, so that its forks are sound. It ends when the drill closes the line.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import io
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

_WARM = ("torch.distributed.checkpoint", "torch.distributed.run", "ckpt_harness.drill.inside.begin", "ckpt_harness.injection.patching", "ckpt_harness._torch")
"""What every fork shares."""
_OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


class _Become(BaseException):
    """Leaves the server's loop in a fork: the process becomes something else.

    Args:
        run: what it becomes; its result is the exit status.
    """

    def __init__(self, run: Callable[[], int]) -> None:
        super().__init__()
        self.run = run


class _Forked(subprocess.Popen[bytes]):
    """A fork, in the place of a process that ``subprocess`` has started.

    Args:
        pid: the process number.
        words: what the fork stands for.
    """

    def __init__(self, pid: int, words: Sequence[str]) -> None:
        self.args = list(words)
        self.pid = pid
        self.returncode = None
        self.stdin = self.stdout = self.stderr = None
        self._child_created = True
        self._waitpid_lock = threading.Lock()


def serve(control: socket.socket) -> None:
    """Forks a warden at each request, until the drill closes the line."""
    control.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 2)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            raise _Become(functools.partial(_guard, json.loads(message), descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())
        _reap()


def _reap() -> None:
    """Collects wardens that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _guard(request: dict[str, Any], descriptors: Sequence[int]) -> int:
    """In the warden of a start."""
    from ckpt_harness.drill import warden

    atexit._clear()
    os.setsid()
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)

    def begin() -> int:
        pid = os.fork()
        if pid == 0:
            raise _Become(functools.partial(_launch, request))
        return pid

    warden.watch_over(begin)
    return 0


def _launch(request: dict[str, Any]) -> int:
    """In the process of torchrun."""
    from ckpt_harness import _torch

    _begin_anew()
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in enumerate((nothing, log, log)):
        os.dup2(descriptor, target)
    _open_streams()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    sys.argv = ["torchrun", *request["arguments"]]
    _torch.fork_workers(_fork_rank)
    return _as_a_program(functools.partial(_torch.torchrun, request["arguments"]))


def _fork_rank(words: Sequence[str], environment: dict[str, str], stdout: Any, stderr: Any) -> _Forked | None:
    """Starts a rank of torchrun as a fork; None for what is no script of this interpreter."""
    flags = [word for word in words[1:] if word == "-u"]
    rest = list(words[1 + len(flags) :])
    if words[0] != sys.executable or not rest or (rest[0].startswith("-") and rest[0] != "-m"):
        return None
    pid = os.fork()
    if pid == 0:
        os._exit(_end(functools.partial(_rank, rest, environment, stdout, stderr)))
    return _Forked(pid, words)


def _rank(rest: list[str], environment: dict[str, str], stdout: Any, stderr: Any) -> int:
    """In the process of a rank."""
    _begin_anew()
    os.setsid()
    for target, file in ((1, stdout), (2, stderr)):
        if file is not None:
            os.dup2(file.fileno(), target)
    _open_streams()
    os.environ.clear()
    os.environ.update(environment)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # a new interpreter would draw a seed, too
    from ckpt_harness.drill.inside.begin import begin

    begin()
    if rest[0] == "-m":
        sys.argv = rest[1:]
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
        return _as_a_program(functools.partial(runpy.run_module, rest[1], run_name="__main__", alter_sys=True))
    sys.argv = rest
    sys.path.insert(0, os.path.dirname(os.path.abspath(rest[0])))  # noqa: PTH100, PTH120
    return _as_a_program(functools.partial(runpy.run_path, rest[0], run_name="__main__"))


def _begin_anew() -> None:
    """What a fork inherits, and a new process would not have."""
    signal.set_wakeup_fd(-1)
    for number in _OURS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    atexit._clear()
    atexit.register(logging.shutdown)


def _open_streams() -> None:
    """Streams to the descriptors as they are now, unbuffered: torchrun starts its ranks with ``-u``."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = io.TextIOWrapper(os.fdopen(os.dup(number), "wb", 0), encoding="utf-8", errors="backslashreplace", write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _as_a_program(run: Callable[[], object]) -> int:
    """Runs a program as the interpreter would, and returns its exit status."""
    try:
        run()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001  (whatever a program ends with)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _end(run: Callable[[], int]) -> int:
    """Runs what a fork has become, and does what the interpreter does at its end."""
    status = run()
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the program's threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


def main(descriptor: int, root: str) -> None:
    """Imports torch, and serves."""
    control = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    for module in _WARM:
        importlib.import_module(module)
    del sys.path[0]  # the folder of this file
    if root:
        sys.path.remove(root)
    gc.freeze()  # the forks share what is there
    try:
        serve(control)
    except _Become as becomes:
        run = becomes.run
    else:
        return
    while True:
        try:
            os._exit(_end(run))
        except _Become as becomes:  # the fork of a fork
            run = becomes.run


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
