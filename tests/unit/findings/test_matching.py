"""A violation is known if the decisive fault and the signature both match an entry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import entry, evidence, hung, raised

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, Capability
from ckpt_harness.findings.register import Register
from ckpt_harness.findings.signatures import Signature, observed
from ckpt_harness.history import Event, History
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.oracles.calls import fired
from ckpt_harness.judging.trace import Trace
from ckpt_harness.judging.verdict import Judgement, Verdict

BOUNDED = Judgement("bounded", Verdict.VIOLATED, "somebody hangs", "save[1]")


def _known(register: Register, evidence: object, judgement: Judgement = BOUNDED, engine: str = "filesystem") -> str | None:
    [marked] = register.mark([judgement], engine, evidence)  # type: ignore[arg-type]
    return marked.known


@pytest.mark.parametrize(("ranks", "coordinator", "victim"), [(2, 0, 1), (2, 0, 0), (2, 1, 0), (3, 1, 2), (4, 3, 3), (5, 2, 0)])
def test_an_entry_matches_for_every_number_of_ranks_coordinator_and_victim(ranks: int, coordinator: int, victim: int) -> None:
    """Signatures name roles and not ranks."""
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
    """The same hang after another fault is not known."""
    assert _known(Register([entry()]), evidence(plan, {1: raised(ValueError("x"))})) is None


@pytest.mark.parametrize(
    "outcomes",
    [
        {0: hung("broadcast, waiting for rank 1, at torch/distributed/checkpoint/utils.py:120 in broadcast_object")},  # the coordinator waits elsewhere
        {2: Outcome("returned")},  # another rank reports success
        {1: raised(ValueError("something else"))},  # the victim raises another error
        {1: hung()},
    ],
    ids=["coordinator", "other", "victim's error", "victim's ending"],
)
def test_another_signature_is_new(outcomes: dict[int, Outcome]) -> None:
    """If one rank ends in another way, the violation is not known."""
    assert _known(Register([entry()]), evidence(outcomes=outcomes)) is None


@pytest.mark.parametrize(
    ("calls", "known"),
    [("*", True), ("groups save *", True), ("* save plan-caching", True), ("groups *", True), ("together *", False), ("* * default", False)],
)
def test_an_entry_names_its_calls(calls: str, known: bool) -> None:
    """For another way of calling, operation or planner, the same signature is new, and the entry need not show."""
    register, seen = Register([entry(calls=(calls,))]), replace(evidence(), way="groups", planner="plan-caching")
    assert _known(register, seen) == ("T-1" if known else None)
    assert register.covered("filesystem", seen) == ({"T-1"} if known else set())


def test_a_failed_retry_is_compared_with_the_endings_of_the_retry() -> None:
    """An entry may describe a retry that fails; the entry need not show without a retry."""
    again = entry(oracles=("recovery",), signatures=(Signature({"victim": ("raised KeyError: 'x'",), "other": ("hung *",), "coordinator": ("hung *",)}),))
    failed, register = evidence(), Register([again])
    retried = replace(failed, retry={0: hung(), 1: raised(KeyError("x")), 2: hung()})
    judgement = Judgement("recovery", Verdict.VIOLATED, "the retry failed", "save[1]")
    assert _known(register, retried, judgement) == "T-1"
    assert _known(register, replace(retried, retry={0: hung(), 1: raised(KeyError("y")), 2: hung()}), judgement) is None
    assert (register.covered("filesystem", retried), register.covered("filesystem", failed)) == ({"T-1"}, set())


def test_a_finding_in_one_group_does_not_explain_another_group() -> None:
    """A violation on ranks outside the group is new, even in the same operation."""
    register, seen = Register([entry()]), evidence()
    assert _known(register, seen, replace(BOUNDED, ranks=(0, 1, 2))) == "T-1"
    assert _known(register, seen, replace(BOUNDED, ranks=(3, 4))) is None


def test_another_engine_operation_or_oracle_is_new() -> None:
    """An entry explains only the engines, operations and oracles that it names."""
    register = Register([entry()])
    assert _known(register, evidence(), engine="mine") is None
    assert _known(register, evidence(), Judgement("commitment", Verdict.VIOLATED, "", "save[1]")) is None
    assert _known(register, evidence(operation="async_save[1]"), Judgement("bounded", Verdict.VIOLATED, "", "async_save[1]")) is None
    assert _known(register, evidence(), Judgement("bounded", Verdict.VIOLATED, "", "retry")) is None


def test_an_entry_may_name_the_evidence() -> None:
    """A violation for which the oracle gives another reason is new."""
    register = Register([entry(reasons=("rank * hangs",))])
    assert _known(register, evidence(), replace(BOUNDED, reason="rank 0 hangs")) == "T-1"
    assert _known(register, evidence(), replace(BOUNDED, reason="rank 0 died")) is None


def test_every_reason_must_be_described() -> None:
    """A violation is new if one of several things that were wrong is none of the entry's."""
    register = Register([entry(reasons=("rank * hangs", "rank * died"))])
    assert _known(register, evidence(), replace(BOUNDED, reasons=("rank 0 hangs", "rank 1 died"))) == "T-1"
    assert _known(register, evidence(), replace(BOUNDED, reasons=("rank 0 hangs", "rank 1 returned"))) is None


@pytest.mark.parametrize(("path", "known"), [("*.distcp", "T-1"), (".metadata*", None)])
def test_an_entry_may_name_the_call_around_a_fault(path: str, known: str | None) -> None:
    """The same fault of the disk during another storage call is new."""
    waits = Signature({"victim": ("raised *",), "coordinating_victim": ("raised *",), "coordinator": ("hung *",), "other": ("hung *",)})
    register = Register([entry(sites=("fs.write",), effects=("diskerror",), within=("writer.write_data",), signatures=(waits,))])
    with Rig(register=register) as rig:
        result = rig.run(Case(FaultPlan.parse(f"fs.write({path})@0=diskerror"), "save", ranks=2))
        [expectation] = result.evidence.forecast.expectations
        outcomes = {0: raised(OSError()), 1: hung()}
        seen = replace(result.evidence, outcomes={expectation.operation: outcomes})
    assert _known(register, seen) == known


@pytest.mark.parametrize(
    ("written", "known"),
    [((".future", ""), "T-1"), ((".future", ".future"), None), (("", None), "T-1"), ((None, None), None)],
)
def test_an_entry_about_an_interrupted_save_needs_one(written: tuple[str | None, str | None], known: str | None) -> None:
    """The same ends are new where no rank had begun to write, and where all had written."""
    calls = [
        Event(0.0, rank, "enter", "save[1]", f"writer.write_data{part}", 1)
        for rank, last in enumerate(written)
        for part in ("", ".future")
        if last is not None and part <= last
    ]
    register = Register([entry(halfway=True)])
    assert _known(register, replace(evidence(ranks=2), history=History(calls))) == known


@pytest.mark.parametrize(("more", "known"), [(True, "T-1"), (False, None)])
def test_fewer_ranks_interrupt_a_save_although_all_of_them_have_written(more: bool, known: str | None) -> None:
    """What other ranks have written before stays as it was."""
    calls = [Event(0.0, rank, "enter", "save[1]", f"writer.write_data{part}", 1) for rank in (0, 1) for part in ("", ".future")]
    storage = {"save[1]": (StorageEvidence(ranks=(0, 1), of_more_ranks=more),)}
    seen = replace(evidence(ranks=2), history=History(calls), storage=storage)
    assert _known(Register([entry(halfway=True)]), seen) == known


@pytest.mark.parametrize(("before", "known"), [((), None), ((0,), None), ((0, 2), "T-1"), ((1,), "T-1")])
def test_an_entry_about_another_coordinator_needs_one(before: tuple[int, ...], known: str | None) -> None:
    """The same ends are new where the same rank has coordinated all saves before."""
    seen = replace(evidence(), coordinators_before=frozenset(before))
    assert _known(Register([entry(another_coordinator=True)]), seen) == known


@pytest.mark.parametrize(("planner", "onto", "known"), [("own", True, "T-1"), ("own", False, None), ("default", True, None)])
def test_an_entry_names_the_call_of_each_operation_of_a_job(planner: str, onto: bool, known: str | None) -> None:
    """The kind of planner, and what the save found at its place."""
    seen = replace(evidence(), planners={"save[1]": planner}, overwriting=frozenset(["save[1]"] if onto else []))
    assert _known(Register([entry(calls=("* save own onto a checkpoint",))]), seen) == known


@pytest.mark.parametrize(("added", "known"), [((), "T-1"), (("new.distcp",), None)])
def test_an_entry_about_a_save_in_place_needs_the_old_names(added: tuple[str, ...], known: str | None) -> None:
    """The same ends are new where the save has added a file of a new name."""
    seen = replace(evidence(), onto="checkpoint", storage={"save[1]": (StorageEvidence(ranks=(0, 1, 2), added=added),)})
    assert _known(Register([entry(in_place=True)]), seen) == known


@pytest.mark.parametrize(("workload", "known"), [("sharded", "T-1"), ("mixed", None)])
def test_an_entry_may_name_the_workload(workload: str, known: str | None) -> None:
    """With another workload the same ends are new, and the entry need not show."""
    register, seen = Register([entry(workloads=("sharded", "d*"))]), replace(evidence(), workload=workload)
    assert (_known(register, seen), register.covered("filesystem", seen)) == (known, {known} - {None})


@pytest.mark.parametrize(("file", "known"), [("__0_0.distcp", "T-1"), ("index.bin", None), (None, None)])
def test_an_entry_may_name_the_files_that_were_struck(file: str | None, known: str | None) -> None:
    """The same fault in another file is new; so is a fault of which no file is known."""
    calls = [] if file is None else [Event(0.0, 1, "enter", "save[1]", "writer.reset", 1, file)]
    history = History([*calls, Event(0.0, 1, "fault", "save[1]", "writer.reset", 1, "writer.reset@1=raise")])
    assert _known(Register([entry(files=("*.distcp",))]), replace(evidence(), history=history)) == known


@pytest.mark.parametrize(
    ("rank", "detail", "known"),
    [(1, "thread 'writer': OSError: x", "T-1"), (1, "thread 'uploader': OSError: x", None), (2, "thread 'writer': OSError: x", None)],
)
def test_an_entry_may_name_an_error_that_escaped(rank: int, detail: str, known: str | None) -> None:
    """The same ends are new where no such error escaped on the rank that the fault struck."""
    register = Register([entry(escaped=("thread 'writer': *",))])
    assert _known(register, replace(evidence(), history=History([Event(0.0, rank, "escaped", detail=detail)]))) == known


def test_nothing_sees_what_escapes_in_the_process_of_the_executor() -> None:
    """There no error that escaped is asked for."""
    register = Register([entry(operations=("async_save",), escaped=("thread 'writer': *",))])
    seen = evidence(operation="async_save[1]")
    judgement = replace(BOUNDED, operation="async_save[1]")
    assert _known(register, seen, judgement) is None
    assert _known(register, replace(seen, background="process writer none"), judgement) == "T-1"


@pytest.mark.parametrize(("replaced", "known"), [("writer.write_data", None), ("writer.*", None), ("writer.finish", "T-1"), ("reader.*", "T-1")])
def test_a_finding_about_replaced_code_is_not_the_engines(replaced: str, known: str | None) -> None:
    """An engine that is known by its kin has no finding about a method that its class replaces."""
    register = Register([entry(sites=("writer.reset",), code=("writer.write_data",))])
    [marked] = register.mark([BOUNDED], "filesystem", evidence(), frozenset({replaced}) - {"writer.reset"})
    assert marked.known == known


def test_a_fault_in_a_replaced_method_is_not_the_kins() -> None:
    """Where the fault strikes within a method that the engine replaces, the code of its kin did not run."""
    register = Register([entry()])
    assert [judgement.known for judgement in register.mark([BOUNDED], "filesystem", evidence(), frozenset({"writer.reset"}))] == [None]


@pytest.mark.parametrize(("engine", "shipped", "known"), [("async-mine", True, None), ("async-mine", False, "T-1"), ("async-thread", True, "T-1")])
def test_a_pattern_of_the_shipped_register_is_about_engines_that_ship(engine: str, shipped: bool, known: str | None) -> None:
    """An engine of an installed package may have a name of the same pattern."""
    assert _known(Register([entry(engines=("async-*",), shipped=shipped)]), evidence(), engine=engine) == known


def test_a_claim_excludes_a_finding() -> None:
    """An engine that claims the capability of ``unless`` does not have the finding."""
    register, seen = Register([entry(unless=("atomic overwrite",))]), evidence()
    assert _known(register, replace(seen, capabilities=frozenset({Capability.COLLECTIVES}))) == "T-1"
    assert _known(register, replace(seen, capabilities=frozenset({Capability.ATOMIC_OVERWRITE}))) is None


def test_a_signature_may_name_the_class_of_the_planner() -> None:
    """``<planner>`` stands for the class of the save planner, whatever its name."""
    [signature] = entry().signatures
    named = replace(signature, roles={**signature.roles, "victim": ("raised KeyError: '<planner>'",)})
    register = Register([entry(signatures=(named,))])
    seen = replace(evidence(outcomes={1: raised(KeyError("MyPlanner"))}), save_planner="MyPlanner")
    assert _known(register, seen) == "T-1"
    assert _known(register, replace(seen, save_planner="OtherPlanner")) is None


def test_a_signature_may_be_restricted_to_some_oracles() -> None:
    """A signature of the first try does not explain a retry that ends alike."""
    [signature] = entry().signatures
    register = Register([entry(oracles=("bounded", "recovery"), signatures=(replace(signature, oracles=("bounded",)),))])
    seen = evidence()
    assert _known(register, seen) == "T-1"
    retried = replace(seen, retry=seen.outcomes["save[1]"])
    assert _known(register, retried, Judgement("recovery", Verdict.VIOLATED, "the retry failed", "save[1]")) is None


@pytest.mark.parametrize(("order", "known"), [((0, 1), "T-1"), ((0, 0), None)])
def test_an_entry_about_a_crossing_needs_one(order: tuple[int, int], known: str | None) -> None:
    """The same ends are new where the collectives of two saves did not cross."""
    saves = ("async_save[1]", "async_save[2]")
    bound = FaultPlan.parse("").bind(2, 0, DCP)
    hang = {rank: hung() for rank in (0, 1)}
    calls = [Event(0.0, rank, "enter", saves[save], "pg.gather", 1) for rank, save in enumerate(order)]
    forecast_of_both = forecast(bound, Trace.nominal(saves, bound.groups, DCP))
    seen = Evidence(forecast_of_both, dict.fromkeys(saves, hang), background="thread writer shared", history=History(calls))
    waits = Signature({"coordinator": ("hung *",), "other": ("hung *",)})
    register = Register([entry(operations=("async_save",), sites=(), effects=(), crossing=True, signatures=(waits,))])
    assert _known(register, seen, replace(BOUNDED, operation=saves[0])) == known


@pytest.mark.parametrize(("order", "known"), [((0, 1), "T-2"), ((0, 0), None)])
def test_beside_a_crossing_only_the_victims_of_another_finding_count(order: tuple[int, int], known: str | None) -> None:
    """The crossing explains how the other ranks ended."""
    saves = ("async_save[1]", "async_save[2]")
    bound = FaultPlan.parse("async_save[1]/writer.stage@1=raise").bind(2, 0, DCP)
    forecast_of_both = forecast(bound, Trace.nominal(saves, bound.groups, DCP))
    (failed,) = forecast_of_both.expectations[0].decisive
    ends = {0: hung(), 1: Outcome("raised", failed.error)}
    calls = [Event(0.0, rank, "enter", saves[save], "pg.gather", 1) for rank, save in enumerate(order)]
    seen = Evidence(forecast_of_both, dict.fromkeys(saves, ends), background="thread writer shared", history=History(calls))
    anyhow = Signature({"coordinator": ("hung *",), "other": ("hung *", "raised *")})
    crosses = entry(operations=("async_save",), sites=(), effects=(), crossing=True, signatures=(anyhow,))
    alone = Signature({"victim": ("raised the injected error",), "coordinator": ("returned",)})
    about = entry(id="T-2", operations=("async_save",), sites=("writer.stage",), oracles=("futures",), signatures=(alone,))
    assert _known(Register([crosses, about]), seen, Judgement("futures", Verdict.VIOLATED, "", saves[0])) == known


@pytest.mark.parametrize(
    ("order", "end", "known"),
    [((0, 1), hung(), "T-1"), ((0, 0), hung(), None), ((0, 1), Outcome("returned"), None)],
    ids=["crossed", "not crossed", "ended otherwise"],
)
def test_a_fault_behind_a_crossing_is_not_missed(order: tuple[int, int], end: Outcome, known: str | None) -> None:
    """The saves end before the fault, in a way that the entry describes; else the case shows nothing, as ever."""
    saves = ("async_save[1]", "async_save[2]")
    bound = FaultPlan.parse("async_save[1]/writer.finish@0=raise").bind(2, 0, DCP)
    calls = [Event(0.0, rank, "enter", saves[save], "pg.gather", 1) for rank, save in enumerate(order)]
    seen = Evidence(
        forecast(bound, Trace.nominal(saves, bound.groups, DCP)),
        {save: {0: end, 1: end} for save in saves},
        background="thread writer shared",
        history=History(calls),
    )
    waits = Signature({"coordinator": ("hung *",), "other": ("hung *",)})
    register = Register([entry(operations=("async_save",), sites=(), effects=(), crossing=True, signatures=(waits,))])
    (missed,) = fired(seen)
    assert missed.verdict is Verdict.VACUOUS
    assert _known(register, seen, missed) == known


def test_only_violations_are_marked() -> None:
    """Beside faults that a crossing explains, only VIOLATED is marked; HOLDS, VACUOUS and UNKNOWN are not."""
    for verdict in (Verdict.HOLDS, Verdict.VACUOUS, Verdict.UNKNOWN):
        assert _known(Register([entry()]), evidence(), Judgement("bounded", verdict, "", "save[1]")) is None


def test_a_signature_without_a_role_matches_no_rank_of_that_role() -> None:
    """A signature for victim and others does not match if there is also a coordinator."""
    narrow = entry(signatures=(Signature({"victim": ("raised *",), "other": ("hung *",)}),))
    assert _known(Register([narrow]), evidence("writer.reset@0=raise")) == "T-1"
    assert _known(Register([narrow]), evidence("writer.reset@1=raise")) is None


def test_a_coordinating_victim_may_end_differently() -> None:
    """A coordinating victim is compared with its own patterns if there are any, else with the victim's patterns."""
    apart = entry(signatures=(Signature({"victim": ("hung *",), "coordinating_victim": ("raised *",), "coordinator": ("raised *",), "other": ("hung *",)}),))
    assert _known(Register([apart]), evidence("writer.reset@0=raise")) == "T-1"
    assert _known(Register([apart]), evidence("writer.reset@0=raise", {0: hung()})) is None
    assert _known(Register([apart]), evidence("writer.reset@1=raise", {0: raised(TypeError("x")), 1: hung()})) == "T-1"


def test_the_victim_of_another_fault_counts_as_another_rank() -> None:
    """The victims of an entry are the ranks of its own faults only."""
    seen = evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise", {2: hung()})
    assert _known(Register([entry()]), seen) == "T-1"


def test_two_known_findings_may_show_together() -> None:
    """Each victim is compared with its own entry; any other result of the two known faults is known as well."""
    seen = evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise")
    both = Register([entry(), entry(id="T-2", sites=("writer.checkpoint_id",))])
    assert _known(both, seen) == "T-1"
    assert _known(Register([entry(id="T-3", sites=("writer.finish",))]), seen) is None
    assert _known(both, evidence("writer.reset@1=raise; writer.checkpoint_id@2=raise", {2: Outcome("returned")})) == "T-1"


def test_a_signature_may_be_restricted_to_some_effects() -> None:
    """A restricted signature does not explain a violation after another effect."""
    signature = Signature({"victim": ("raised *",), "coordinator": ("hung *",), "other": ("hung *",)}, effects=("raise(OSError:*)",))
    register = Register([entry(signatures=(signature,))])
    assert _known(register, evidence("writer.reset@1=raise(OSError:EIO)")) == "T-1"
    assert _known(register, evidence("writer.reset@1=raise")) is None


def test_a_signature_may_be_restricted_to_some_calls() -> None:
    """A restricted signature does not explain a violation of another call, and need not show there."""
    [signature] = entry().signatures
    register, seen = Register([entry(signatures=(replace(signature, calls=("groups *",)),))]), evidence()
    assert (_known(register, seen), register.covered("filesystem", seen)) == (None, set())
    assert _known(register, replace(seen, way="groups")) == "T-1"


@pytest.mark.parametrize(("release", "found"), [("2.9.1", "T-1"), ("2.13.0", None)])
def test_a_signature_may_be_restricted_to_some_releases(monkeypatch: pytest.MonkeyPatch, release: str, found: str | None) -> None:
    """A restricted signature does not explain a violation on another release of torch, and need not show there."""
    monkeypatch.setattr("ckpt_harness.findings.matching.torch_release", lambda: release)
    [signature] = entry().signatures
    register, seen = Register([entry(signatures=(replace(signature, torch=("2.9.*",)),))]), evidence()
    assert (_known(register, seen), register.covered("filesystem", seen)) == (found, {found} - {None})


def test_an_ending_does_not_quote_the_injected_error() -> None:
    """The injected error, and quotations of its message, are replaced by the same words for every plan."""
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


def test_the_ending_of_a_checkpoint_exception_names_the_differences() -> None:
    """The ending names the step, whether the ranks are right, and the errors that were not injected."""
    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.history import ErrorRecord
    from ckpt_harness.judging.expectation import Acting, Ending, Expectation

    right, wrong = ErrorRecord.of(ValueError("right")), ErrorRecord.of(AssertionError("wrong"))
    acting = Acting(FaultPlan.parse("writer.write_data@1=raise(ValueError)").bind(2, 0).faults[0], 1, right)
    expectation = Expectation("save[1]", (0, 1), Ending.FAILS, "write", {1: right}, (acting,))

    def ending_of(failures: dict[int, ErrorRecord]) -> str:
        error = ErrorRecord("torch.CheckpointException", failures=failures, step="write")
        [[ending]] = observed(expectation, {0: Outcome("raised", error)}, {1}).values()
        return ending

    assert ending_of({1: right}) == "raised CheckpointException in write, exact ranks: the injected error"
    assert ending_of({1: wrong}) == "raised CheckpointException in write, exact ranks: AssertionError: wrong"
    assert ending_of({0: right}) == "raised CheckpointException in write, wrong ranks: the injected error"


@pytest.mark.parametrize(
    ("plan", "operation"),
    [
        ("writer.write_data@0=raise; writer.checkpoint_id@0=raise(AttributeError)", "save"),
        ("writer.set_up_storage_writer@0=skip; writer.prepare_global_plan@coordinator=wrong", "save"),
        ("reader.set_up_storage_reader@1=raise(unpicklable); reader.reset@0=raise", "load"),
    ],
)
def test_any_result_of_a_known_fault_together_with_others_is_known(plan, operation):
    """Nobody can predict what several faults lead to together; a sweep also tries each fault alone."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(plan), operation, ranks=3))
    assert result.known
    assert result.verdict is Verdict.HOLDS


@pytest.mark.parametrize(("began", "known"), [(True, "T-1"), (False, None)])
def test_a_rank_lost_in_another_save_interrupts_this_one_where_it_is(began: bool, known: str | None) -> None:
    """The site of the fault says where the other save was. Of this one the history says whether it was being written."""
    plan = "async_save[2]/writer.prepare_global_plan@0=kill"
    dies = Signature(dict.fromkeys(("victim", "other"), ("dead", "raised *")), sites=("writer.write_data",))
    register = Register([entry(operations=("async_save",), sites=("writer.*",), effects=("kill",), halfway=True, signatures=(dies,))])
    saves = ["async_save[1]", "async_save[2]"]
    bound = FaultPlan.parse(plan).bind(2)
    owed = forecast(bound, Trace.nominal(saves, bound.groups, DCP))
    ends = {0: Outcome("dead"), 1: raised(RuntimeError("closed"))}
    calls = [Event(0.0, 1, "enter", saves[0], "writer.write_data", 1)] if began else []
    seen = Evidence(owed, dict.fromkeys(saves, ends), history=History(calls))
    assert _known(register, seen, replace(BOUNDED, operation=saves[0])) == known
