"""DCP on a real client of an object store, whose requests fail on one rank: in both worlds, and the same every time."""

from __future__ import annotations

import pytest

pytest.importorskip("s3fs", reason="needs the extra s3: pip install 'ckpt-harness[s3]'")

import torch

from ckpt_harness import inject
from ckpt_harness.cases.case import Case, WorldName
from ckpt_harness.cases.rig import Rig
from ckpt_harness.engines import moto
from ckpt_harness.errors import PlanError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

BUSY = "http.put(__1_0.distcp)@1#1x*=status(503,SlowDown)"


@pytest.fixture
def rig():
    with Rig(register=Register()) as made:
        yield made


def _case(plan, operation="save", world: WorldName = "simulated"):
    return Case(FaultPlan.parse(plan), operation, engine="fsspec-s3", workload="objects", world=world)


@pytest.mark.parametrize("world", ["simulated", "processes"])
def test_all_ranks_are_told_of_a_store_that_stays_busy(rig, world):
    """Whose request it was is named, and every claim holds; so does a second try."""
    result = rig.run(_case(BUSY, world=world))
    result.check()
    assert {one.kind for one in result.outcomes.values()} == {"raised"}
    assert {rank for one in result.outcomes.values() for rank in one.error.failures} == {1}
    assert result.evidence.retry is not None


@pytest.mark.parametrize(
    ("plan", "operation"),
    [
        ("http.put(__1_0.distcp)@1=status", "save"),
        ("http.put(.metadata.tmp)@0!after=reset", "save"),
        ("http.get(__1_0.distcp)@0=cutbody(100)", "load"),
        ("http.head(.metadata)@1=reset", "load"),
    ],
)
def test_what_passes_is_made_good(rig, plan, operation):
    """The client tries again, and all ranks succeed with everything there."""
    result = rig.run(_case(plan, operation))
    result.check()
    assert result.evidence.fired
    assert {one.kind for one in result.outcomes.values()} == {"returned"}


def test_a_commit_whose_acknowledgement_is_lost_is_whole(rig):
    """The copy that commits acts each time it is tried, and no answer ever comes: all are told of an error, and the checkpoint loads."""
    result = rig.run(_case("http.copy@0#1x*!after=reset"))
    result.check()
    assert {one.kind for one in result.outcomes.values()} == {"raised"}
    assert result.evidence.storage["save[1]"][0].committed


def test_a_put_that_is_pretended_is_told_as_a_lie(rig):
    """DCP does not claim to notice; what is missing is said, and does not count."""
    result = rig.run(_case("http.put(__1_0.distcp)@1=skip"))
    unclaimed = [one for one in result.judgements if one.verdict is Verdict.VIOLATED]
    assert [one.oracle for one in unclaimed] == ["commitment"]
    assert not any(one.claimed for one in unclaimed)
    assert result.verdict is Verdict.HOLDS


def test_the_same_case_is_the_same_history(rig):
    """Retries and all: a rank that waits for its store keeps its turn, however long the store takes."""
    first, second = (rig.run(_case(BUSY)).history.to_jsonl() for _ in range(2))
    assert first == second


def test_requests_of_an_engine_that_makes_none_cannot_fail():
    """It is refused before anything runs."""
    with pytest.raises(PlanError, match="does not claim 'object store', so its network cannot be reached"):
        Case(FaultPlan.parse(BUSY)).bind()


def _save_here(place):
    from ckpt_harness.engines.base import Call
    from ckpt_harness.engines.names import find_engine

    engine = find_engine("fsspec-s3")
    engine.save({"weight": torch.ones(3)}, engine.make_writer(place), None, place, Call())


@pytest.mark.ckpt_ranks(2)
@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_a_body_of_somebody_elses_is_struck_where_it_reaches_its_store(ckpt_world, tmp_path):
    """A client made with the address that ``reach`` gives is behind the plan's faults, in a test's own body too."""
    place = moto.place(tmp_path, "mine")
    results = ckpt_world.run(_save_here, place, plan="http.put(__1_0.distcp)@1#1x*=status(403)")
    assert [result.outcome for result in results] == ["raised", "raised"]
    assert list(results[0].record.failures) == [1]
    moto.discard(place)


def test_inject_cannot_reach_a_request():
    """It says what can."""
    with pytest.raises(PlanError, match="inject\\(\\) cannot reach requests to object stores; use FaultyEndpoint"), inject("http.put@0=status"):
        pass
