"""What a test session keeps: its options, the records of the cases that ran, and the replay line of each failure."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ckpt_harness.errors import UsageError
from ckpt_harness.findings.register import Register
from ckpt_harness.pytest_plugin.names import FIXTURES
from ckpt_harness.worlds.launcher import Launch

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName
    from ckpt_harness.cases.record import Record
    from ckpt_harness.jobs.record import JobRecord

REPLAY = ("ckpt-harness replay ", "ckpt-harness job ", "ckpt-harness crash ", "ckpt-harness damage ", "torchrun ")
"""How replay lines begin."""
SECTION = "ckpt-harness"
"""Heading of the sections that the plugin adds to reports."""


class Session:
    """The options of a test session, and the records of its cases.

    Args:
        seed: seed of the order in which simulated ranks run.
        register_file: file of known findings in addition to the shipped ones; None for no file.
        engine: name of the engine of all cases that name no engine; None for their default.

    Attributes:
        seed: seed of the order in which simulated ranks run.
        engine: name of that engine, or None.
        world: the world of the test that is running.
        elsewhere: reason why cases ran on simulated ranks instead of the launcher's -> number of cases.
        refused: reason why cases did not run on ``engine`` -> number of cases.
        instead: what was replaced in cases that ran otherwise than written -> number of cases.
        used: whether a test of this process used one of the plugin's fixtures.
        records: records of the cases in the summary, in the order in which the cases ran.
        jobs: the same for jobs.
    """

    def __init__(self, seed: int, register_file: Path | None, engine: str | None = None) -> None:
        self.seed = seed
        self.engine = engine
        self._file = register_file
        self.world: WorldName = "simulated"
        self.elsewhere: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.instead: Counter[str] = Counter()
        self._refused_of_test: list[str] = []
        self.used = False
        self.records: list[Record] = []
        self.jobs: list[JobRecord] = []
        self._of_test: list[Record] = []
        self._jobs_of_test: list[JobRecord] = []
        self._last = ""
        self._bad: dict[str, Record] = {}
        self._bad_jobs: dict[str, JobRecord] = {}

    def register(self) -> Register:
        """Returns the shipped findings and those of ``--ckpt-register``.

        Raises:
            pytest.UsageError: the file cannot be used.
        """
        try:
            return Register.shipped() + Register.read(self._file) if self._file else Register.shipped()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    def ran_case(self, record: Record) -> None:
        """Keeps the record of a case until its test has ended."""
        self._of_test.append(record)
        self._last = record.replay_line()

    def ran_job(self, record: JobRecord) -> None:
        """Keeps the record of a job until its test has ended."""
        self._jobs_of_test.append(record)
        self._last = record.replay_line()

    def refuse(self, reason: str) -> None:
        """Counts a case of the running test that did not run."""
        if reason.startswith(
            "fault "
        ):  # the fault is left out, since otherwise each fault that hypothesis draws would be a reason of its own
            reason = reason.partition(": ")[2] or reason
        self.refused[reason] += 1
        if reason not in self._refused_of_test:
            self._refused_of_test.append(reason)

    def refused_of_test(self) -> list[str]:
        """Returns why cases of the running test did not run; each reason once."""
        return self._refused_of_test

    def test_ended(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Keeps the records of the test's cases and jobs, and adds the replay line to a failure that shows none.

        Of violations, only those are kept whose replay line a failed test shows: not those that hypothesis met while it was shrinking, nor those that
        a test expected.
        """
        ran, self._of_test, self._refused_of_test = self._of_test, [], []
        jobs, self._jobs_of_test = self._jobs_of_test, []
        last, self._last = self._last, ""
        if report.failed and FIXTURES.intersection(getattr(item, "fixturenames", ())) and not replay_lines(report):
            # An assertion of the test itself failed: about its last case or job or, if it ran none, about a body that only the test can run.
            report.sections.append((SECTION, last or self._command(item)))
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None and replay_lines(report):
            crash.message = crash.message.partition("\n")[0]  # under CI, pytest's short summary would repeat the whole message
        self.records += [record for record in ran if not record.verdict]
        self._bad.update({record.replay_line(): record for record in ran if record.verdict})
        self.jobs += [record for record in jobs if not record.verdict]
        self._bad_jobs.update({record.replay_line(): record for record in jobs if record.verdict})
        for line in replay_lines(report) if report.failed else ():
            if line in self._bad:
                self.records.append(self._bad.pop(line))
            if line in self._bad_jobs:
                self.jobs.append(self._bad_jobs.pop(line))

    def _command(self, item: pytest.Item) -> str:
        """The command that runs a test again in the same way."""
        launch = Launch.here() if self.world == "attached" else None
        command = ["pytest"] if launch is None else ["torchrun", "--nproc-per-node", str(launch.size), "-m", "pytest"]
        command.append(_address(item))
        if self.engine:
            command += ["--ckpt-engine", self.engine]
        command += ["--ckpt-seed", str(self.seed)] if self.world == "simulated" else ["--ckpt-world", self.world]
        return shlex.join(command)


def _address(item: pytest.Item) -> str:
    """The node id for the directory where pytest was called, which need not be the root directory of the session."""
    file = item.path.relative_to(Path.cwd()) if item.path.is_relative_to(Path.cwd()) else item.path
    return f"{file}::{item.nodeid.partition('::')[2]}"


def replay_lines(report: pytest.TestReport) -> list[str]:
    """Returns the replay lines of a report: those of its message, and those that the plugin added."""
    lines = [line.removeprefix("E").strip() for line in str(report.longrepr).splitlines()]
    return [line for line in lines if line.startswith(REPLAY)] + [text for name, text in report.sections if name == SECTION]
