"""DCP on a real client of an object store: requests fail on one rank, in both worlds, with the same result every time."""

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
def test_all_ranks_fail_if_the_store_stays_busy(rig, world):
    """The exception names the rank of the request, every claim holds, and a retry succeeds."""
    result = rig.run(_case(BUSY, world=world))
    result.check()
    assert {outcome.kind for outcome in result.outcomes.values()} == {"raised"}
    assert {rank for outcome in result.outcomes.values() for rank in outcome.error.failures} == {1}
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
def test_the_client_retries_a_request_that_failed_once(rig, plan, operation):
    """All ranks succeed, and the checkpoint is whole."""
    result = rig.run(_case(plan, operation))
    result.check()
    assert result.evidence.fired
    assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}


def test_a_commit_whose_acknowledgement_is_lost_is_whole(rig):
    """The copy request that commits acts, but no answer arrives: all ranks fail, and the checkpoint loads."""
    result = rig.run(_case("http.copy@0#1x*!after=reset"))
    result.check()
    assert {outcome.kind for outcome in result.outcomes.values()} == {"raised"}
    assert result.evidence.storage["save[1]"][0].committed


def test_a_pretended_put_is_reported_as_not_claimed(rig):
    """DCP does not claim to notice a pretended put: the violation is reported and does not count."""
    result = rig.run(_case("http.put(__1_0.distcp)@1=skip"))
    unclaimed = [judgement for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED]
    assert [judgement.oracle for judgement in unclaimed] == ["commitment"]
    assert not any(judgement.claimed for judgement in unclaimed)
    assert result.verdict is Verdict.HOLDS


def test_the_same_case_has_the_same_history(rig):
    """With retries too: a rank that waits for the store keeps its turn, however long the answer takes."""
    first, second = (rig.run(_case(BUSY)).history.to_jsonl() for _ in range(2))
    assert first == second


def test_a_network_fault_is_refused_for_an_engine_without_a_network():
    """The plan is refused before anything runs."""
    with pytest.raises(PlanError, match="does not claim 'object store', so its network cannot be reached"):
        Case(FaultPlan.parse(BUSY)).bind()


def _save_here(place):
    from ckpt_harness.engines.base import Call
    from ckpt_harness.engines.names import find_engine

    engine = find_engine("fsspec-s3")
    engine.save({"weight": torch.ones(3)}, engine.make_writer(place), None, place, Call())


@pytest.mark.ckpt_ranks(2)
@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_network_faults_strike_the_requests_of_a_test_body(ckpt_world, tmp_path):
    """The plan's faults strike each client that uses the address of ``reach``, in a test's own body too."""
    place = moto.place(tmp_path, "mine")
    results = ckpt_world.run(_save_here, place, plan="http.put(__1_0.distcp)@1#1x*=status(403)")
    assert [result.outcome for result in results] == ["raised", "raised"]
    assert list(results[0].record.failures) == [1]
    moto.discard(place)


def test_inject_refuses_network_faults():
    """The message names the alternative."""
    with pytest.raises(PlanError, match="inject\\(\\) cannot reach requests to object stores; use FaultyEndpoint"), inject("http.put@0=status"):
        pass
