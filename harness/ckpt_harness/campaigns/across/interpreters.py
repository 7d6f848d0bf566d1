"""Python interpreters with a torch of their own: how one is started, how its answers are read, and what it is."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ckpt_harness.campaigns.across import boot
from ckpt_harness.campaigns.across.elsewhere import DONE, Answer
from ckpt_harness.errors import UsageError, cut, quoted
from ckpt_harness.worlds.interruption import only_waiting
from ckpt_harness.worlds.launcher import VARIABLES

OLDEST_TORCH = (2, 9)
LIMIT = 300.0
"""Seconds that an interpreter may take for each answer. The first waits for the import of torch, which takes long on a busy machine."""


class Ended(Exception):
    """An interpreter ended, or had to be ended, before it had done its job. The message says how, in one line."""


class Interpreter:
    """A Python that does jobs of :mod:`ckpt_harness.campaigns.across.elsewhere`, in one process as long as that lives.

    Args:
        path: the interpreter.
        limit: seconds that each answer may take.
    """

    def __init__(self, path: str, limit: float = LIMIT) -> None:
        self._path, self._limit = path, limit
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Iterator[bytes] = iter(())
        self._resources = contextlib.ExitStack()

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.kill()  # does nothing if it has ended
        self._process = None
        self._resources.close()

    def answers(self, job: Answer) -> Iterator[Answer]:
        """Has the job done. A process that has ended is replaced by another.

        Args:
            job: what to do.

        Yields:
            Each answer, as soon as it is there.

        Raises:
            Ended: the process could not be started, took too long, or ended. It is gone then.
        """
        try:
            with contextlib.suppress(BrokenPipeError):  # its end is noticed below
                self._started().write(json.dumps(job).encode() + b"\n")
            for line in self._lines:
                answer = _object(line)
                if answer == DONE:
                    return
                yield answer
            raise Ended(self._ending())
        except BaseException:
            self.close()
            raise

    def _started(self) -> IO[bytes]:
        """Starts the process, unless it runs. Returns its stdin.

        Raises:
            Ended: it cannot be started.
        """
        if self._process is None:
            self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
            self._resources.callback(self._complaints.close)
            # Not stdout: whatever is imported may print to it.
            read, write = os.pipe()
            reading = self._resources.enter_context(os.fdopen(read, "rb", buffering=0))
            streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": self._complaints, "stderr": self._complaints}
            try:
                command = [self._path, boot.__file__, str(write)]
                self._process = subprocess.Popen(command, bufsize=0, env=_environment(), pass_fds=(write,), **streams)
            except OSError as error:
                raise Ended(error.strerror or str(error)) from error
            finally:
                os.close(write)
            self._resources.enter_context(self._process)
            self._lines = _lines(reading, self._limit)
        assert self._process.stdin is not None
        return self._process.stdin

    def _ending(self) -> str:
        """How a process that answers no more has failed, with the last line that it printed."""
        assert self._process is not None
        try:
            status = self._process.wait(self._limit)
        except subprocess.TimeoutExpired:
            return f"it answers no more, and did not end within {self._limit:g} s"
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        return f"{how}: {cut(last, 160)}" if last else how


def _environment() -> dict[str, str]:
    """The variables of this process without those that speak of this interpreter, of a launcher, or of a plan."""
    own = ("PYTHON", "CKPT_HARNESS", "VIRTUAL_ENV", "COV_", "TORCHELASTIC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own) and name not in {*VARIABLES, "LOCAL_RANK"}}


def _lines(reading: IO[bytes], limit: float) -> Iterator[bytes]:
    """Yields what comes through a pipe, line by line, until all of its writers have closed it.

    Raises:
        Ended: it takes too long for a line.
    """
    rest = b""
    while True:
        with only_waiting():
            answered = select.select([reading], [], [], limit)[0]
        if not answered:
            raise Ended(f"no answer within {limit:g} s")
        piece = reading.read(1 << 16)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _object(line: bytes) -> Answer:
    """Reads an answer.

    Raises:
        Ended: the line is no JSON object.
    """
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Ended(f"it answered {quoted(line)}")
    return answer


@dataclass(frozen=True)
class Release:
    """A release of torch, in an interpreter of its own.

    Attributes:
        interpreter: the interpreter.
        torch: the version of its torch, such as ``2.15.0+cpu``.
        python: the version of Python.
        label: what tables call it: the version of torch, without a local part.
    """

    interpreter: Interpreter
    torch: str
    python: str
    label: str


def releases(paths: Sequence[str], engine: str, until: contextlib.ExitStack) -> dict[str, Release]:
    """Asks interpreters what they are, each once.

    Args:
        paths: the interpreters; a name without a slash is looked up on ``PATH``.
        engine: name of the engine that each must be able to run.
        until: ends the interpreters.

    Returns:
        Path as it was given -> the release. Two ways to write the path of one interpreter lead to one release.

    Raises:
        UsageError: one of them cannot be used. The message says why, in one line.
    """
    located = {path: _located(path) for path in paths}
    by_place: dict[str, Release] = {}
    for place in dict.fromkeys(located.values()):
        interpreter = Interpreter(place)
        until.callback(interpreter.close)
        by_place[place] = _asked(place, interpreter, engine, [release.label for release in by_place.values()])
    return {path: by_place[place] for path, place in located.items()}


def _located(path: str) -> str:
    """The absolute path of an interpreter. Symlinks stay: the interpreter of a virtual environment is one."""
    place = shutil.which(path) if os.sep not in path else os.path.abspath(path)  # noqa: PTH100  (Path.absolute() leaves ".." in)
    if place is None:
        raise UsageError(f"interpreter {quoted(path)} is not on PATH; valid: the path of a Python such as .venv/bin/python")
    if Path(place).is_dir():
        raise UsageError(f"interpreter {quoted(path)} is a directory; valid: the path of a Python such as {path.rstrip(os.sep)}/bin/python")
    if not Path(place).exists():
        raise UsageError(f"interpreter {quoted(path)} does not exist; valid: the path of a Python such as .venv/bin/python")
    return place


def _asked(path: str, interpreter: Interpreter, engine: str, taken: Sequence[str]) -> Release:
    """Asks an interpreter what it is.

    Args:
        path: where it is.
        interpreter: the interpreter.
        engine: name of the engine.
        taken: labels of other releases.

    Raises:
        UsageError: it cannot be used.
    """
    who = f"interpreter {quoted(path)}"
    answers: list[Answer] = []
    try:
        for answer in interpreter.answers({"do": "look", "engine": engine}):
            answers.append(answer)  # noqa: PERF402  (what came before an error counts)
    except Ended as problem:
        if not answers:  # an old Python says what it is, and ends
            raise UsageError(f"{who} is no working Python: {cut(str(problem))}") from problem
    python, torch, error = (str(answers[0].get(name, "")) for name in ("python", "torch", "error"))
    if _numbers(python) < boot.OLDEST_PYTHON:
        raise UsageError(f"{who} is Python {python}; valid: {'.'.join(map(str, boot.OLDEST_PYTHON))} or later")
    if not torch:
        raise UsageError(f"{who} has no torch: {cut(error)}")
    if _numbers(torch) < OLDEST_TORCH:
        raise UsageError(f"{who} has torch {torch}; valid: {'.'.join(map(str, OLDEST_TORCH))} or later")
    if error:
        raise UsageError(f"{who}, torch {torch}: {cut(error)}")
    label = torch.partition("+")[0]
    same = [other for other in taken if other == label or other.startswith(f"{label} #")]
    return Release(interpreter, torch, python, f"{label} #{len(same) + 1}" if same else label)


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
