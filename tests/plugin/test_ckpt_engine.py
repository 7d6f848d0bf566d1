"""``--ckpt-engine``: the same tests on another engine; a test that needs more than it claims is skipped, with the reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ckpt_harness.pytest_plugin import pytest_sessionfinish, pytest_testnodedown
from ckpt_harness.pytest_plugin.stash import session_of

CASES = """
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ckpt_harness import Case, FaultPlan

@pytest.mark.parametrize("workload", ["mixed", "objects"])
def test_saves(ckpt_rig, workload):
    assert ckpt_rig.check(Case(workload=workload)).case.engine == "huggingface"

def test_names_its_own(ckpt_rig):
    assert ckpt_rig.check(Case(engine="fsspec-memory")).case.engine == "fsspec-memory"

def test_disk(ckpt_rig):
    ckpt_rig.check(Case(FaultPlan.parse("fs.rename@0=diskerror")))

@given(data=st.data())
def test_property_of_disks(ckpt_rig, data):
    ckpt_rig.check(Case(FaultPlan.parse(f"fs.rename@0#{data.draw(st.integers(1, 9))}=diskerror")))

@settings(max_examples=4, deadline=None)
@example("no_collectives")
@given(way=st.sampled_from(["together", "no_collectives"]))
def test_property_of_some(ckpt_rig, way):
    ckpt_rig.check(Case(way=way))

@pytest.mark.ckpt_needs("commit marker")
def test_markers(ckpt_rig):
    raise AssertionError("not to be run")

@pytest.mark.ckpt_runs_in("simulated")
def test_without_cases(ckpt_world):
    raise AssertionError("not to be run")

def test_mistaken(ckpt_rig):
    ckpt_rig.check(Case(FaultPlan.parse("writer.write_data@7=raise")))

def test_of_something_else():
    pass
"""


def test_cases_that_name_no_engine_run_on_the_one_that_is_asked_for(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload that the engine cannot hold is replaced, and a test that needs more than it claims is skipped; a wrong plan still fails."""
    monkeypatch.setenv("COLUMNS", "200")
    pytester.makepyfile(CASES)
    result = pytester.runpytest("--ckpt-engine", "huggingface", "-rs")
    result.assert_outcomes(passed=5, skipped=4, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*engine huggingface, profile*",
            "in * cases workload 'tensors' replaced a workload with objects",
            "*SKIPPED*does not claim 'file system', so its disk cannot be reached*",
            "*SKIPPED*engine 'huggingface' does not claim 'commit marker'*",
            "*SKIPPED*runs no case on engine 'huggingface': the test uses neither ckpt_rig nor ckpt_job_rig*",
            "* cases did not run on engine 'huggingface': way 'no_collectives': engine 'huggingface' does not claim 'without collectives'",
            "*rank 7 is outside a world of 2*",
        ]
    )


def test_an_xdist_worker_hands_over_what_did_not_run(pytester: pytest.Pytester) -> None:
    """The controller's summary counts the cases of all workers."""
    worker, controller = (pytester.parseconfig("--ckpt-engine", "filesystem") for _ in range(2))
    worker.workeroutput = {}  # type: ignore[attr-defined]  # as xdist has it
    session_of(worker).refuse("it rains")
    session_of(worker).instead["others ran"] += 2
    pytest_sessionfinish(SimpleNamespace(config=worker))  # type: ignore[arg-type]  # the hook reads nothing else
    for _ in range(2):
        pytest_testnodedown(SimpleNamespace(config=controller, workeroutput=worker.workeroutput))  # type: ignore[attr-defined]  # as above
    assert (session_of(controller).refused["it rains"], session_of(controller).instead["others ran"]) == (2, 4)


def test_an_engine_that_starts_processes_takes_the_tests_that_can_run_on_them(pytester: pytest.Pytester) -> None:
    """No option needs to name the world."""
    pytester.makepyfile(
        """
        import pytest
        from ckpt_harness import Case

        @pytest.mark.ckpt_runs_in("simulated", "processes")
        def test_loads(ckpt_rig):
            assert ckpt_rig.check(Case(operation="load")).case.world == "processes"

        def test_simulated_alone(ckpt_rig):
            raise AssertionError("not to be run")
        """
    )
    pytester.runpytest("--ckpt-engine", "async-process").assert_outcomes(passed=1, skipped=1)


def test_an_unknown_engine_and_an_unknown_capability_are_refused(pytester: pytest.Pytester) -> None:
    """The option, and the mark."""
    pytester.makepyfile("import pytest\n@pytest.mark.ckpt_needs('luck')\ndef test_it(ckpt_rig): pass")
    result = pytester.runpytest("--ckpt-engine", "tape")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--ckpt-engine: unknown engine 'tape'; valid: filesystem, *"])
    pytester.runpytest("--ckpt-engine", "filesystem").stdout.fnmatch_lines(["*ckpt_needs: unknown capability 'luck'; valid: *"])
