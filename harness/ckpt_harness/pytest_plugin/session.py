"""What a test session keeps of the cases that ran, and how a failure tells its replay line."""

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

REPLAY = ("ckpt-harness replay ", "ckpt-harness crash ", "ckpt-harness damage ", "torchrun ")
"""How lines that replay a case begin."""
SECTION = "ckpt-harness"
"""Heading of what the plugin adds to a report."""


class Session:
    """What a session keeps: the options, and the records of the cases that ran.

    Args:
        seed: of the order in which ranks run.
        register_file: findings beside the shipped ones.
        engine: name of the engine that cases run on which name none; None for the one that they were written on.

    Attributes:
        seed: of the order in which ranks run.
        world: what runs the ranks of the test that runs now.
        elsewhere: how many cases ran on simulated ranks though the launcher's were asked for: why -> number.
        refused: how many cases were not run since ``engine`` does not claim what they need: why -> number.
        instead: how many cases ran in another way than they say: how -> number.
        used: whether any test of this process asked for a fixture of ours.
        records: of all cases that count, in the order in which they ran.
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
        self._of_test: list[Record] = []
        self._bad: dict[str, Record] = {}

    def register(self) -> Register:
        """The shipped findings, and those of ``--ckpt-register``.

        Raises:
            pytest.UsageError: the file cannot be read.
        """
        try:
            return Register.shipped() + Register.read(self._file) if self._file else Register.shipped()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    def ran_case(self, record: Record) -> None:
        """Keeps a record until it is known how its test ended."""
        self._of_test.append(record)

    def refuse(self, why: str) -> None:
        """Notes that a case of the test was not run."""
        reason = why.partition(": ")[2] or why if why.startswith("fault ") else why  # without the fault, or each drawn one would be a reason of its own
        self.refused[reason] += 1
        if reason not in self._refused_of_test:
            self._refused_of_test.append(reason)

    def refused_of_test(self) -> list[str]:
        """Why cases of the test were not run."""
        return self._refused_of_test

    def test_ended(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Keeps what the test's cases came to, and makes sure that a failure tells how to replay it, once.

        A violation counts if a test failed of it: not the many that hypothesis met while it shrank one, nor those that a test asked for.
        """
        ran, self._of_test, self._refused_of_test = self._of_test, [], []
        if report.failed and FIXTURES.intersection(getattr(item, "fixturenames", ())) and not replay_lines(report):
            # The test has an assertion of its own: about the last case that it ran, or about a body that only it can run.
            line = ran[-1].replay_line() if ran else self._again(item)
            report.sections.append((SECTION, line))
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None and replay_lines(report):
            crash.message = crash.message.partition("\n")[0]  # under CI pytest's short summary would repeat the whole message
        self.records += [record for record in ran if not record.verdict]
        self._bad.update({record.replay_line(): record for record in ran if record.verdict})
        for line in replay_lines(report) if report.failed else ():
            if line in self._bad:
                self.records.append(self._bad.pop(line))

    def _again(self, item: pytest.Item) -> str:
        """How to run a test again as it ran."""
        engine = ["--ckpt-engine", self.engine] if self.engine else []
        how = [*engine, *(["--ckpt-seed", str(self.seed)] if self.world == "simulated" else ["--ckpt-world", self.world])]
        launch = Launch.here() if self.world == "attached" else None
        command = ["pytest"] if launch is None else ["torchrun", "--nproc-per-node", str(launch.size), "-m", "pytest"]
        return shlex.join([*command, item.nodeid, *how])


def replay_lines(report: pytest.TestReport) -> list[str]:
    """The lines of a report that replay what failed."""
    said = [line.removeprefix("E").strip() for line in str(report.longrepr).splitlines()]
    return [line for line in said if line.startswith(REPLAY)] + [text for name, text in report.sections if name == SECTION]
