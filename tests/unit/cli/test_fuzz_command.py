"""``ckpt-harness fuzz``: its report, its corpus, its exit statuses, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.campaigns.fuzz import running
from ckpt_harness.cli import main
from ckpt_harness.jobs.coverage import steps
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.lines import job_of_line
from ckpt_harness.jobs.record import Broken, JobRecord
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")
SMALL = "fuzz --jobs 1 --ranks 1 --workload replicated --operations 4 --seed 3"


def _run(line: str) -> Result:
    return CliRunner().invoke(main, shlex.split(line), env={"COLUMNS": "200"})


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Job], JobRecord]], None]:
    """Has a rule say what became of each job, instead of a run."""

    def instead(rule: Callable[[Job], JobRecord]) -> None:
        monkeypatch.setattr(running, "run_one", lambda rig, job: rule(job))

    return instead


def _violated_by_overwriting(job: Job) -> JobRecord:
    if "overwrite" in steps(job):
        return JobRecord(job, Verdict.VIOLATED, (Broken("pairing", "save", reason="save[2]: a mixture"),))
    return JobRecord(job, Verdict.HOLDS, known=("DCP-001",))


def test_a_search_on_a_real_engine_reports_what_it_tried() -> None:
    """The seed, the table, the numbers."""
    result = _run(f"{SMALL} --examples 5 --faults 0")
    assert result.exit_code == 0, result.output
    assert "engine filesystem, seed 3\n" in result.output
    assert re.search(r"^5 jobs with \d+ operations in .* s: 0 violated, 0 without a verdict, .*, 5 hold$", result.output, re.MULTILINE)
    assert re.search(r"^coverage: \d+ of \d+ pairs of consecutive operations and classes of faults", result.output, re.MULTILINE)


def test_the_seed_is_drawn_and_shown_where_none_is_given(pretend: Callable[..., None]) -> None:
    """So that any run can be repeated."""
    pretend(lambda job: JobRecord(job, Verdict.HOLDS))
    line = "fuzz --jobs 1 --examples 1 --workload replicated"
    seeds = {re.search(r"seed (\d+)$", _run(line).output, re.MULTILINE)[1] for _ in range(3)}  # type: ignore[index]  # the report has it
    assert len(seeds) > 1


def test_a_violation_is_shrunk_shown_and_kept(pretend: Callable[..., None], tmp_path: Path) -> None:
    """With exit status 1; known findings are counted. The line in the file of the corpus is the line of the report."""
    pretend(_violated_by_overwriting)
    corpus = tmp_path / "corpus"
    result = _run(f"{SMALL} --examples 60 --corpus {corpus}")
    assert result.exit_code == 1, result.output
    assert "VIOLATED pairing of save (shrunk in " in result.output
    line = "ckpt-harness job 'save a; save a' --ranks 1 --workload replicated"
    assert f"\n    {line}\n" in result.output
    assert "DCP-001" in result.output
    [file] = corpus.glob("*.job")
    assert file.read_text().splitlines()[0] == line
    assert job_of_line(line).text == "save a; save a"

    again = _run(f"{SMALL} --examples 1 --corpus {corpus}")
    assert again.exit_code == 1
    assert "VIOLATED pairing of save (in the corpus" in again.output

    pretend(lambda job: JobRecord(job, Verdict.HOLDS))
    healed = _run(f"{SMALL} --examples 1 --corpus {corpus}")
    assert healed.exit_code == 0
    assert "corpus: 1 jobs run again, 1 of them hold now and were put aside" in healed.output
    assert not list(corpus.glob("*.job"))


def test_a_job_without_a_verdict_is_exit_status_3(pretend: Callable[..., None]) -> None:
    """An error of the harness is reported with the job, and the search goes on."""
    pretend(lambda job: JobRecord(job, Verdict.UNKNOWN, (Broken("harness", verdict=Verdict.UNKNOWN, reason="KeyError: 'x'"),)))
    result = _run(f"{SMALL} --examples 3")
    assert result.exit_code == 3
    assert "UNKNOWN harness (UNKNOWN)" in result.output


def test_a_bad_file_of_the_corpus_is_one_line(pretend: Callable[..., None], tmp_path: Path) -> None:
    """The search runs all the same."""
    pretend(lambda job: JobRecord(job, Verdict.HOLDS))
    (tmp_path / "bad.job").write_text("nonsense")
    result = _run(f"{SMALL} --examples 1 --corpus {tmp_path}")
    assert result.exit_code == 0
    assert "'bad.job' holds no job that can run: 'nonsense' is no replay line" in result.output


def test_ctrl_c_ends_with_the_summary(pretend: Callable[..., None]) -> None:
    """With exit status 130, and what was found until then."""
    ran: list[Job] = []

    def rule(job: Job) -> JobRecord:
        ran.append(job)
        if len(ran) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return _violated_by_overwriting(job)

    pretend(rule)
    result = _run(SMALL)
    assert result.exit_code == 130, result.output
    assert "Interrupted after " in result.output
    assert "coverage: " in result.output


def test_an_error_inside_the_rig_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the error and where it was raised."""

    class Broken:
        def run(self, job: Job) -> None:
            raise KeyError("x")

    record = running.run_one(Broken(), Job.parse("save a"))  # type: ignore[arg-type]  # a rig as far as it is used
    assert record.verdict is Verdict.UNKNOWN
    assert re.fullmatch(r"KeyError: 'x' \(run, line \d+ of test_fuzz_command.py\)", record.target.reason)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--ranks 0", "ranks 0; valid: 1 to 1024"),
        ("--minutes 0", "0.0 is not in the range x>0"),
        ("--examples 0", "0 is not in the range x>=1"),
        ("--engine tape", "unknown engine 'tape'; valid: filesystem, "),
        ("--workload huge", "unknown workload 'huge'; valid: replicated"),
        ("--way no_dist", "unknown way 'no_dist'; valid: together, alone, subgroup"),
        ("--world attached", "world 'attached' needs ranks that a launcher started"),
        ("--corpus {file}", "is a file"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(options: str, message: str, tmp_path: Path) -> None:
    """In one line, with the value and the choices."""
    (tmp_path / "file").write_text("")
    result = _run(f"fuzz --examples 1 --jobs 1 {options.format(file=tmp_path / 'file')}")
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_every_job_is_a_line_of_json(pretend: Callable[..., None], tmp_path: Path) -> None:
    """What was drawn and what was shrunk, each with its result and the line that runs it again."""
    pretend(_violated_by_overwriting)
    file = tmp_path / "jobs.jsonl"
    assert _run(f"{SMALL} --examples 60 --json {file}").exit_code == 1
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    origins = Counter(line["origin"] for line in lines)
    assert origins["drawn"] == 60
    assert origins["shrunk"] >= 1
    shrunk = next(line for line in lines if line["origin"] == "shrunk")
    assert shrunk["job"]["operations"] == "save a; save a"
    assert shrunk["broken"] == [{"oracle": "pairing", "kind": "save", "verdict": "VIOLATED", "reason": "save[2]: a mixture"}]
    assert (shrunk["verdict"], job_of_line(shrunk["replay"]).text) == ("VIOLATED", "save a; save a")


def test_known_findings_are_shrunk_on_demand(pretend: Callable[..., None]) -> None:
    """The first job that shows each; the report says in how many runs."""

    def known_by_overwriting(job: Job) -> JobRecord:
        return JobRecord(job, Verdict.HOLDS, known=("DCP-032",) if "overwrite" in steps(job) else ())

    pretend(known_by_overwriting)
    result = _run(f"{SMALL} --examples 60 --shrink-known")
    assert result.exit_code == 0, result.output
    assert re.search(r"^DCP-032 An interrupted save over an existing checkpoint .*\(\d+ jobs, shrunk in \d+ runs\)$", result.output, re.MULTILINE)
    assert "\n    ckpt-harness job 'save a; save a' --ranks 1 --workload replicated\n" in result.output
