"""The oracles of jobs as a table, and those that judge each call of a job as a case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from written import DEAD, FAILS, HUNG, LIED_TO, RAISED, RETURNED, Both, judged, said, violations, with_singles, written

from ckpt_harness.errors import UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs import oracles
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles import JOB_ORACLES, job_claim, judge_job
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Expectation
from ckpt_harness.judging.oracles import OF_JOBS_ALONE, ORACLES
from ckpt_harness.judging.verdict import Judgement, Verdict

UNKNOWN = Outcome("unknown", where="a native thread")
FAULT = "save[1]/writer.write_data@1=raise(OSError:EIO)"
STRUCK = replace(FAILS, must_fire=frozenset({(FAULT, 1)}))


def test_every_oracle_states_its_claim_in_one_line() -> None:
    """The first line of its docstring, a sentence that fits into a line of a report."""
    for name in JOB_ORACLES:
        assert job_claim(name).endswith(".")
        assert len(job_claim(name)) <= 190
    with pytest.raises(UsageError, match="unknown oracle of jobs 'paring'"):
        job_claim("paring")


def test_a_register_may_name_every_oracle_of_jobs() -> None:
    """Those that single operations do not have are listed apart, since a register knows nothing of jobs."""
    assert [name for name in JOB_ORACLES if name not in ORACLES] == list(OF_JOBS_ALONE)


def test_an_oracle_that_crashes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no pass; the others are asked all the same."""

    def broken(model: object) -> list[Judgement]:
        raise ValueError("no")

    monkeypatch.setitem(oracles.JOB_ORACLES, "pairing", broken)
    verdicts = {judgement.oracle: judgement.verdict for judgement in judge_job(Model(written("save a", ["a=1"])))}
    assert verdicts["pairing"] is Verdict.UNKNOWN
    assert verdicts["commitment"] is Verdict.HOLDS


def test_what_an_oracle_said_before_it_crashed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the oracles of single operations."""

    def broken(model: object) -> Iterator[Judgement]:
        yield Judgement("pairing", Verdict.VIOLATED, "shards of two calls")
        raise ValueError("no")

    monkeypatch.setitem(oracles.JOB_ORACLES, "pairing", broken)
    judgements = judge_job(Model(written("save a", ["a=1"])))
    assert [judgement.verdict for judgement in judgements if judgement.oracle == "pairing"] == [Verdict.VIOLATED, Verdict.UNKNOWN]


@pytest.mark.parametrize("ends", [RETURNED, RAISED, (RETURNED, RAISED), HUNG, DEAD, UNKNOWN])
def test_no_oracle_crashes_on_any_ending(ends: Both) -> None:
    """Whatever the first operation of a job has come to, and whatever followed."""
    for first in ("save a", "async a", "load a", "load latest"):
        for rest in ("", "; retry", "; prune 1; restart; load latest", "; continue; save b", "; change keys; save b; load a"):
            evidence = with_singles(written(first + rest, [None, "a=x"], ends={0: ends}, latest={0: ("a", None)} if "latest" in first else {}))
            assert not [judgement for judgement in judged(evidence) if "crashed" in judgement.reason]


@pytest.mark.parametrize(
    ("ends", "oracle"), [(Outcome("hung"), "bounded"), (Outcome("raised", FAILS.failures[1]), "attribution"), (RETURNED, "attribution")]
)
def test_each_call_is_judged_as_a_case(ends: Both, oracle: str) -> None:
    """By its name within the job."""
    evidence = with_singles(written("save a; save b", ["a=1", "a=1 b=~"], ends={1: ends}, owed={1: FAILS}))
    assert violations(evidence)[oracle].startswith("save[2]: ")
    assert violations(with_singles(written("save a; save b", ["a=1", "a=1 b=~"], ends={1: RAISED}, owed={1: FAILS}))) == {}


def test_a_call_that_may_end_in_any_way_is_not_blamed() -> None:
    """After a failure that only one rank saw, the next call may hang; only the first is to blame."""
    evidence = with_singles(written("save a; continue; save b", ends={0: (RAISED, RETURNED), 2: Outcome("hung")}, owed={0: FAILS}))
    assert {judgement.operation for judgement in judged(evidence) if judgement.counts is Verdict.VIOLATED} == {"save[1]"}


def test_a_load_that_finds_nothing_may_be_refused() -> None:
    """Without any fault of its own."""
    refused = Outcome("raised", FAILS.failures[1])
    assert violations(with_singles(written("save a; load a", ["a=~"], ends={0: RAISED, 1: refused}, owed={0: FAILS}))) == {}
    assert "attribution" in violations(with_singles(written("save a; load a", ["a=1"], ends={1: refused})))


def _fired(owed: Expectation, *pairs: tuple[str, int, str], skipped: bool = False) -> Verdict:
    evidence = written("save a", owed={0: owed}, ends={0: RAISED}, skipped=[0] if skipped else [], fired=frozenset(pairs))
    evidence = replace(evidence, job=replace(evidence.job, faults=FaultPlan.parse(FAULT)))
    return Verdict.worst(judgement.verdict for judgement in said("fired", evidence))


def test_a_fault_that_could_fire_and_did_not_makes_the_job_vacuous() -> None:
    """A fault in an operation that was never done could not."""
    assert _fired(STRUCK, (FAULT, 1, "save[1]")) is Verdict.HOLDS
    assert _fired(STRUCK) is Verdict.VACUOUS
    assert _fired(STRUCK, (FAULT, 1, "save[2]")) is Verdict.VACUOUS
    assert _fired(STRUCK, skipped=True) is Verdict.HOLDS
    assert _fired(LIED_TO) is Verdict.HOLDS


def test_an_error_of_the_harness_is_unknown() -> None:
    """Whatever else was seen."""
    assert Verdict.worst(judgement.verdict for judgement in judged(written("save a", ["a=1"], internal_errors=("KeyError",)))) is Verdict.UNKNOWN


def test_the_page_about_jobs_names_every_oracle() -> None:
    """In the order in which they are asked."""
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "jobs.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(JOB_ORACLES)
