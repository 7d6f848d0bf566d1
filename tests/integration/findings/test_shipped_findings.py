"""The shipped register against the torch that is installed: everything in it shows, and nothing else goes wrong."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness.findings
from harness.campaign import Coverage, Sweep, plan_sweep, run_one
from harness.case import Case
from harness.cli import main
from harness.findings.register import Entry, Register
from harness.plan import FaultPlan
from harness.report.summary import Summary
from harness.rig import Rig
from harness.sites import OperationKind
from harness.verdict import Verdict

TORCH = importlib.metadata.version("torch").partition("+")[0]
ENTRIES = Register.shipped().entries
SCRIPTS = Path(harness.findings.__file__).parent / "reproducers"

pytestmark = pytest.mark.skipif(all(TORCH not in entry.versions for entry in ENTRIES), reason=f"nothing was recorded for torch {TORCH}")


@pytest.fixture
def rig() -> Iterator[Rig]:
    logging.disable(logging.CRITICAL)  # DCP logs each call, which pytest would render and keep
    try:
        with Rig() as made:
            yield made
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.id for entry in ENTRIES])
def test_plain_torch_shows_it(entry: Entry) -> None:
    """The stand-alone script ends with 0, by itself, and soon."""
    script = [sys.executable, "-W", "ignore", str(SCRIPTS / entry.reproducer)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as running:
        try:
            said, _ = running.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # its ranks too
            raise
    assert running.returncode == 0, said
    assert "the finding shows" in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # DCP-010 is about just these
@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.id for entry in ENTRIES])
def test_its_replay_line_shows_it(entry: Entry, rig: Rig) -> None:
    """The line that the page gives leads to the finding, and to nothing that is not known."""
    program, command, *arguments = shlex.split(entry.replay)
    assert (program, command) == ("ckpt-harness", "replay")
    options = main.commands["replay"].make_context("replay", arguments).params
    options.pop("register")
    result = rig.run(Case(plan=FaultPlan.parse(options.pop("plan")), **options))
    assert result.known == (entry.id,)
    assert result.verdict is Verdict.HOLDS, result.complaints()


@pytest.mark.parametrize(("operation", "workload"), [("save", "mixed"), ("load", "mixed"), ("async_save", "objects")])
def test_a_sweep_finds_what_is_known_and_nothing_new(operation: OperationKind, workload: str, rig: Rig) -> None:
    """Two ranks, every cell: each entry that is covered shows, and no claim is violated beside."""
    cases, coverage = plan_sweep(Sweep((operation,), (2,), workload=workload), rig)
    summary = Summary(rig.register, Coverage(coverage.reachable))
    for case in cases:
        summary.add(run_one(rig, case))
    assert [complaint for record in summary.bad() for complaint in (record.case.replay_line(), *record.complaints)] == []
    assert summary.gone() == []
    assert len(summary.known) >= 5
