"""Runs the scripts of this directory, and leaves nothing of them running."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import ckpt_harness

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "docs/examples"
FOLDERS = (HERE, EXAMPLES / "launchers", EXAMPLES / "trainer")
"""Where the scripts are."""
LIMIT = 250
"""Seconds that a launched script may take; some import torch in three processes, on a machine that runs other tests beside them."""


def launch(arguments: list[str], root: Path, **environment: str) -> tuple[int, str]:
    """Runs Python with ``arguments``, of which those that end in ``.py`` are scripts of :data:`FOLDERS`, and ``root`` for all files.

    Returns:
        Exit status and output.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``LIMIT``; it and whatever it started has been ended.
    """
    ((status, output),) = launch_all([(arguments, environment)], root)
    return status, output


def _found(argument: str) -> str:
    """The path of a script that is named without one."""
    if not argument.endswith(".py") or "/" in argument:
        return argument
    return next(str(folder / argument) for folder in FOLDERS if (folder / argument).is_file())


def launch_all(commands: list[tuple[list[str], dict[str, str]]], root: Path) -> list[tuple[int, str]]:
    """Runs several at once, each with an environment of its own; see :func:`launch`."""
    paths = [str(Path(ckpt_harness.__file__).parents[1]), *map(str, FOLDERS), os.environ.get("PYTHONPATH", "")]
    shared = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "EXAMPLES_ROOT": str(root), "TMPDIR": str(root)}
    deadline = time.monotonic() + LIMIT
    processes: list[subprocess.Popen[str]] = []
    try:
        for number, (arguments, environment) in enumerate(commands):
            command = [sys.executable, *(_found(one) for one in arguments)]
            with (root / f"output-{number}").open("w", encoding="utf-8") as output:
                processes.append(
                    subprocess.Popen(
                        command, env={**shared, **environment}, cwd=root, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
                    )
                )
        statuses = [process.wait(timeout=max(0.0, deadline - time.monotonic())) for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # ranks that outlived their launcher
            process.wait()
    return [(status, (root / f"output-{number}").read_text("utf-8")) for number, status in enumerate(statuses)]


def launch_ranks(arguments: list[str], root: Path, ranks: int) -> list[tuple[int, str]]:
    """Runs the same program as so many ranks, as a launcher does that sets torch's four variables and does not look after its ranks."""
    port = str(free_port())
    environments = [{"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} for rank in range(ranks)]
    return launch_all([(arguments, environment) for environment in environments], root)


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
