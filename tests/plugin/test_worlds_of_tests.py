"""In which world a test runs: its mark, the option, and how many ranks several workers run at once."""

from __future__ import annotations

import json
import re
from itertools import accumulate
from pathlib import Path

import pytest

from ckpt_harness.cases.case import WORLDS
from ckpt_harness.pytest_plugin.names import WORLDS as NAMES

BODIES = """
import os
import time
import pytest
import torch.distributed as dist
from ckpt_harness import Case, FaultPlan

def process():
    return os.getpid()

def world_of(ckpt_world):
    return "simulated" if set(ckpt_world.run(process).values) == {os.getpid()} else "processes"
"""
BOTH = '@pytest.mark.ckpt_runs_in("simulated", "processes")\n'


@pytest.fixture
def run(pytester):
    """Runs pytest, in this process, on a file with the given text; returns its result and what it printed."""

    def run(text, *options):
        pytester.makepyfile(test_inner=BODIES + text)
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-rs", *options)
        return result, result.stdout.str()

    return run


def _says(world):
    return f"def test_one(ckpt_world):\n    assert world_of(ckpt_world) == {world!r}\n"


def test_the_plugin_knows_every_world_by_name():
    """It lists them without an import that would import torch."""
    assert NAMES == WORLDS


@pytest.mark.parametrize(
    ("mark", "options", "world"),
    [
        ("", (), "simulated"),
        ("", ("--ckpt-world=simulated",), "simulated"),
        (BOTH, (), "simulated"),
        (BOTH, ("--ckpt-world=processes",), "processes"),
        ('@pytest.mark.ckpt_runs_in("processes")\n', (), "processes"),
        ('@pytest.mark.ckpt_runs_in("processes", "simulated")\n', (), "processes"),
        ('@pytest.mark.ckpt_runs_in("processes", "simulated")\n', ("--ckpt-world=simulated",), "simulated"),
        ('pytestmark = pytest.mark.ckpt_runs_in("processes")\n', (), "processes"),
    ],
)
def test_a_test_runs_in_the_world_that_was_asked_for_or_its_first(run, mark, options, world):
    """The option chooses among the worlds of the mark; a mark on the module counts, too."""
    result, report = run(mark + _says(world), *options)
    result.assert_outcomes(passed=1)
    assert ("world processes" in report) == ("--ckpt-world=processes" in options)


@pytest.mark.parametrize(
    ("mark", "asked", "said"),
    [
        ("", "processes", "runs in world 'simulated', not 'processes': it has no mark ckpt_runs_in"),
        ('@pytest.mark.ckpt_runs_in("processes")\n', "simulated", "runs in world 'processes', not 'simulated': its mark ckpt_runs_in says so"),
    ],
)
def test_a_test_that_cannot_run_in_the_world_asked_for_is_skipped(run, mark, asked, said):
    """With the reason; a test without ranks runs."""
    result, report = run(mark + "def test_one(ckpt_rig): pass\ndef test_without_ranks(): pass\n", "--ckpt-world", asked)
    result.assert_outcomes(skipped=1, passed=1)
    assert said in report


@pytest.mark.parametrize("arguments", ["", '"process"', '["processes"]', 'world="processes"'])
def test_a_mark_that_names_no_world_is_refused(run, arguments):
    """The message lists the worlds."""
    result, report = run(f"@pytest.mark.ckpt_runs_in({arguments})\ndef test_one(ckpt_world): pass\n")
    result.assert_outcomes(errors=1)
    assert "ckpt_runs_in takes the worlds in which a test can run, of 'simulated', 'processes'" in report


def test_cases_run_in_the_world_of_their_test(run):
    """The replay line names the world."""
    result, report = run(BOTH + """
def test_one(ckpt_rig):
    result = ckpt_rig.check(Case(FaultPlan.parse("writer.write_data@1=raise")))
    assert result.case.world == "simulated"
""", "--ckpt-world=processes")
    result.assert_outcomes(failed=1)
    assert re.findall("ckpt-harness replay .*", report) == ["ckpt-harness replay writer.write_data@1=raise --op save --ranks 2 --world processes"]


def test_a_case_that_names_its_world_runs_there(run):
    """In a test on simulated ranks, which may compare two worlds."""
    result, _ = run("""
def test_one(ckpt_rig):
    assert ckpt_rig.check(Case(world="processes")).case.world == "processes"
""")
    result.assert_outcomes(passed=1)


def test_a_failure_of_a_body_on_processes_prints_the_command_that_runs_it_again(run):
    """In the same world."""
    _, report = run(BOTH + "def test_one(ckpt_world):\n    assert ckpt_world.run(process).values == ()\n", "--ckpt-world=processes")
    assert report.count("pytest test_inner.py::test_one --ckpt-world processes") == 1


def test_what_ranks_print_is_captured_with_their_test(pytester):
    """At once, not when the buffers of the ranks are full."""
    pytester.makepyfile("""
import pytest
import torch.distributed as dist

def talk():
    print(f"rank {dist.get_rank()} talks")

@pytest.mark.ckpt_runs_in("processes")
def test_one(ckpt_world):
    ckpt_world.run(talk)
    raise AssertionError("so that it is shown")
""")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=250)
    result.assert_outcomes(failed=1)
    assert sorted(re.findall(r"rank \d talks", result.stdout.str())) == ["rank 0 talks", "rank 1 talks"]


SHARED = """
import json
import time
from pathlib import Path
import pytest

pytestmark = pytest.mark.ckpt_runs_in("processes")

def stay():
    began = time.monotonic()
    time.sleep(0.05)
    return began, time.monotonic()

@pytest.mark.parametrize("number", range(4))
def test_one(ckpt_worlds, number):
    for ranks in (3, 4):
        values = ckpt_worlds(ranks).run(stay).values
        with Path("ran.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\\n")
"""


def test_workers_together_run_no_more_ranks_than_the_machine_bears(pytester):
    """The controller says how many: of two workers with ranks to run, each waits for its turn."""
    pytester.makeconftest("from ckpt_harness.worlds.processes import turns\nturns.bearable = lambda processors, memory: 4\n")
    pytester.makepyfile(test_inner=SHARED)
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", timeout=250)
    result.assert_outcomes(passed=4)

    spans = [span for line in Path("ran.jsonl").read_text(encoding="ascii").splitlines() for span in json.loads(line)]
    changes = sorted((moment, change) for began, ended in spans for moment, change in ((began, 1), (ended, -1)))
    assert len(spans) == 4 * (3 + 4)
    assert max(accumulate(change for _, change in changes)) <= 4
