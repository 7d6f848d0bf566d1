"""The corpus: a directory with a file for each job that failed. What failed once is run first, and what holds again is put aside.

Several processes may share a directory. A file is written whole or not at all, and its name follows from what it holds: so two processes that find the
same job write the same file, and whichever comes second finds the work done.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ckpt_harness import __version__
from ckpt_harness.errors import HarnessError, UsageError, cut, quoted
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.lines import job_of_line
from ckpt_harness.jobs.program import program
from ckpt_harness.jobs.record import JobRecord

SUFFIX = ".job"
"""How the names of the files end."""
HEALED = "healed"
"""The directory, within the corpus, of the jobs that hold again."""

_BROKEN = "broken: "
_SEEN = "first seen: "
_LARGEST = 1_000_000
"""Bytes of a file. Larger files were not written by a corpus."""


@dataclass(frozen=True)
class Remembered:
    """A job that failed once.

    Attributes:
        job: the job.
        claims: what was broken.
        first_seen: the versions with which it was first seen to fail.
    """

    job: Job
    claims: tuple[str, ...] = ()
    first_seen: str = ""

    @classmethod
    def of(cls, record: JobRecord) -> Remembered:
        """What a corpus keeps of a job that fails here and now."""
        return cls(record.job, record.claims, versions())

    @property
    def name(self) -> str:
        """The name of its file: the first claim, and a digest of the job.

        Example:
            >>> Remembered(Job.parse("save a"), ("agreement of save",)).name
            'agreement-of-save-c3f813e4.job'
        """
        claim = "".join(letter if letter.isalnum() else "-" for letter in (self.claims or ("failed",))[0])
        return f"{claim}-{hashlib.sha256(self.job.replay_line().encode()).hexdigest()[:8]}{SUFFIX}"

    def text(self, happened: tuple[str, ...] = ()) -> str:
        """The content of its file: a line for the shell, what was broken, and the program.

        Args:
            happened: for each operation, what happened in it, in words.
        """
        lines = [self.job.replay_line(), "", *(f"{_BROKEN}{claim}" for claim in self.claims), f"{_SEEN}{self.first_seen}", ""]
        return "\n".join([*lines, *program(self.job, happened), ""])


def versions() -> str:
    """The versions that decide whether a job fails.

    Example:
        >>> versions().startswith("ckpt-harness ")
        True
    """
    return f"ckpt-harness {__version__}, torch {importlib.metadata.version('torch')}"


def read(path: Path) -> Remembered:
    """Reads a file of a corpus.

    Raises:
        UsageError: the file cannot be read, or holds no job that can run; in one line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = file.read(_LARGEST).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{quoted(str(path))} cannot be read: {cut(str(error), 80)}") from error
    try:
        job = job_of_line(lines[0] if lines else "")
        bind_job(job)
    except HarnessError as error:
        raise UsageError(f"{quoted(path.name)} holds no job that can run: {cut(str(error), 110)}") from error
    claims = tuple(line.removeprefix(_BROKEN) for line in lines if line.startswith(_BROKEN))
    seen = next((line.removeprefix(_SEEN) for line in lines if line.startswith(_SEEN)), "")
    return Remembered(job, claims, seen)


class Corpus:
    """A directory of jobs that failed.

    Args:
        folder: the directory; it is made when something is to be kept.

    Raises:
        UsageError: there is a file of this name.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"corpus {quoted(str(folder))} is a file; valid: a directory")
        self.folder = folder
        self.unreadable: list[str] = []
        """A line for each file that holds no job."""

    def __iter__(self) -> Iterator[Remembered]:
        """Reads every file, in the order of names; :attr:`unreadable` has the others."""
        self.unreadable = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else ():
            try:
                yield read(path)
            except UsageError as error:
                if path.exists():  # else another process has put it aside
                    self.unreadable.append(str(error))

    def add(self, remembered: Remembered, happened: tuple[str, ...] = ()) -> None:
        """Keeps a job that fails. A file of the same job stays as it is: it says when the job was first seen.

        Args:
            remembered: the job.
            happened: for each operation, what happened in it, in words.

        Raises:
            UsageError: the directory cannot be written.
        """
        path = self.folder / remembered.name
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                return
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(remembered.text(happened))
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)

    def heal(self, remembered: Remembered) -> None:
        """Puts a job aside that holds now.

        Args:
            remembered: the job.

        Raises:
            UsageError: the directory cannot be written.
        """
        with self._writing(), contextlib.suppress(FileNotFoundError):  # another process was first
            for path in self._files_of(remembered):
                (self.folder / HEALED).mkdir(exist_ok=True)
                path.replace(self.folder / HEALED / path.name)

    def _files_of(self, remembered: Remembered) -> list[Path]:
        """The files of a job, whatever their names: users may rename them."""
        return [path for path in self.folder.glob(f"*{SUFFIX}") if _first_line(path) == remembered.job.replay_line()]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"corpus {quoted(str(self.folder))} cannot be written: {error.strerror}") from error


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline(_LARGEST).rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return ""
