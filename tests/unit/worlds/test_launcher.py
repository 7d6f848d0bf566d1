"""The launcher's environment variables, and where a case runs under a launcher."""

from __future__ import annotations

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.fallback import placed
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.effects import SIMULABLE
from ckpt_harness.faults.plan import FaultPlan, check_survivable
from ckpt_harness.worlds.launcher import VARIABLES, Launch

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "head", "MASTER_PORT": "29500"}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def test_a_launcher_is_what_sets_the_four_variables() -> None:
    """They are the variables that torch reads."""
    assert Launch.here(TORCHRUN) == Launch(1, 2, "head", 29500)


@pytest.mark.parametrize("missing", VARIABLES)
def test_without_one_of_them_there_is_no_launcher(missing: str) -> None:
    """Some tools set RANK alone; that is no launcher."""
    assert Launch.here({name: value for name, value in TORCHRUN.items() if name != missing}) is None


@pytest.mark.parametrize(("name", "value", "words"), [("RANK", "2", "valid: 0 to 1"), ("RANK", "one", "'one'"), ("MASTER_PORT", "http", "'http'")])
def test_an_invalid_variable_is_refused(name: str, value: str, words: str) -> None:
    """The message has the value."""
    with pytest.raises(UsageError, match=f"{name}=.*{words}|{words}"):
        Launch.here({**TORCHRUN, name: value})


def test_the_attached_world_is_refused_without_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to start a launcher."""
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="torchrun --nproc-per-node 4 -m ckpt_harness"):
        Case(world="attached").bind()


@pytest.mark.usefixtures("launched")
def test_a_case_that_fits_runs_on_the_launchers_ranks() -> None:
    """Its replay line starts a launcher of the same size."""
    case, why = placed(Case(FaultPlan.parse("writer.write_data@1=hang")))
    assert (case.world, why) == ("attached", "")
    assert case.replay_line().startswith("torchrun --nproc-per-node 2 -m ckpt_harness replay writer.write_data@1=hang")


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case(FaultPlan.parse("writer.write_data@1=kill")), "kill ends a rank, and a launcher ends all ranks then"),
        (Case(ranks=3), "3 ranks, but the launcher started 2"),
        (Case(engine="fsspec-memory"), "engine 'fsspec-memory' lives in one process, which ranks of world 'attached' do not share"),
    ],
    ids=["kill", "too many", "one process"],
)
def test_a_case_that_does_not_fit_runs_on_simulated_ranks_and_says_why(case: Case, words: str) -> None:
    """The reason is the same for all cases of its kind."""
    assert placed(case) == (case, words)


@pytest.mark.usefixtures("launched")
def test_a_case_that_fits_nowhere_is_refused() -> None:
    """The same as without a launcher."""
    with pytest.raises(PlanError, match="rank 5 is outside a world of 2"):
        placed(Case(FaultPlan.parse("writer.write_data@5=raise")))


@pytest.mark.parametrize("effect", ["kill", "exit", "stop"])
def test_effects_that_end_a_rank_are_not_survivable(effect: str) -> None:
    """The message has the valid effects."""
    with pytest.raises(PlanError, match=rf"{effect} ends a rank.*raise.*stop\(SECONDS\)"):
        check_survivable(FaultPlan.parse(f"writer.write_data@1={effect}"))


def test_all_other_effects_are_survivable() -> None:
    """This includes hangs, which can be released, and a stop with an end."""
    future = "writer.write_data.future"
    site = {"failfuture": future, "nevercomplete": future, "wrong": "writer.prepare_global_plan", "skip": "writer.finish"}
    site |= {"diskerror": "fs.write", "nospace": "fs.write", "shortwrite": "fs.write", "tornwrite": "fs.write"}
    site |= dict.fromkeys(("bitflip", "zerofill", "truncate", "misdirect", "staleread"), "fs.create_stream")
    site |= dict.fromkeys(("status", "reset", "cutbody", "throttle"), "http.get")
    names = [kind.name for kind in SIMULABLE if kind.name != "kill"]
    for text in [*(f"{site.get(name, 'writer.reset')}@0={name}" for name in names), "writer.reset@0=stop(2)"]:
        check_survivable(FaultPlan.parse(text))
