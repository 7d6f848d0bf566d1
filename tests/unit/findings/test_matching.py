"""What counts as a known finding: the decisive fault and the signature together, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import entry, evidence, hung, raised

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.findings.signatures import Signature, observed
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.verdict import Judgement, Verdict

BOUNDED = Judgement("bounded", Verdict.VIOLATED, "somebody hangs", "save[1]")


def _known(register: Register, evidence: object, judgement: Judgement = BOUNDED, engine: str = "filesystem") -> str | None:
    [marked] = register.mark([judgement], engine, evidence)  # type: ignore[arg-type]
    return marked.known


@pytest.mark.parametrize(("ranks", "coordinator", "victim"), [(2, 0, 1), (2, 0, 0), (2, 1, 0), (3, 1, 2), (4, 3, 3), (5, 2, 0)])
def test_an_entry_matches_whatever_the_size_the_coordinator_and_the_victim(ranks: int, coordinator: int, victim: int) -> None:
    """Signatures speak of roles, so that one entry holds for all worlds."""
    seen = evidence(f"writer.reset@{victim}=raise(OSError:EIO)", ranks=ranks, coordinator=coordinator)
    assert _known(Register([entry()]), seen) == "T-1"


@pytest.mark.parametrize(
    "plan",
    [
        "writer.storage_meta@1=raise",  # another site
        "writer.reset@1=delay(5)",  # another effect
    ],
)
def test_another_decisive_fault_is_new(plan: str) -> None:
    """The same hang after another fault does not hide behind the entry."""
    assert _known(Register([entry()]), evidence(plan, {1: raised(ValueError("x"))})) is None


@pytest.mark.parametrize(
    "outcomes",
    [
        {0: hung("broadcast, waiting for rank 1, at torch/distributed/checkpoint/utils.py:120 in broadcast_object")},  # the coordinator waits elsewhere
        {2: Outcome("returned")},  # one of the others believes in success
        {1: raised(ValueError("something else"))},  # the victim says something else
        {1: hung()},
    ],
    ids=["coordinator", "other", "victim's error", "victim's ending"],
)
def test_another_signature_is_new(outcomes: dict[int, Outcome]) -> None:
    """One rank that ends in another way is enough."""
    assert _known(Register([entry()]), evidence(outcomes=outcomes)) is None


@pytest.mark.parametrize(
    ("calls", "known"),
    [("*", True), ("groups save *", True), ("* save plan-caching", True), ("groups *", True), ("together *", False), ("* * default", False)],
)
def test_an_entry_is_about_some_calls(calls: str, known: bool) -> None:
    """Way, operation and planner: the same signature in another is new, and the entry need not show there."""
    register, seen = Register([entry(calls=(calls,))]), replace(evidence(), way="groups", planner="plan-caching")
    assert _known(register, seen) == ("T-1" if known else None)
    assert register.covered("filesystem", seen) == ({"T-1"} if known else set())


def test_what_a_retry_shows_is_matched_with_how_the_retry_ended() -> None:
    """A finding may be that nobody can try again; it need not show where nobody tried."""
    again = entry(oracles=("recovery",), signatures=(Signature({"victim": ("raised KeyError: 'x'",), "other": ("hung *",), "coordinator": ("hung *",)}),))
    failed, register = evidence(), Register([again])
    retried = replace(failed, retry={0: hung(), 1: raised(KeyError("x")), 2: hung()})
    judgement = Judgement("recovery", Verdict.VIOLATED, "the retry failed", "save[1]")
    assert _known(register, retried, judgement) == "T-1"
    assert _known(register, replace(retried, retry={0: hung(), 1: raised(KeyError("y")), 2: hung()}), judgement) is None
    assert (register.covered("filesystem", retried), register.covered("filesystem", failed)) == ({"T-1"}, set())


def test_a_finding_of_one_group_explains_nothing_of_another() -> None:
    """A judgement about other ranks is another matter, though the operation is the same."""
    register, seen = Register([entry()]), evidence()
    assert _known(register, seen, replace(BOUNDED, ranks=(0, 1, 2))) == "T-1"
    assert _known(register, seen, replace(BOUNDED, ranks=(3, 4))) is None


def test_another_engine_operation_or_oracle_is_new() -> None:
    """An entry explains only what it names."""
    register = Register([entry()])
    assert _known(register, evidence(), engine="mine") is None
    assert _known(register, evidence(), Judgement("commitment", Verdict.VIOLATED, "", "save[1]")) is None
    assert _known(register, evidence(operation="async_save[1]"), Judgement("bounded", Verdict.VIOLATED, "", "async_save[1]")) is None
    assert _known(register, evidence(), Judgement("bounded", Verdict.VIOLATED, "", "retry")) is None


def test_only_violations_are_marked() -> None:
    """What holds, or is not known to hold, is never called a known finding."""
    for verdict in (Verdict.HOLDS, Verdict.VACUOUS, Verdict.UNKNOWN):
        assert _known(Register([entry()]), evidence(), Judgement("bounded", verdict, "", "save[1]")) is None


def test_a_role_that_the_signature_leaves_out_must_not_be_there() -> None:
    """A signature of victim and others says nothing of a coordinator beside them."""
    narrow = entry(signatures=(Signature({"victim": ("raised *",), "other": ("hung *",)}),))
    assert _known(Register([narrow]), evidence("writer.reset@0=raise")) == "T-1"
    assert _known(Register([narrow]), evidence("writer.reset@1=raise")) is None


def test_a_coordinating_victim_may_end_differently() -> None:
    """Where the signature tells it apart it is held to its own patterns, and to the victim's otherwise."""
    apart = entry(signatures=(Signature({"victim": ("hung *",), "coordinating_victim": ("raised *",), "coordinator": ("raised *",), "other": ("hung *",)}),))
    assert _known(Register([apart]), evidence("writer.reset@0=raise")) == "T-1"
    assert _known(Register([apart]), evidence("writer.reset@0=raise", {0: hung()})) is None
    assert _known(Register([apart]), evidence("writer.reset@1=raise", {0: raised(TypeError("x")), 1: hung()})) == "T-1"


def test_victims_are_those_of_the_entry_itself() -> None:
    """Beside another decisive fault, its rank is one of the others."""
    seen = evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise", {2: hung()})
    assert _known(Register([entry()]), seen) == "T-1"


def test_two_known_findings_may_meet() -> None:
    """Each rank is held to the entry whose victim it is; and what else they lead to cannot be foretold, so it is known as well."""
    seen = evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise")
    both = Register([entry(), entry(id="T-2", sites=("writer.checkpoint_id",))])
    assert _known(both, seen) == "T-1"
    assert _known(Register([entry(id="T-3", sites=("writer.finish",))]), seen) is None
    assert _known(both, evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise", {2: Outcome("returned")})) == "T-1"


def test_a_signature_may_be_for_some_faults_only() -> None:
    """Narrowed by effect, it does not explain what another effect did."""
    signature = Signature({"victim": ("raised *",), "coordinator": ("hung *",), "other": ("hung *",)}, effects=("raise(OSError:*)",))
    register = Register([entry(signatures=(signature,))])
    assert _known(register, evidence("writer.reset@1=raise(OSError:EIO)")) == "T-1"
    assert _known(register, evidence("writer.reset@1=raise")) is None


def test_an_ending_is_told_without_what_differs_from_plan_to_plan() -> None:
    """The injected error, and what quotes it, read the same whatever was injected."""
    for error in ("OSError:EIO", "huge", "unicode"):
        seen = evidence(f"writer.reset@1=raise({error})")
        [expectation] = seen.forecast.expectations
        injected = expectation.decisive[0].error
        assert injected is not None
        outcomes = {0: raised(RuntimeError(f"lost: {injected.message}!")), 1: Outcome("raised", injected), 2: Outcome("returned")}
        assert observed(expectation, outcomes, {1}) == {
            "coordinator": {"raised RuntimeError: lost: <the injected error>!"},
            "victim": {"raised the injected error"},
            "other": {"returned"},
        }


def test_a_checkpoint_exception_is_told_by_what_differs() -> None:
    """Step, whether the ranks are right, and the errors that are not what was injected."""
    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.history import ErrorRecord
    from ckpt_harness.judging.expectation import Acting, Ending, Expectation

    right, wrong = ErrorRecord.of(ValueError("right")), ErrorRecord.of(AssertionError("wrong"))
    acting = Acting(FaultPlan.parse("writer.write_data@1=raise(ValueError)").bind(2, 0).faults[0], 1, right)
    expectation = Expectation("save[1]", (0, 1), Ending.FAILS, "write", {1: right}, (acting,))

    def told(failures: dict[int, ErrorRecord]) -> str:
        error = ErrorRecord("torch.CheckpointException", failures=failures, step="write")
        [[ending]] = observed(expectation, {0: Outcome("raised", error)}, {1}).values()
        return ending

    assert told({1: right}) == "raised CheckpointException in write, exact ranks: the injected error"
    assert told({1: wrong}) == "raised CheckpointException in write, exact ranks: AssertionError: wrong"
    assert told({0: right}) == "raised CheckpointException in write, wrong ranks: the injected error"


@pytest.mark.parametrize(
    ("plan", "operation"),
    [
        ("writer.write_data@0=raise; writer.checkpoint_id@0=raise(AttributeError)", "save"),
        ("writer.set_up_storage_writer@0=skip; writer.prepare_global_plan@coordinator=wrong", "save"),
        ("reader.set_up_storage_reader@1=raise(unpicklable); reader.reset@0=raise", "load"),
    ],
)
def test_a_known_fault_in_company_is_known_whatever_it_leads_to(plan, operation):
    """What other faults lead to beside it cannot be foretold; each is also tried without company."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(plan), operation, ranks=3))
    assert result.known
    assert result.verdict is Verdict.HOLDS
