"""The command line: exit statuses, usage errors in one line, and what can be answered without torch."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.campaigns.fault_space import Coverage
from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import Record
from ckpt_harness.cli import main
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")


def _run(line: str, columns: int = 200) -> Result:
    return CliRunner().invoke(main, shlex.split(line), env={"COLUMNS": str(columns)})


USAGE = [
    ("replay write_dat@0=raise", "unknown site 'write_dat'; nearest: write, writer.write_data, "),
    ("replay writer.write_data@5=raise", "rank 5 is outside a world of 2; valid: 0 to 1"),
    ("replay writer.finish@1=raise", "only a coordinator calls writer.finish, and rank 1 does not coordinate; valid: 0"),
    ("replay writer.write_data@0=raise(NoSuchError)", "unknown error 'NoSuchError'"),
    ("replay writer.write_data@0=explode", "unknown effect 'explode'"),
    ("replay writer.write_data@0=raise --ranks two", "'two' is not a valid integer"),
    ("replay writer.write_data@0=raise --ranks 0", "0 is not in the range 1<=x<=1024"),
    ("replay writer.write_data@0=raise --coordinator 2", "coordinator 2 is outside a world of 2; valid: 0 to 1"),
    ("replay writer.write_data@0=raise --op copy", "'copy' is not one of"),
    ("export write_dat@0=raise", "unknown site 'write_dat'; nearest: write, writer.write_data, "),
    ("export job 'sav a'", "unknown operation 'sav'; valid: save, async, wait, load"),
    ("export writer.write_data@5=raise", "rank 5 is outside a world of 2; valid: 0 to 1"),
    ("sweep --ranks 2,x", "'2,x' is not a list of numbers such as 2,3,4"),
    ("sweep --ranks 0", "0 ranks; valid: 1 to 1024"),
    ("sweep --op save,copy", "unknown operation 'copy'; valid: save, async_save, load"),
    ("sweep --coordinator first", "'first'; valid: a rank, or all"),
    ("sweep --coordinator -1", "'-1'; valid: a rank, or all"),
    ("sweep --jobs 0", "0 is not in the range x>=1"),
    ("sweep --on node0:8786", "'node0:8786' names no cluster; valid: dask://HOST:PORT, the address of a Dask scheduler"),
    ("crash --on dask://node0", "'dask://node0' names no cluster; valid: dask://HOST:PORT"),
    ("sweep --zoo petting", "'petting' is not one of 'sample', 'full'"),
    ("job 'sav a'", "unknown operation 'sav'; valid: save, async, wait, load"),
    ("job 'save a' --faults 'save[1]/write_dat@0=raise'", "unknown site 'write_dat'; nearest: write, writer.write_data, "),
    ("dance", "No such command 'dance'"),
]
LATER = [
    ("export job 'save a' --way subgroup", "way 'subgroup' cannot be exported; valid: together, alone"),
    ("job 'save a; wait'", "operation 2, 'wait', has nothing to wait for; valid: after an async save that is under way"),
    ("job 'save a' --faults 'save[2]/writer.write_data@0=raise'", "the job has no save[2]; valid: save[1]"),
    ("sweep --ranks 2 --coordinator 2", "coordinator 2 is outside a world of 2; valid: 0 to 1"),
    ("sweep --ranks 2 --on dask://node0:8786 --jobs 3", "--jobs 3 is about processes of this machine, and --on is about a cluster; valid: one of them"),
    ("sweep --ranks 2 --engine tape", "unknown engine 'tape'; valid: filesystem, "),
    ("sweep --ranks 2 --workload huge", "unknown workload 'huge'; valid: replicated"),
    ("replay writer.write_data@0=raise --engine tape", "unknown engine 'tape'; valid: filesystem, "),
    ("replay writer.write_data@0=raise --engine no.such:ENGINE", "cannot be imported: No module named 'no'"),
    ("replay '' --engine tests/plugin/broken_engines.py:SECRETIV", "broken_engines.py has no 'SECRETIV'; valid: SecretiveEngine, SECRETIVE"),
    ("replay '' --engine ckpt_harness.engines.filesystem:FileSystemEngine", "is the class FileSystemEngine; valid: an engine object, or a"),
    ("replay writer.write_data@0=raise --workload huge", "unknown workload 'huge'"),
    ("replay writer.write_data@0=raise --way alone", "way 'alone' (one rank, no process group) does not work with 2 ranks; valid: 1"),
    ("replay writer.write_data@0=raise --op async_save --coordinator 1", "async_save coordinates on rank 0 only"),
    ("export writer.write_data@0=raise --engine tests/plugin/broken_engines.py:SECRETIVE", "stand-alone scripts know torch only; engines: filesystem"),
    ("export writer.write_data@0=raise --engine fsspec-memory", "its store lives in one process; engines: filesystem"),
    ("export writer.write_data@0=raise(ckpt_harness.errors.UsageError)", "stand-alone scripts know torch only; valid: a builtin"),
    ("export 'writer.write_data@0=delay(3600)'", "a script waits for a late rank up to 20 s"),
    ("export writer.finish@0=raise --op async_save --workload stateful --staging engine", "own stager; valid: staging 'writer'"),
    ("export writer.write_data@0=raise --workload huge", "unknown workload 'huge'"),
    ("export writer.write_data@0=stop", "stop needs real processes (world 'processes')"),
    ("export writer.write_data@0#2=raise", "it shows nothing: fired VACUOUS: writer.write_data@0#2=raise matches no call of rank 0"),
]


@pytest.mark.parametrize(("line", "words"), [*USAGE, *LATER], ids=[line for line, _ in (*USAGE, *LATER)])
def test_a_usage_error_is_one_line(line: str, words: str) -> None:
    """With the value and the choices, exit status 2, and never a traceback."""
    result = _run(line)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (told,) = [text for text in result.output.splitlines() if text.startswith("Error: ")]
    assert words in told
    assert result.output.rstrip().endswith(told)


def test_help_and_usage_errors_do_not_wait_for_torch() -> None:
    """Nothing that can be answered without ranks imports it."""
    script = """
import sys
from click.testing import CliRunner
from ckpt_harness.cli import main
for words in __import__("json").loads(sys.argv[1]):
    CliRunner().invoke(main, words)
    assert "torch" not in sys.modules, words
"""
    lines = [line for line, _ in USAGE] + ["--help", "--version", "sweep --help", "replay --help", "export --help", "sites", "effects"]
    words = json.dumps([shlex.split(line) for line in lines])
    done = subprocess.run(
        [sys.executable, "-c", script, words], capture_output=True, text=True, timeout=250, check=False, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("replay writer.write_data@1=raise", 0, "HOLDS    attribution"),
        ("replay 'writer.write_data@1=raise(unpicklable)'", 0, "KNOWN    bounded (DCP-001)"),
        ("replay '' --op load", 0, "HOLDS    filled"),
        ("replay writer.write_data@1#2=raise", 3, "VACUOUS  fired"),
        ("replay writer.write_data@1#2=raise?", 0, "HOLDS    fired"),
        ("replay 'writer.write_data@0=raise(OSError:EIO)' --ranks 1 --way alone --no-retry", 0, "HOLDS    attribution"),
    ],
)
def test_the_exit_status_of_a_replay(line: str, status: int, words: str) -> None:
    """0 where all holds or is known, 3 where nothing was shown; the story names each oracle, and ends in the line that tells it again."""
    result = _run(line)
    assert result.exit_code == status, result.output
    assert words in result.output
    assert result.output.rstrip().splitlines()[-1].startswith("again ckpt-harness replay ")


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_help_of_a_command_ends_in_an_example_that_is_understood(name: str) -> None:
    """On one line, at 80 columns too."""
    helped = _run(f"{name} --help", columns=80).output.rstrip().splitlines()
    before, _, example = helped[-1].partition("Example: ckpt-harness ")
    assert not before.strip()
    words = shlex.split(example.partition(" > ")[0])
    main.commands[words[0]].make_context(words[0], words[1:])
    assert words[0] == name
    assert len(helped[-1]) <= 80


def test_the_list_of_commands_says_what_each_is_for() -> None:
    """In a sentence that is not cut, at 80 columns."""
    listed = _run("--help", columns=80).output.partition("Commands:")[2].partition("Start with:")[0].split("\n  ")
    assert len(listed) - 1 >= len(main.commands)
    assert all(line.rstrip().endswith(".") and not line.rstrip().endswith("...") for line in listed if line.strip())


@pytest.mark.parametrize("line", ["sweep --op {}", "sweep --ranks {}", "sweep --engine {}", "replay {}", "replay '' --way {}", "{}"])
def test_a_long_value_does_not_make_a_long_message(line: str) -> None:
    """It is cut, and the message stays a line of less than 200 characters."""
    result = _run(line.format("x" * 5000))
    [message] = [text for text in result.output.splitlines() if text.startswith("Error: ")]
    assert (result.exit_code, len(message) < 200) == (2, True), message


def test_a_replay_line_becomes_an_export_by_one_word() -> None:
    """The options are the same; what comes out, and nothing beside, is a script that names the case."""
    assert main.commands["export"].params == main.commands["replay"].params
    line = Case(FaultPlan.parse("writer.write_data@1=raise(OSError:EIO)"), ranks=3).replay_line()
    result = _run(line.replace("ckpt-harness replay", "export"))
    assert result.exit_code == 0, result.output
    compile(result.stdout, "script", "exec")
    assert line in result.stdout


def test_a_violation_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no register explains is violated."""
    from ckpt_harness.findings.register import Register

    monkeypatch.setattr(Register, "shipped", classmethod(lambda cls: cls()))
    result = _run("replay 'writer.write_data@1=raise(unpicklable)'")
    assert result.exit_code == 1, result.output
    assert "VIOLATED bounded" in result.output


CASES = [
    Case(FaultPlan.parse("writer.write_data@1=raise")),
    Case(
        FaultPlan.parse("save[1]/writer.write_data@1#1x*!after=raise(OSError:EIO); writer.finish@coordinator=hang?"), ranks=3, coordinator=2
    ),
    Case(
        FaultPlan.parse("reader.read_data.future@all=failfuture(wait,OSError:EIO)"),
        "load",
        engine="fsspec-memory",
        workload="objects",
        seed=5,
    ),
    Case(FaultPlan.parse("writer.stage@0=raise(unicode)"), "async_save", retry=False),
    Case(FaultPlan(), "load", 1, way="alone"),
    Case(FaultPlan(), watch_disk=True),
    Case(FaultPlan(), engine="fsspec-s3", watch_network=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_replay_line_says_all_of_a_case(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line reads back from it is the same case."""
    from ckpt_harness.cases.rig import Rig

    seen = []

    def run(self: Rig, bound: BoundCase) -> None:
        seen.append(bound.case)
        raise SystemExit(0)

    monkeypatch.setattr(Rig, "run", run)
    words = shlex.split(case.replay_line())
    assert words[:2] == ["ckpt-harness", "replay"]
    result = CliRunner().invoke(main, words[1:])
    assert seen == [case], result.output
    assert seen[0].replay_line() == case.replay_line()
    assert replace(case, seed=case.seed + 1).replay_line() != case.replay_line()


def test_a_sweep_reports_and_keeps_its_records(tmp_path: Path) -> None:
    """A matrix, full coverage, known findings, exit status 0; and one JSON line a case, each with the line that replays it."""
    file = tmp_path / "records.jsonl"
    result = _run(f"sweep --ranks 1 --op save --workload objects --jobs 1 --json {file}")
    assert result.exit_code == 0, result.output
    assert "save: who learned what" in result.output
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert f"{len(lines)} cases" in result.output
    assert "0 violated" in result.output
    (coverage,) = [line.split() for line in result.output.splitlines() if line.startswith("coverage: ")]
    assert coverage[1] == coverage[3]
    assert {line["schema"] for line in lines} == {1}
    assert {line["verdict"] for line in lines} == {"HOLDS"}
    assert all(line["replay"].startswith("ckpt-harness replay ") for line in lines)


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    """Told in a line, and before the sweep has run."""
    result = _run(f"sweep --ranks 1 --op save --workload objects --jobs 1 --json {tmp_path / 'none' / 'records.jsonl'}")
    assert result.exit_code == 2, result.output
    assert "Error: " in result.output


@pytest.mark.parametrize("command", ["sweep --ranks 1", "crash"])
def test_a_cluster_without_its_extra_is_a_usage_error(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = _run(f"{command} --on dask://node0:8786")
    assert result.exit_code == 2, result.output
    assert "--on needs dask.distributed, which is not installed: pip install 'ckpt-harness[dask]'" in result.output


def test_the_tables_are_printed() -> None:
    """Every site, effect and error by its name."""
    from ckpt_harness.faults.effects import EFFECTS
    from ckpt_harness.faults.error_specs import ZOO
    from ckpt_harness.faults.sites import SITES

    sites, effects = _run("sites").output, _run("effects").output
    assert all(name in sites for name in SITES)
    assert all(name in effects for name in (*EFFECTS, *ZOO))


@pytest.mark.parametrize(
    ("real", "status", "said"),
    [("told alike", 0, "1 cases ran on simulated ranks and on processes: none of them differ"), ("told otherwise", 1, "rank 1")],
)
def test_a_sweep_of_both_worlds_compares_them(monkeypatch: pytest.MonkeyPatch, real: str, status: int, said: str) -> None:
    """A case that differs is shown with a line for each world, and fails the run."""
    case = Case(FaultPlan.parse("writer.write_data@1=raise"), world="processes")

    def run_all(cases: Sequence[Case], *_: object) -> Iterator[Record]:
        for one in cases:
            told = "told alike" if one.world == "simulated" else real
            yield Record(one, Verdict.HOLDS, "fails", ("told alike", told), (), (), (), 0.1)

    monkeypatch.setattr("ckpt_harness.campaigns.sweep.plan_sweep", lambda *_: ([case], Coverage()))
    monkeypatch.setattr("ckpt_harness.campaigns.run_cases.run_all", run_all)
    result = _run("sweep --world both --ranks 2 --jobs 2")
    assert (result.exit_code, said in result.output) == (status, True), result.output
    assert (replace(case, world="simulated").replay_line() in result.output) == (status == 1)
