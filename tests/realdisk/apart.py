"""Runs the scripts of ``launched/`` apart: in a mount namespace of their own, and leaves nothing of them."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from needs import LAUNCHED

import ckpt_harness

LIMIT = 110
"""Seconds that a script may take."""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Starts Python with a script, which may mount what it likes."""
    path = os.pathsep.join([str(Path(ckpt_harness.__file__).parents[1]), str(LAUNCHED), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        ["unshare", "--mount", sys.executable, LAUNCHED / script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Ends a script, and all that it started; their mounts, and the devices below, go with them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ask(module: str, question: Any, root: Path) -> Any:
    """Has the function ``answer`` of a module called apart, with ``root``, an empty directory, for its files; returns what it returns."""
    asked, told = root / "asked", root / "told"
    asked.write_bytes(pickle.dumps(question))
    process = start("answer.py", module, asked, told)
    try:
        said, _ = process.communicate(timeout=LIMIT)
    finally:
        end(process)
    assert process.returncode == 0, said
    return pickle.loads(told.read_bytes())
