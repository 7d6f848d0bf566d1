"""What a search has found: known findings, and new ways to fail, each once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import JobRecord, contains
from ckpt_harness.jobs.simplicity import simplicity

TRIES = 3
"""Jobs that are shrunk although they break the same claims at the same sites as another: they may fail for another reason."""


@dataclass
class Failure:
    """A way to fail.

    Attributes:
        record: the simplest job that fails in this way.
        times: how many jobs failed in this way.
        runs: how many runs it took to shrink the job; 0 if it was not shrunk.
        old: whether the corpus had it.
    """

    record: JobRecord
    times: int = 1
    runs: int = 0
    old: bool = False


@dataclass
class Found:
    """Failures and known findings.

    Attributes:
        failures: each way to fail, in the order in which they were found.
        known: id of a known finding -> the simplest job that showed it.
        shown: id of a known finding -> how many jobs showed it.
        shrunk: id of a known finding whose job was shrunk -> how many runs it took.
    """

    failures: list[Failure] = field(default_factory=list)
    known: dict[str, Job] = field(default_factory=dict)
    shown: Counter[str] = field(default_factory=Counter)
    shrunk: dict[str, int] = field(default_factory=dict)
    _alike: Counter[tuple[object, ...]] = field(default_factory=Counter)

    def note_known(self, record: JobRecord) -> None:
        """Counts the known findings that a job shows."""
        self.shown.update(record.known)
        self._prefer(record)

    def note_shrunk(self, record: JobRecord, name: str, runs: int) -> None:
        """Notes a job that was shrunk as far as it shows a known finding.

        Args:
            record: the job.
            name: id of the finding.
            runs: how many runs it took.
        """
        self.shrunk[name] = runs
        self._prefer(record)

    def _prefer(self, record: JobRecord) -> None:
        """Keeps the simplest job for each known finding."""
        for name in record.known:
            if name not in self.known or simplicity(record.job) < simplicity(self.known[name]):
                self.known[name] = record.job

    def is_worth_shrinking(self, record: JobRecord) -> bool:
        """Whether a job that fails may fail in a new way. Counts the job where it does not.

        A job that does everything that a known failure does, and breaks the same claims, is taken for that failure.

        Args:
            record: a job that fails.
        """
        for failure in self.failures:
            if failure.record.breaks(record.target) and contains(record.job, failure.record.job):
                failure.times += 1
                return False
        key = (record.claims, tuple(sorted(fault.site for fault in record.job.faults if str(fault) in record.fired)))
        self._alike[key] += 1
        return self._alike[key] <= TRIES

    def add(self, record: JobRecord, runs: int = 0, *, old: bool = False) -> Failure | None:
        """Adds a job that fails, shrunk as far as it goes. Returns the new way to fail, or None if it is an old way.

        Args:
            record: the job.
            runs: how many runs it took to shrink the job.
            old: whether the corpus had it.
        """
        for failure in self.failures:
            if failure.record.claims == record.claims and contains(record.job, failure.record.job):
                failure.times += 1
                return None
        found = Failure(record, 1, runs, old)
        self.failures.append(found)
        return found
