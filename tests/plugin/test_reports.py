"""What pytest prints of cases: one replay line for each failure, the matrix and a header; without cases, nothing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SECRETIVE = f"{Path(__file__).with_name('broken_engines.py')}:SECRETIVE"
IMPORTS = f"""
import pytest
from hypothesis import given
from ckpt_harness import Case, FailFuture, FaultPlan, Raise
from ckpt_harness.pytest_plugin.cases import assert_case
from ckpt_harness.strategies import bound_plans, guarded_sites
SECRETIVE = {SECRETIVE!r}
"""
BROKEN = IMPORTS + '''
def test_one(ckpt_rig):
    ckpt_rig.check(Case(FaultPlan.parse("writer.write_data@1=raise"), ranks=3, engine=SECRETIVE))
'''
HOLDS = IMPORTS + '''
@pytest.mark.parametrize("rank", [0, 1])
def test_one(ckpt_rig, rank):
    ckpt_rig.check(Case(FaultPlan.parse(f"writer.write_data@{rank}=raise"), ranks=2))
'''


@pytest.fixture
def run(pytester):
    """Runs pytest, in this process, on a file with the given text; returns its result and what it printed."""

    def run(text, *options):
        pytester.makepyfile(test_inner=text)
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *options)
        return result, result.stdout.str()

    return run


def _replay_lines(report):
    return re.findall(r"ckpt-harness replay .*", report)


def test_a_failing_case_has_one_replay_line(run):
    """The message has the evidence and how each rank ended, and no frame of the plugin."""
    result, report = run(BROKEN)
    result.assert_outcomes(failed=1)
    assert _replay_lines(report) == [f"ckpt-harness replay writer.write_data@1=raise --op save --ranks 3 --engine {SECRETIVE}"]
    assert "rank 2: returned" in report
    assert "pytest_plugin/cases.py" not in report
    assert "1 cases" in report
    assert "1 violated" in report


@pytest.mark.parametrize("style", ["no", "line", "short", "native"])
def test_every_style_of_traceback_has_the_replay_line_once(run, style):
    """Also the styles that show no message."""
    _, report = run(BROKEN, f"--tb={style}")
    assert len(_replay_lines(report)) == 1


def test_the_replay_line_is_there_once_under_ci_too(run, monkeypatch):
    """Where pytest's short summary does not shorten messages."""
    monkeypatch.setenv("CI", "true")
    _, report = run(BROKEN)
    assert len(_replay_lines(report)) == 1


def test_an_assertion_of_the_test_itself_has_the_replay_line_of_its_last_case(run):
    """The last case that ran."""
    result, report = run(IMPORTS + """
def test_one(ckpt_rig):
    for rank in (0, 1):
        result = ckpt_rig.run(Case(FaultPlan.parse(f"writer.write_data@{rank}=raise")))
    assert result.outcomes[0].kind == "returned"
""")
    result.assert_outcomes(failed=1)
    assert _replay_lines(report) == ["ckpt-harness replay writer.write_data@1=raise --op save --ranks 2"]


def test_a_failure_of_a_body_prints_the_command_that_runs_it_again(run):
    """A body cannot be replayed by a plan; the command runs its test with the same seed."""
    _, report = run("def test_one(ckpt_world):\n    assert ckpt_world.run(lambda: 1).values == (2, 2)\n", "--ckpt-seed=7")
    assert report.count("pytest test_inner.py::test_one --ckpt-seed 7") == 1


def test_a_known_finding_is_an_expected_failure(run):
    """Outside of ``@given``, where a test has one case; the reason names the finding."""
    result, report = run(IMPORTS + """
def test_one(ckpt_rig):
    ckpt_rig.check(Case(FaultPlan.parse("writer.reset@1=raise"), ranks=2))
""", "-rx")
    result.assert_outcomes(xfailed=1)
    assert re.search(r"XFAIL .*known: [A-Z]+-\d+", report)


def test_a_violation_under_given_shrinks_and_has_one_replay_line_that_works(run):
    """From three faults in a world of five to one fault in a world of two; the line shows the violation again, and exits with 1."""
    result, report = run(IMPORTS + """
@given(bound=bound_plans(op="save", sites=guarded_sites("save"), effects=(Raise, FailFuture)))
def test_one(ckpt_rig, bound):
    ckpt_rig.check(Case(bound.plan, "save", bound.world_size, bound.coordinator, SECRETIVE, "replicated"))
""")
    result.assert_outcomes(failed=1)
    [line] = _replay_lines(report)
    assert line == f"ckpt-harness replay writer.write_data@0=raise --op save --ranks 2 --engine {SECRETIVE} --workload replicated"
    assert "1 violated" in report, "what hypothesis met while it shrank does not count"

    replayed = subprocess.run([sys.executable, "-m", "ckpt_harness", *shlex.split(line)[1:]], capture_output=True, text=True, timeout=250, check=False)
    assert replayed.returncode == 1, replayed.stderr
    assert "rank 1" in replayed.stdout
    assert "VIOLATED" in replayed.stdout


def test_a_violation_that_a_test_expects_does_not_count(run):
    """As in a test of a broken engine."""
    result, report = run(IMPORTS + """
def test_one(ckpt_rig):
    result = ckpt_rig.run(Case(FaultPlan.parse("writer.write_data@1=raise"), engine=SECRETIVE))
    with pytest.raises(AssertionError, match="VIOLATED"):
        assert_case(result)
""")
    result.assert_outcomes(passed=1)
    assert "cases in" not in report


def test_the_summary_has_the_matrix(run):
    """And a header with versions and seed, and totals."""
    result, report = run(HOLDS)
    result.assert_outcomes(passed=2)
    assert re.search(r"ckpt-harness [\d.]+: torch [\d.]+.*, seed 0", report)
    assert re.search(r"write +writer.write_data +\. +\.", report)
    assert "2 cases" in report


@pytest.mark.parametrize("option", ["--ckpt-matrix=hide", "-q"])
def test_the_matrix_can_be_left_out(run, option):
    """By its option, or with ``-q``."""
    _, report = run(HOLDS, option)
    assert "who learned what" not in report


def test_workers_send_their_cases_to_the_controller(pytester):
    """Under xdist, the matrix covers the cases of all workers."""
    pytester.makepyfile(test_inner=HOLDS)
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", timeout=250)
    result.assert_outcomes(passed=2)
    assert "2 cases" in result.stdout.str()


def test_the_seed_orders_the_ranks_of_worlds_and_cases(run):
    """The header shows the seed, and the replay line has it."""
    result, report = run(BROKEN, "--ckpt-seed=5")
    result.assert_outcomes(failed=1)
    assert "seed 5" in report.partition("collected")[0]
    assert _replay_lines(report)[0].endswith("--seed 5")


def test_a_register_that_cannot_be_read_is_refused(run, tmp_path):
    """Before anything runs."""
    (tmp_path / "bad.toml").write_text("[[finding]]\nid = 'MINE-1'\n")
    result, _ = run(HOLDS, "--ckpt-register", tmp_path / "bad.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR:*bad.toml*'MINE-1'*"])


@pytest.mark.parametrize("argument", ["0", "'4'", "2, 3"])
def test_a_mark_that_names_no_number_of_ranks_is_refused(run, argument):
    """The message shows how to write the mark."""
    result, report = run(f"import pytest\n@pytest.mark.ckpt_ranks({argument})\ndef test_one(ckpt_world): pass\n")
    result.assert_outcomes(errors=1)
    assert "ckpt_ranks takes a number of ranks, at least 1" in report


def test_a_project_that_does_not_use_the_plugin_does_not_notice_it(pytester):
    """Only light files of the plugin are imported, and nothing is printed."""
    pytester.makeconftest("""
import sys
def pytest_unconfigure():
    found = {name for name in sys.modules if name.split(".")[0] in ("torch", "hypothesis", "numpy", "rich") or name.startswith("ckpt_harness.")}
    print("imported:", sorted(found))
""")
    pytester.makepyfile("def test_one(): pass\n")
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:randomly")
    with_plugin = pytester.runpytest_subprocess(*options, timeout=250)
    light = ["", ".fixtures", ".names", ".options", ".stash", ".workers"]
    assert with_plugin.outlines[-1] == f"imported: {[f'ckpt_harness.pytest_plugin{name}' for name in light]}"
    without = pytester.runpytest_subprocess(*options, "-p", "no:ckpt_harness", timeout=250)
    assert without.outlines[-1] == "imported: []"
    assert _timeless(with_plugin.outlines[:-1]) == _timeless(without.outlines[:-1])


def _timeless(lines):
    return [re.sub(r"in [\d.]+s", "in T", line) for line in lines if not line.startswith(("plugins:", "rootdir:"))]


@pytest.mark.parametrize(("profile", "derandomized"), [("quick", True), ("ci", False)])
def test_a_profile_can_be_chosen_for_a_run(pytester, profile, derandomized):
    """Hypothesis uses it, and the header shows it."""
    pytester.makepyfile(f"""
from hypothesis import settings

def test_one():
    assert settings().derandomize is {derandomized}
    assert settings.get_current_profile_name() == "ckpt-{profile}"
""")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", f"--ckpt-profile={profile}", timeout=250)
    result.assert_outcomes(passed=1)
    assert f"profile ckpt-{profile}" in result.stdout.str().partition("collected")[0]


def test_a_file_that_is_skipped_as_a_whole_is_no_error(run):
    """As with ``pytest.importorskip`` at its top: pytest has no test to report."""
    result, report = run("import pytest\npytest.importorskip('no_such_package')\n")
    result.assert_outcomes(skipped=1)
    assert "Error" not in report


JOBS = """
from hypothesis import given
from ckpt_harness.jobs.job import Job
from ckpt_harness.strategies import ckpt_jobs
"""


def test_a_job_that_breaks_a_claim_has_one_replay_line(run):
    """The message has the evidence, and no frame of the plugin; the summary counts the jobs."""
    result, report = run(JOBS + f"""
def test_one(ckpt_job_rig):
    ckpt_job_rig.check(Job.parse("save a; load a", faults="save[1]/writer.write_data@1=raise", ranks=3, engine={SECRETIVE!r}))

def test_other(ckpt_job_rig):
    ckpt_job_rig.check(Job.parse("save a; restart 3; load a"))
""")
    result.assert_outcomes(failed=1, passed=1)
    line = f"ckpt-harness job 'save a; load a' --faults 'save[1]/writer.write_data@1=raise' --ranks 3 --engine {SECRETIVE}"
    assert report.count(line) == 1
    assert "pytest_plugin/jobs.py" not in report
    assert "2 jobs with 5 operations: 1 VIOLATED" in report


def test_a_known_finding_of_a_job_is_an_expected_failure(run):
    """Outside of ``@given``; under it the example passes."""
    result, report = run(JOBS + """
JOB = Job.parse("save a; retry", faults="save[1]/writer.reset@1=raise", workload="replicated")

def test_one(ckpt_job_rig):
    ckpt_job_rig.check(JOB)

@given(ckpt_jobs(max_operations=1, max_faults=0, ranks=[1], workloads=["replicated"]))
def test_many(ckpt_job_rig, job):
    ckpt_job_rig.check(JOB)
""", "-rx")
    result.assert_outcomes(xfailed=1, passed=1)
    assert "known: DCP-004" in report


def test_an_assertion_of_a_test_has_the_replay_line_of_its_last_job(run):
    """As with cases."""
    result, report = run(JOBS + """
def test_one(ckpt_job_rig):
    assert not ckpt_job_rig.run(Job.parse("save a; load a", ranks=1)).evidence.done
""")
    result.assert_outcomes(failed=1)
    assert report.count("ckpt-harness job 'save a; load a' --ranks 1") == 1


def test_a_job_that_the_engine_of_the_session_cannot_run_is_skipped(run):
    """With the reason; a job that names an engine runs there."""
    result, report = run(JOBS + """
def test_one(ckpt_job_rig):
    ckpt_job_rig.check(Job.parse("save a; async b; wait", workload="tensors"))

def test_other(ckpt_job_rig):
    ckpt_job_rig.check(Job.parse("save a", engine="filesystem-threads"))
""", "--ckpt-engine", "async-thread", "-rs")
    result.assert_outcomes(skipped=1, passed=1)
    assert "always saves with async_save" in report
