"""Runs the scripts of ``launched/`` in a mount namespace of their own, so that their mounts vanish with them."""

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

LIMIT = 250
"""Seconds until a script is ended."""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Starts a script in a new mount namespace."""
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
    """Ends a script and its children. Their mounts and loop devices vanish with the mount namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ask(module: str, question: Any, root: Path) -> Any:
    """Calls the function ``answer`` of a module of ``launched/`` in a mount namespace of its own.

    Args:
        module: name of the module.
        question: the first argument of ``answer``; it is pickled.
        root: an empty directory for files, the second argument of ``answer``.

    Returns:
        The result of ``answer``.
    """
    question_file, answer_file = root / "question", root / "answer"
    question_file.write_bytes(pickle.dumps(question))
    process = start("answer.py", module, question_file, answer_file)
    try:
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        end(process)
    assert process.returncode == 0, output
    return pickle.loads(answer_file.read_bytes())
