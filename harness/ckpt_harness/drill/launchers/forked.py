"""Ranks forked from a process that has torch imported: ``torchrun script.py`` without the seconds that each interpreter and each import cost.

torchrun itself runs, as it is: its own code numbers the ranks, sets their variables, restarts them, and ends them when one dies. Only the processes are
forks, and not new interpreters. So a rank has torch imported before its program imports it, and all starts share the seed of Python's hashes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ckpt_harness.drill.launchers import warm
from ckpt_harness.drill.launchers.real import RealLauncher
from ckpt_harness.drill.launchers.warded import WardedCommand
from ckpt_harness.errors import EngineError

_PATIENCE = 120.0
"""Seconds in which the server must have imported torch."""
_CAN_FORK = sys.version_info >= (3, 11)
"""pathlib of Python 3.10 keeps functions of ``os`` from before the fork, so that a drill would not see what the ranks do with files."""


def arguments_of_torchrun(words: Sequence[str]) -> list[str] | None:
    """The arguments of torchrun in a command; None if the command is no torchrun of this interpreter.

    Args:
        words: the command.

    Example:
        >>> arguments_of_torchrun([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "train.py"])
        ['--nproc-per-node', '2', 'train.py']
        >>> arguments_of_torchrun(["sh", "train.sh"])
    """
    program = shutil.which(words[0]) if words else None
    if program is None:
        return None
    if Path(program).name == "torchrun" and _interpreter_of(program) == _real(sys.executable):
        return list(words[1:])
    if _real(program) == _real(sys.executable) and len(words) > 2 and words[1] == "-m" and words[2] == "torch.distributed.run":
        return list(words[3:])
    return None


def _interpreter_of(script: str) -> str:
    """The interpreter in the first line of a script."""
    with Path(script).open("rb") as file:
        first = file.readline(500).decode("utf-8", "replace")
    return _real(first.removeprefix("#!").strip().split(" ")[0]) if first.startswith("#!") else ""


def _real(path: str) -> str:
    """An interpreter with its environment: links of the environment's own folder are kept."""
    return os.path.join(os.path.realpath(Path(path).parent), os.path.basename(os.path.realpath(path)))  # noqa: PTH118, PTH119


class ForkedLauncher:
    """Starts torchrun in forks of a server.

    Args:
        environment: the environment of the server. What torch reads when it is imported must be as the ranks will have it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = str(Path(warm.__file__).parents[3])
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        root = "" if package in paths or "site-packages" in package else package  # what the server needs, and its forks must not see
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, warm.__file__, str(theirs.fileno()), root],
                stdin=subprocess.DEVNULL,
                env={"OMP_NUM_THREADS": "1", **environment, "PYTHONPATH": os.pathsep.join(filter(None, (*paths, root)))},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours
        self._control.settimeout(_PATIENCE)
        if self._receive() != "ready":
            self.close()
            raise EngineError("the server that ranks are forked from cannot import torch; --launcher real does without")

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> WardedCommand:
        arguments = arguments_of_torchrun(words)
        assert arguments is not None
        keeps, line = os.pipe()
        news, says = os.pipe()
        request = {"arguments": arguments, "environment": dict(environment), "log": str(log), "directory": str(Path.cwd())}
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [keeps, says])
        finally:
            os.close(keeps)
            os.close(says)
        pid = int(self._receive() or 0)
        running = WardedCommand(pid, os.fdopen(line, "wb", 0), os.fdopen(news, "rb", 0), lambda: None)
        running.check(words[0])
        return running

    def _receive(self) -> str:
        try:
            return self._control.recv(100).decode()
        except OSError:
            return ""

    def close(self) -> None:
        self._control.close()
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


class ChoosingLauncher:
    """Forks what it can, and starts everything else as it is."""

    def __init__(self) -> None:
        self._real = RealLauncher()
        self._forked: ForkedLauncher | None = None

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> WardedCommand:
        if not _CAN_FORK or arguments_of_torchrun(words) is None:
            return self._real.start(words, environment, log)
        if self._forked is None:
            self._forked = ForkedLauncher(os.environ)
        return self._forked.start(words, environment, log)

    def close(self) -> None:
        if self._forked is not None:
            self._forked.close()
