"""The shipped register against the installed torch: every entry shows, and no other claim is violated."""

from __future__ import annotations

import importlib.metadata
import logging
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from plain_torch import not_shown, show

import ckpt_harness.findings
from ckpt_harness.campaigns.fault_space import Coverage
from ckpt_harness.campaigns.run_cases import run_one
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case, Onto
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.cli.replay import case_of
from ckpt_harness.export.script import check, run, write
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.findings.entry import Entry
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.summary import Summary

TORCH = importlib.metadata.version("torch").partition("+")[0]
RECORDED = [entry for entry in Register.shipped().entries if not entry.packages]  # test_third_party_findings.py tests the others
ENTRIES = tuple(entry for entry in RECORDED if TORCH in entry.versions)
"""The entries that were recorded for the installed torch."""
BY_HAND = {"DCP-010": "the hand-written script needs one process, is deterministic, and prints the lost errors"}
"""Entries whose hand-written script is better than an exported script, and why."""
BEYOND = {entry.id: "the entry is about system calls, and exported scripts inject into storage calls only" for entry in ENTRIES if entry.id >= "DCP-030"} | {
    "DCP-015": "the entry is about a load by fewer ranks, and exported scripts do not load",
    "DCP-035": "the entry is about a load of what a failed save left, and exported scripts do not load",
    **{entry.id: "the entry is about several operations, and exported scripts do one" for entry in ENTRIES if " job " in entry.replay},
}
SCRIPTS = Path(ckpt_harness.findings.__file__).parent / "reproducers"

SPAWNING = ("DCP-021", "DCP-022")
"""Findings that start processes which import torch. Several at once would wait too long for a processor."""
ONE_BY_ONE = pytest.mark.one_at_a_time
CRASHES = [entry for entry in ENTRIES if entry.crashes]
JOBS = [entry for entry in ENTRIES if " job " in entry.replay]
REPLAYED = [entry for entry in ENTRIES if " crash " not in entry.replay and entry not in JOBS]

pytestmark = [
    pytest.mark.skipif(all(TORCH not in entry.versions for entry in ENTRIES), reason=f"nothing was recorded for torch {TORCH}"),
    pytest.mark.filterwarnings("ignore:Detected an existing checkpoint"),
]


@pytest.fixture
def rig() -> Iterator[Rig]:
    logging.disable(logging.CRITICAL)  # DCP logs each call, which pytest would render and keep
    try:
        with Rig() as made:
            yield made
    finally:
        logging.disable(logging.NOTSET)


def _each(entries: Iterable[Entry]) -> list[Any]:
    """A test parameter for each entry; entries that start processes run one at a time."""
    return [pytest.param(entry, id=entry.id, marks=ONE_BY_ONE if entry.id in SPAWNING else ()) for entry in entries]


def _case(entry: Entry) -> Case:
    """The case of an entry's replay line."""
    program, command, *arguments = shlex.split(entry.replay)
    assert (program, command) == ("ckpt-harness", "replay")
    return case_of(main.commands["replay"].make_context("replay", arguments).params)


def _exported(entry: Entry, rig: Rig) -> str:
    case = _case(entry)
    check(case)
    return write(run(case, rig), case, rig.register)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # DCP-010 is about these errors
@pytest.mark.parametrize("spawning", [pytest.param(False, id="forking"), pytest.param(True, id="spawning", marks=ONE_BY_ONE)])
def test_plain_torch_shows_every_finding(rig: Rig, tmp_path: Path, spawning: bool) -> None:
    """Each stand-alone script ends with status 0 and prints the finding; so does an exported script in the place of a hand-written one."""
    entries = [entry for entry in ENTRIES if (entry.id in SPAWNING) == spawning]
    scripts = {entry.id: (SCRIPTS / entry.reproducer).read_text("utf-8") for entry in entries}
    scripts |= {f"{entry.id}, exported": _exported(entry, rig) for entry in entries if entry.id in BY_HAND}
    assert not_shown(show(scripts, tmp_path), ["wrong: ", "the finding shows"]) == {}


@pytest.mark.parametrize("entry", _each(ENTRIES))
def test_a_script_is_what_its_replay_line_exports(entry: Entry, rig: Rig) -> None:
    """`ckpt-harness export` with the options of the replay line writes exactly the same script."""
    by_hand = BY_HAND | BEYOND
    if entry.id in by_hand:
        pytest.skip(by_hand[entry.id])
    assert (SCRIPTS / entry.reproducer).read_text("utf-8") == _exported(entry, rig)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # DCP-010 is about these errors
@pytest.mark.parametrize("entry", _each(REPLAYED))
def test_the_replay_line_shows_the_finding(entry: Entry, rig: Rig) -> None:
    """The replay line of the page shows the finding and no new violation."""
    result = rig.run(_case(entry))
    assert entry.id in result.known
    assert result.verdict is Verdict.HOLDS, result.complaints()


@pytest.mark.parametrize("entry", _each(JOBS))
def test_a_job_shows_the_finding(entry: Entry) -> None:
    """The job of the page shows the finding and no new violation."""
    result = CliRunner().invoke(main, shlex.split(entry.replay)[1:])
    assert result.exit_code == 0, result.output
    assert f"({entry.id})" in result.output


@pytest.mark.parametrize("entry", CRASHES, ids=[entry.id for entry in CRASHES])
def test_a_crash_shows_the_finding(entry: Entry) -> None:
    """The search over all crash points finds the state that the entry describes, and no new violation."""
    line = entry.replay if "crash" in entry.replay else "ckpt-harness crash --overwrite --model kill"
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert (result.exit_code, f"known ({entry.id})" in result.output) == (0, True), result.output


@pytest.mark.parametrize(("operation", "onto"), [("save", "nothing"), ("load", "nothing"), ("save", "checkpoint")])
def test_a_sweep_below_the_storage_finds_what_is_known_and_nothing_new(operation: OperationKind, onto: Onto, rig: Rig) -> None:
    """Two ranks, a fault at each system call, into a fresh directory and over an existing checkpoint."""
    cases, _ = plan_sweep(Sweep((operation,), (2,), onto=onto, disk=True, workload="sharded"), rig)
    bad = [record for record in (run_one(rig, case) for case in cases) if record.verdict is not Verdict.HOLDS]
    assert [complaint for record in bad for complaint in (record.case.replay_line(), *record.complaints)] == []


@pytest.mark.parametrize(("operation", "workload"), [("save", "mixed"), ("load", "mixed"), ("async_save", "objects")])
def test_a_sweep_finds_what_is_known_and_nothing_new(operation: OperationKind, workload: str, rig: Rig) -> None:
    """Two ranks, every cell: each entry that is due shows, and no other claim is violated."""
    cases, coverage = plan_sweep(Sweep((operation,), (2,), workload=workload), rig)
    summary = Summary(rig.register, Coverage(coverage.reachable))
    for case in cases:
        summary.add(run_one(rig, case))
    assert [complaint for record in summary.bad() for complaint in (record.case.replay_line(), *record.complaints)] == []
    assert summary.gone() == []
    assert len(summary.known) >= 5
