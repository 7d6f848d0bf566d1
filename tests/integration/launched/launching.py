"""Runs the scripts of this directory, and leaves nothing of them running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import harness

HERE = Path(__file__).parent
LIMIT = 110
"""Seconds that a launched script may take; some import torch in three processes, on a machine that runs other tests beside them."""


def launch(arguments: list[str], root: Path, **environment: str) -> tuple[int, str]:
    """Runs Python with ``arguments``, of which those that end in ``.py`` are scripts of this directory, and ``root`` for all files.

    Returns:
        Exit status and output.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``LIMIT``; it and whatever it started has been ended.
    """
    paths = [str(Path(harness.__file__).parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "EXAMPLES_ROOT": str(root), "TMPDIR": str(root), **environment}
    command = [sys.executable, *(str(HERE / one) if one.endswith(".py") else one for one in arguments)]
    process = subprocess.Popen(
        command, env=surroundings, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # ranks that outlived their launcher
        process.wait()
    return process.returncode, output
