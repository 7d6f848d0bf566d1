"""Every line that a command or a test prints runs again, and shows what was shown: the verdict, and all of what is said about it."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.damage import damages
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.conformance import check
from ckpt_harness.findings.register import Register
from ckpt_harness.report.crashes import as_json
from ckpt_harness.report.damages import show_damages
from ckpt_harness.report.story import story
from ckpt_harness.report.summary import EXIT

pytestmark = pytest.mark.usefixtures("silence")

BROKEN = f"{Path(__file__).parents[1] / 'plugin' / 'broken_engines.py'}:SECRETIVE"
"""An engine whose ranks do not learn of failures, so that its cases are violated."""
_MINE = """
[[finding]]
id = "MINE-1"
title = "ranks other than the coordinator report success"
about = "The engine swallows the error."
source = "broken_engines.py"
engines = ["*broken_engines.py:SECRETIVE"]
versions = ["2.13.0"]
operations = ["save"]
calls = ["*"]
sites = ["writer.*", "reader.*", "save_planner.*", "load_planner.*", "pg.*", "fs.*"]
effects = ["*"]
oracles = ["agreement", "attribution", "commitment", "recovery", "course"]
reasons = ["*reported success*", "*returned*", "*hung*", "*Fault*", "*Error*", "*commit marker*", "finish is called *", "rank * never calls writer.*"]
ranks = 2
reports = []
reproducer = "none"
newer = "unknown"
replay = "none"

[[finding.signature]]
coordinator = "*"
victim = "*"
coordinating_victim = "*"
other = "returned"
"""
_few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _run(line: str, *more: str) -> Result:
    words = shlex.split(line)
    assert words[0] == "ckpt-harness", line
    return CliRunner().invoke(main, [*words[1:], *more], env={"COLUMNS": "500"})


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> Register:
    """The shipped findings, and a file of an adopter's own, in a directory whose name has a space."""
    file = tmp_path_factory.mktemp("of mine") / "known.toml"
    file.write_text(_MINE)
    return Register.shipped() + Register.read(file)


@pytest.fixture(scope="module")
def rig(register: Register) -> Iterator[Rig]:
    with Rig(register=register) as made:
        yield made


def _story(result: CaseResult) -> str:
    text = io.StringIO()
    story(Console(file=text, highlight=False, width=500), result)
    return text.getvalue()


@st.composite
def sweeps(draw: st.DrawFn) -> Sweep:
    """Sweeps of every kind that simulated ranks can run."""
    layer = draw(st.sampled_from(["calls", "disk", "network"]), label="layer")
    operation = draw(st.sampled_from(["save", "load"] if layer != "calls" else ["save", "load", "async_save"]), label="operation")
    engines = {"calls": ["filesystem", "filesystem-threads", "fsspec-memory", BROKEN], "disk": ["filesystem", BROKEN], "network": ["fsspec-s3"]}
    return Sweep(
        (operation,),
        (draw(st.integers(1, 3), label="ranks"),),
        None if operation != "async_save" and draw(st.booleans(), label="all coordinators") else (0,),
        engine=draw(st.sampled_from(engines[layer]), label="engine"),
        workload=draw(st.sampled_from(["mixed", "objects", "replicated"]), label="workload"),
        seed=draw(st.integers(0, 3), label="seed"),
        pairs=layer == "calls" and draw(st.booleans(), label="pairs"),
        onto="checkpoint" if operation == "save" and draw(st.booleans(), label="overwrites") else "nothing",
        disk=layer == "disk",
        network=layer == "network",
    )


@_few
@given(data=st.data())
def test_the_line_of_a_swept_case_tells_its_story_again(data: st.DataObject, rig: Rig) -> None:
    """To the letter, with the same exit status, whatever the operation, the engine, the layer, the seed and the register."""
    cases = plan_sweep(data.draw(sweeps(), label="sweep"), rig)[0]
    result = rig.run(data.draw(st.sampled_from(cases), label="case"))

    replayed = _run(result.replay_line())

    assert replayed.stdout == _story(result)
    assert replayed.exit_code == EXIT[result.verdict]


def test_a_line_names_the_register_that_its_verdict_depends_on(rig: Rig) -> None:
    """A violation that an adopter's register explains is known when it is replayed, too."""
    result = rig.run(next(case for case in plan_sweep(Sweep(("save",), engine=BROKEN), rig)[0] if str(case.plan) == "writer.write_data@1=raise"))
    assert "MINE-1" in result.known

    replayed = _run(result.replay_line())

    assert (replayed.exit_code, "MINE-1" in replayed.output) == (0, True), replayed.output


@_few
@given(
    scene=st.builds(
        Scene,
        engine=st.sampled_from(["filesystem", "filesystem-synced", "fsspec-file"]),
        workload=st.sampled_from(["mixed", "objects", "replicated"]),
        ranks=st.integers(1, 3),
        overwrite=st.booleans(),
        seed=st.integers(0, 3),
    ),
    model=st.sampled_from(["kill", "ordered", "posix"]),
    limit=st.sampled_from([3, 20, 1024]),
)
def test_the_line_of_crashes_finds_the_same_states(scene, model, limit, register: Register, tmp_path: Path) -> None:
    """Point by point, with the same examples and the same claims."""
    found = crashes(scene, model, limit=limit)
    known = found.known(register)

    replayed = _run(found.replay_line(register.files), "--jobs", "1", "--json", str(tmp_path / "found.json"))

    assert replayed.exit_code in (0, 1), replayed.output
    assert json.loads((tmp_path / "found.json").read_text("utf-8")) == json.loads(json.dumps(as_json(found, known)))


@pytest.mark.parametrize(("engine", "ranks"), [("filesystem", 1), ("fsspec-file", 2)])
def test_the_line_of_damages_finds_the_same(engine: str, ranks: int) -> None:
    """For each kind of damage, with the same claims and exit status."""
    found = damages(Scene(engine, ranks=ranks))
    text = io.StringIO()
    status = show_damages(Console(file=text, highlight=False, width=500), found)

    replayed = _run(found.replay_line())

    assert (replayed.exit_code, replayed.stdout) == (status, text.getvalue())


def test_every_line_that_check_prints_shows_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases, crashes and damage of an engine that claims too much; a part of them, so that crashes are a sample."""
    engine = f"{Path(__file__).with_name('boastful_engine.py')}:BOASTFUL"
    monkeypatch.setattr(check, "MODELS", ("posix",))
    monkeypatch.setattr(check, "_sweeps", lambda name, _, sizes: [Sweep(("save",), sizes, engine=name, workload="objects")])
    report = CliRunner().invoke(main, ["check", engine, "--ranks", "2", "--jobs", "1", "--every", "30"], env={"COLUMNS": "500"})
    assert report.exit_code == 1, report.output
    lines = dict.fromkeys(line.strip() for line in report.output.splitlines() if line.strip().startswith("ckpt-harness "))
    assert {line.split()[1] for line in lines} == {"replay", "crash", "damage"}, report.output
    for line in lines:
        replayed = _run(line)
        assert replayed.exit_code == 1, f"{line}\n{replayed.output}"
        assert "VIOLATED" in replayed.output


TESTS = """
from ckpt_harness import Case, FaultPlan

def test_one(ckpt_rig):
    ckpt_rig.check(Case(FaultPlan.parse({plan!r}), ranks={ranks}, engine={engine!r}))
"""


@pytest.mark.parametrize(
    ("plan", "options"),
    [
        ("writer.write_data@1=raise", []),
        ("writer.finish@coordinator=raise(OSError:EIO)", ["--ckpt-seed", "3"]),
        ("save[1]/writer.prepare_local_plan@1=raise(unicode); writer.write_data@0=delay(2)?", ["--ckpt-seed", "1"]),
        ("writer.write_data@1#7=raise", ["--ckpt-register", "known.toml"]),
    ],
)
def test_the_line_of_a_failing_test_fails_again(pytester: pytest.Pytester, plan: str, options: list[str]) -> None:
    """With the verdict and the complaints that the test's report shows."""
    pytester.makepyfile(test_inner=TESTS.format(plan=plan, ranks=2, engine=BROKEN))
    pytester.makefile(".toml", known=_MINE)
    report = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *options)
    report.assert_outcomes(failed=1)
    [line] = re.findall(r"^E +(ckpt-harness replay .*)", report.stdout.str(), re.MULTILINE)
    assert ("--register known.toml" in line) == ("--ckpt-register" in options)
    [verdict] = re.findall(r"^E +.*OracleViolation: (\w+):", report.stdout.str(), re.MULTILINE)

    replayed = _run(line)

    assert replayed.exit_code == (1 if verdict == "VIOLATED" else 3), replayed.output
    complaints = [text.removeprefix("E").strip() for text in report.outlines if re.match(rf"E +\w+ {verdict}: ", text)]
    assert complaints
    for complaint in complaints:
        assert complaint.partition(": ")[2][:200] in replayed.output


BODY = """
def test_one(ckpt_world):
    order = []
    ckpt_world.run(order.append, "a rank") and ckpt_world.run(lambda: 1)
    assert order == []
"""


@pytest.mark.parametrize("below", [False, True], ids=["at the root", "below the root"])
def test_the_line_of_a_failing_body_runs_the_test_again(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, below: bool) -> None:
    """From the directory where pytest was called, whatever the root directory of the session is."""
    pytester.makeini("[pytest]")
    folder = pytester.mkdir("below")
    (folder / "test_body.py").write_text(BODY)
    if below:
        monkeypatch.chdir(folder)
    options = ("-p", "no:cacheprovider", "-p", "no:xdist")
    report = pytester.runpytest_inprocess(*options, "--ckpt-seed", "5")
    report.assert_outcomes(failed=1)
    [line] = [text for text in report.outlines if text.startswith("pytest ")]

    again = pytester.runpytest_inprocess(*options, *shlex.split(line)[1:])

    again.assert_outcomes(failed=1)
    assert line in again.outlines
    assert [text for text in again.outlines if text.startswith("E ")] == [text for text in report.outlines if text.startswith("E ")]
