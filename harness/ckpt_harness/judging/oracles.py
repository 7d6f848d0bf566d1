"""Oracles: pure checks over what was planned, what each rank saw, and what is on storage.

Each takes the :class:`Evidence` of a case and gives judgements. None imports a wrapper, the injector or a world: the judge shares no code with
the culprit. An oracle that crashes is UNKNOWN, never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from ckpt_harness.faults.protocol import DCP, NESTED, Capability, Operation, Protocol
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.history import SOME_ERROR, ErrorRecord, Event, History
from ckpt_harness.judging.model import DAMAGES, Ending, Expectation, Forecast
from ckpt_harness.judging.verdict import Judgement, Verdict


@dataclass(frozen=True)
class Outcome:
    """How an operation ended on a rank.

    Attributes:
        kind: ``returned``, ``raised``, ``hung``, ``dead`` or ``unknown`` (something outside the world did not answer).
        error: what was raised.
        where: for a rank that hangs, what it waits for, at which line, and for whom.
        finished_at: seconds of the world's time.
    """

    kind: Literal["returned", "raised", "hung", "dead", "unknown"]
    error: ErrorRecord | None = None
    where: str = ""
    finished_at: float = 0.0

    def __str__(self) -> str:
        if self.kind == "raised":
            return f"raised {self.error}"
        return f"{self.kind} ({self.where})" if self.where else self.kind


@dataclass(frozen=True)
class StorageEvidence:
    """What a group has left on storage once its operation has ended, or the world with it.

    Attributes:
        committed: whether the operation's own place holds a commit marker.
        finish_acted: whether the call that commits was made; by every rank, where each commits for itself.
        damaged: other committed checkpoints whose content changed: name -> what changed.
        mismatches: for each way of loading what was committed (``2 ranks``, ``1 rank``), what came back wrong; empty where all was right.
        ranks: the ranks that share the place; none where they are all that take part in the operation.
        later: names of entries that hold values which the state was given after it had been staged.
        silent: as ``mismatches``, but only what came back with success.
        saves: for each way of loading, the numbers of the saves whose values came back with success.
        flaws: what does not fit together in what was committed: entries of the metadata without bytes, bytes outside of their file.
        refusable: as ``silent``, for ways of loading that the checkpoint need not allow; not that they report success and leave holes.
        replaced: where a checkpoint was to be replaced, what each way of loading showed: ``old``, ``new``, or what is neither.
    """

    committed: bool | None = None
    finish_acted: bool = False
    damaged: Mapping[str, str] = field(default_factory=dict)
    mismatches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranks: tuple[int, ...] = ()
    later: tuple[str, ...] = ()
    silent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    saves: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    flaws: tuple[str, ...] = ()
    refusable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def about(self, ranks: Iterable[int]) -> bool:
        """Whether some ranks share the place."""
        return not self.ranks or not set(self.ranks).isdisjoint(ranks)


@dataclass(frozen=True)
class Evidence:
    """Everything that the oracles may look at.

    Attributes:
        forecast: what the plan had to lead to.
        outcomes: operation -> rank -> how it ended.
        fired: (text of the fault, rank) of the faults that fired.
        optional: texts of the faults that need not fire.
        storage: operation -> what it left on storage, group by group.
        loaded: operation (loads) -> rank -> what came back wrong.
        futures: operation (async saves) -> rank -> name (``upload``, ``staging``) -> what each returned future says once all is over.
        left: what went on, or lay about, though all operations had ended: threads, processes, files, errors that escaped.
        retry: how the same ranks fared when they tried again with the faults healed: rank -> outcome; None if they did not try.
        retry_mismatches: what was wrong with what the retry saved or loaded.
        background: how an async save was done: executor, staging and overlap, as ``ckpt_harness.faults.calling`` names them.
        internal_errors: errors of the harness's own.
        timeout: seconds that a collective waits for late ranks.
        capabilities: what the engine claims.
        protocol: what the engine says that it calls.
        way: name of the way of calling.
        planner: name of the kind of planner.
        onto: what a save found at its place: ``nothing``, or a ``checkpoint``.
        history: what happened, in order.
    """

    forecast: Forecast
    outcomes: Mapping[str, Mapping[int, Outcome]]
    fired: frozenset[tuple[str, int]] = frozenset()
    optional: frozenset[str] = frozenset()
    storage: Mapping[str, Sequence[StorageEvidence]] = field(default_factory=dict)
    loaded: Mapping[str, Mapping[int, tuple[str, ...]]] = field(default_factory=dict)
    futures: Mapping[str, Mapping[int, Mapping[str, Outcome]]] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    retry: Mapping[int, Outcome] | None = None
    retry_mismatches: tuple[str, ...] = ()
    background: str = "thread writer none"
    internal_errors: tuple[str, ...] = ()
    timeout: float = 1800.0
    capabilities: frozenset[Capability] = frozenset(Capability)
    protocol: Protocol = DCP
    way: str = "together"
    planner: str = "default"
    onto: str = "nothing"
    history: History = field(default_factory=History)

    def of(self, expectation: Expectation) -> dict[int, Outcome]:
        """The outcomes of the ranks that an expectation is about."""
        found = self.outcomes.get(expectation.operation, {})
        return {rank: found[rank] for rank in expectation.ranks if rank in found}

    def masked(self, expectation: Expectation) -> bool:
        """Whether what failed was made good, as the engine may, and all ranks report success."""
        outcomes = self.of(expectation)
        # What could not be made durable is lost, and the next fsync says nothing of it.
        lost = Capability.DURABLE_COMMIT in self.capabilities and any(one.bound.fault.site == "fs.fsync" for one in expectation.decisive)
        return expectation.maskable and not lost and bool(outcomes) and all(one.kind == "returned" for one in outcomes.values())

    def retried(self, expectation: Expectation) -> dict[int, Outcome]:
        """How those ranks fared that an expectation is about and that tried again."""
        return {rank: self.retry[rank] for rank in expectation.ranks if self.retry and rank in self.retry}


def bounded(evidence: Evidence) -> Iterator[Judgement]:
    """Every rank returns promptly, without help from the group's timeout, unless the plan stalls somebody."""
    for expectation in evidence.forecast.expectations:
        outcomes = evidence.of(expectation)
        unknown = {rank: one for rank, one in outcomes.items() if one.kind == "unknown"}
        missing = [rank for rank in expectation.ranks if rank not in outcomes]
        if unknown or missing:
            yield _judge("bounded", Verdict.UNKNOWN, expectation, _told(unknown) or f"no outcome from ranks {missing}")
        elif expectation.ending in (Ending.SUCCEEDS, Ending.FAILS):
            due = evidence.timeout + expectation.delayed
            late = {rank: one for rank, one in outcomes.items() if one.kind in ("hung", "dead") or one.finished_at >= due}
            yield _judge("bounded", Verdict.VIOLATED if late else Verdict.HOLDS, expectation, _told(late))


def agreement(evidence: Evidence) -> Iterator[Judgement]:
    """All ranks fail or all succeed, operation by operation. Where somebody stalls, nobody succeeds."""
    for expectation in evidence.forecast.expectations:
        if not expectation.agreement:
            continue
        live = {rank: one for rank, one in evidence.of(expectation).items() if one.kind not in ("dead", "unknown")}
        if expectation.ending is Ending.STALLS:
            wrong = {rank: one for rank, one in live.items() if one.kind == "returned"}
            yield _judge("agreement", Verdict.VIOLATED if wrong else Verdict.HOLDS, expectation, f"success beside a lost rank: {_told(wrong)}")
        else:
            differ = len({one.kind for one in live.values()}) > 1
            yield _judge("agreement", Verdict.VIOLATED if differ else Verdict.HOLDS, expectation, _told(live))


def attribution(evidence: Evidence) -> Iterator[Judgement]:
    """A ``CheckpointException`` on every live rank names exactly the failed ranks with the original error; and nothing fails of itself."""
    for expectation in evidence.forecast.expectations:
        if expectation.ending not in (Ending.SUCCEEDS, Ending.FAILS) or evidence.masked(expectation):
            continue
        wrong = {}
        for rank, one in evidence.of(expectation).items():
            fault = _kept_quiet(expectation, rank, one) if expectation.apart else misattributed(expectation, one)
            if fault:
                wrong[rank] = fault
        reason = "; ".join(f"rank {rank}: {fault}" for rank, fault in wrong.items())
        yield _judge("attribution", Verdict.VIOLATED if wrong else Verdict.HOLDS, expectation, reason)


def _kept_quiet(expectation: Expectation, rank: int, outcome: Outcome) -> str:
    """Where nobody is told of others: what is wrong with how one rank ended, who owes its own error and no other."""
    own = expectation.failures.get(expectation.ranks.index(rank))
    if own is None:
        return misattributed(expectation, outcome) if expectation.ending is Ending.SUCCEEDS else ""
    if outcome.kind in ("hung", "unknown", "dead"):
        return ""
    raised = outcome.error if own != SOME_ERROR or outcome.error is None else own
    return f"{outcome} instead of raising its own {own}" if raised != own else ""


def misattributed(expectation: Expectation, outcome: Outcome) -> str:
    """What is wrong with what one rank was told.

    Args:
        expectation: what the operation had to lead to; SUCCEEDS or FAILS.
        outcome: how it ended on the rank.

    Returns:
        The difference in words, or "" if there is none. Hanging is for :func:`bounded` to judge.
    """
    if outcome.kind in ("hung", "unknown", "dead"):
        return ""
    if expectation.ending is Ending.SUCCEEDS:
        return f"failed though nothing was injected that fails: {outcome}" if outcome.kind == "raised" else ""
    if outcome.kind == "returned":
        return "reported success"
    assert outcome.error is not None, "an outcome that raised holds what was raised"
    return _mistold(expectation, outcome.error)


def _mistold(expectation: Expectation, raised: ErrorRecord) -> str:
    told = raised.failures
    if told is None:
        return f"raised {raised} instead of a CheckpointException"
    some = expectation.maskable and told and set(told) < set(expectation.failures)  # the others have made theirs good
    if set(told) != set(expectation.failures) and not some:
        return f"names ranks {sorted(told)} instead of {sorted(expectation.failures)}"
    for named, error in expectation.failures.items():
        if named in told and error not in (SOME_ERROR, told[named]):
            return f"says of rank {named}: {_difference(told[named], error)}"
    if raised.message:
        return f"its text does not tell of every rank and error: {raised.message[:200]!r}"
    if expectation.step and raised.step != expectation.step and not expectation.lasting:
        return f"reports step {raised.step!r} instead of {expectation.step!r}"
    return ""


def _difference(told: ErrorRecord, injected: ErrorRecord) -> str:
    if told.type_name != injected.type_name:
        return f"{told} instead of {injected}"
    parts = [name for name in ("errno", "message", "args") if getattr(told, name) != getattr(injected, name)]
    return f"{told} instead of {injected} (differs in {', '.join(parts) or 'what it wraps'})"


def fired(evidence: Evidence) -> Iterator[Judgement]:
    """Every planned fault that could fire did; otherwise the case shows nothing."""
    for error in evidence.internal_errors:
        yield Judgement("fired", Verdict.UNKNOWN, f"the harness broke: {error}")
    missed = {(text, rank) for expectation in evidence.forecast.expectations for text, rank in expectation.must_fire} - evidence.fired
    never = evidence.forecast.unreachable - evidence.fired
    reasons = [f"{text} never fired on rank {rank}" for text, rank in sorted(missed) if text not in evidence.optional]
    reasons += [f"{text} strikes no call on rank {rank}" for text, rank in sorted(never) if text not in evidence.optional]
    yield Judgement("fired", Verdict.VACUOUS if reasons else Verdict.HOLDS, "; ".join(reasons))


def commitment(evidence: Evidence) -> Iterator[Judgement]:
    """After success everything loads bit-equal; after failure there is no new commit marker, unless the commit acted; nothing else was touched."""
    for operation, storage in ((name, one) for name, places in evidence.storage.items() for one in places):
        relevant = [one for one in evidence.forecast.expectations if one.operation == operation and storage.about(one.ranks)]
        reasons = [f"checkpoint {name!r} was changed: {what}" for name, what in storage.damaged.items()]
        outcomes = [one for rank, one in evidence.outcomes.get(operation, {}).items() if storage.about([rank])]
        succeeded = bool(outcomes) and all(one.kind == "returned" for one in outcomes)
        failed = any(one.ending is Ending.FAILS or one.ending is Ending.STALLS for one in relevant)
        if not operation.startswith("load"):
            if succeeded and storage.committed is False:
                reasons.append("success without a commit marker")
            if storage.committed and failed and not storage.finish_acted:
                reasons.append("a commit marker though finish never acted")
        if succeeded or storage.committed:
            reasons += storage.flaws[:3]
            reasons += [f"loaded on {how}: {'; '.join(found[:3])}" for how, found in storage.mismatches.items() if found]
        elif not succeeded:
            lost = {how: shown for how, shown in storage.replaced.items() if shown not in ("old", "new")}
            reasons += [f"the checkpoint that was to be replaced is lost; loading on {how} gives: {shown}" for how, shown in lost.items()]
        yield Judgement("commitment", Verdict.VIOLATED if reasons else Verdict.HOLDS, "; ".join(reasons), operation, storage.ranks)


def purity(evidence: Evidence) -> Iterator[Judgement]:
    """A load that succeeds shows the values of one save only."""
    for operation, places in evidence.storage.items():
        for storage in places:
            mixed = {how: saves for how, saves in storage.saves.items() if len(saves) > 1}
            reason = "; ".join(f"loaded on {how}: values of saves {', '.join(map(str, saves))}" for how, saves in mixed.items())
            if storage.saves:
                yield Judgement("purity", Verdict.VIOLATED if mixed else Verdict.HOLDS, reason, operation, storage.ranks)


def integrity(evidence: Evidence) -> Iterator[Judgement]:
    """Bytes that are damaged on their way, or in storage, are detected by whoever loads them, or are harmless."""
    for expectation in evidence.forecast.expectations:
        if not _damaged(expectation):
            continue
        loaded, outcomes = evidence.loaded.get(expectation.operation, {}), evidence.of(expectation)
        silent = [f"rank {rank}: {', '.join(loaded[rank][:3])}" for rank, one in outcomes.items() if one.kind == "returned" and loaded.get(rank)]
        for storage in evidence.storage.get(expectation.operation, ()):
            if storage.about(expectation.ranks):
                # The old checkpoint, whole, is a save that was lost and no damage: it is for commitment to judge.
                silent += [f"loaded on {how}: {'; '.join(found[:3])}" for how, found in storage.silent.items() if found and storage.replaced.get(how) != "old"]
        yield _judge("integrity", Verdict.VIOLATED if silent else Verdict.HOLDS, expectation, "; ".join(silent))


def _damaged(expectation: Expectation) -> bool:
    """Whether bytes were damaged."""
    return any(isinstance(one.bound.fault.effect, DAMAGES) for one in expectation.decisive)


def course(evidence: Evidence) -> Iterator[Judgement]:
    """The engine calls what its protocol declares, in that order, by whom and as often as it says; it commits only what every rank has written."""
    for expectation in evidence.forecast.expectations:
        if expectation.operation.partition("[")[0] not in evidence.protocol.operations:
            continue  # what was to be prepared for the case
        events = [event for event in evidence.history if event.kind == "enter" and event.operation == expectation.operation]
        reasons = [text for rank in expectation.ranks for text in _disorder([one for one in events if one.rank == rank], expectation, evidence.protocol)]
        returned = [rank for rank, one in evidence.of(expectation).items() if one.kind == "returned"]
        reasons += [text for rank in returned for text in _left_out([one for one in events if one.rank == rank], rank, expectation, evidence.protocol)]
        for committing in [(rank,) for rank in expectation.ranks] if expectation.apart else [expectation.ranks]:
            reasons += _premature(events, committing, expectation, evidence.protocol, masked=evidence.masked(expectation))
        yield _judge("course", Verdict.VIOLATED if reasons else Verdict.HOLDS, expectation, "; ".join(reasons))


def _course_of(expectation: Expectation, protocol: Protocol) -> Operation:
    return protocol.operations[cast(OperationKind, expectation.operation.partition("[")[0])]


def _disorder(events: list[Event], expectation: Expectation, protocol: Protocol) -> Iterator[str]:
    """How the calls of one rank differ from the protocol's course. Unguarded sites may come at any point."""
    steps = _course_of(expectation, protocol).steps
    order = [site for step in steps for site in (*step.map, *step.reduce)]
    last = -1
    for event in events:
        if event.site not in order:
            continue
        around = NESTED.get(event.site, event.site)
        nested = event.site in NESTED and around in order
        position = order.index(around if nested else event.site)
        # A storage may do its work on threads of its own, until its future has been waited for.
        latest = order.index(f"{around}.future") if nested else position
        if latest < last:
            yield f"rank {event.rank} calls {event.site} after {order[last]}"
        last = max(last, position)
        if event.nth > 1 and not SITES[event.site].several:
            yield f"rank {event.rank} calls {event.site} {event.nth} times"
        if SITES[event.site].callers == "coordinator" and protocol.collectives and event.rank != expectation.coordinator:
            yield f"rank {event.rank} calls {event.site}, though rank {expectation.coordinator} coordinates"


def _left_out(events: list[Event], rank: int, expectation: Expectation, protocol: Protocol) -> Iterator[str]:
    """The calls that a rank reports success without having made. What is nested in another call depends on the state."""
    called = {event.site for event in events}
    for step in _course_of(expectation, protocol).steps if called else ():
        yield from (f"rank {rank} never calls {site}" for site in step.map if site not in called and site not in NESTED)


def _premature(
    all_events: list[Event], ranks: tuple[int, ...], expectation: Expectation, protocol: Protocol, *, masked: bool
) -> Iterator[str]:
    """What the commit of some ranks did not wait for, or should have been kept from by."""
    events = [event for event in all_events if event.rank in ranks]
    commits = [index for index, event in enumerate(events) if event.site == "writer.finish"]
    if not commits:
        return
    course = _course_of(expectation, protocol)
    written = {event.rank for event in events[: commits[0]] if event.site == "writer.write_data.future"}
    missing = sorted(set(ranks) - written)
    if missing and any("writer.write_data.future" in step.map for step in course.steps):
        yield f"finish is called before ranks {missing} have written"
    acting = [(one.bound.fault, one.where) for one in expectation.decisive]
    # What fails beside the steps or behind them keeps nobody from committing.
    late = {str(fault) for fault, site in acting if site in ("writer.finish", *course.after) or (fault.after and site in course.before)}
    failed = sorted(one.rank for one in expectation.decisive if one.rank in ranks and str(one.bound.fault) not in late)
    if expectation.ending is Ending.FAILS and failed and not (masked or expectation.lasting):
        yield f"finish is called though ranks {failed} have failed"


def filled(evidence: Evidence) -> Iterator[Judgement]:
    """A load that reports success has filled its targets, bit-equal, with one save's values; whoever loads, also where it may be refused."""
    for expectation in evidence.forecast.expectations:
        if expectation.operation in evidence.loaded:
            loaded, outcomes = evidence.loaded[expectation.operation], evidence.of(expectation)
            wrong = {rank: loaded[rank] for rank, one in outcomes.items() if one.kind == "returned" and loaded.get(rank)}
            reason = "; ".join(f"rank {rank}: {', '.join(found[:3])}" for rank, found in wrong.items())
            yield _judge("filled", Verdict.VIOLATED if wrong else Verdict.HOLDS, expectation, reason)
    for operation, storage in ((name, one) for name, places in evidence.storage.items() for one in places if one.refusable):
        reason = "; ".join(f"loaded on {how}, which reports success: {'; '.join(found[:3])}" for how, found in storage.refusable.items() if found)
        yield Judgement("filled", Verdict.VIOLATED if reason else Verdict.HOLDS, reason, operation, storage.ranks)


def futures(evidence: Evidence) -> Iterator[Judgement]:
    """Every future that an async save returned completes, and says the truth."""
    for expectation in evidence.forecast.expectations:
        told = evidence.futures.get(expectation.operation, {})
        outcomes = evidence.of(expectation)
        reasons = [
            f"rank {rank}: the {name} future {fault}"
            for rank in expectation.ranks
            for name, said in told.get(rank, {}).items()
            if (fault := _untrue(name, said, rank, outcomes.get(rank), expectation))
        ]
        if told:
            yield _judge("futures", Verdict.VIOLATED if reasons else Verdict.HOLDS, expectation, "; ".join(reasons))


def _untrue(name: str, said: Outcome, rank: int, outcome: Outcome | None, expectation: Expectation) -> str:
    """What is wrong with what a future says; "" if nothing is, or it cannot be told."""
    if said.kind == "hung":
        return "is never completed" if expectation.ending in (Ending.SUCCEEDS, Ending.FAILS) else ""
    if name == "upload":
        ended = outcome is not None and (outcome.kind != said.kind or outcome.error != said.error)
        return f"says {said}, and whoever waited for it was told {outcome}" if ended else ""
    failed = [one for one in expectation.decisive if one.rank == rank and one.bound.fault.site.startswith("stager.stage")]
    if said.kind == "returned" and any(one.error is not None for one in failed):
        return f"says that the state was staged, though staging failed with {failed[0].error}"
    return f"says {said}, though staging did not fail" if said.kind == "raised" and not failed else ""


def isolation(evidence: Evidence) -> Iterator[Judgement]:
    """What is done to the state after it was staged does not change what is saved."""
    for operation, places in evidence.storage.items():
        for storage in places if operation.startswith("async_save") else ():
            if storage.mismatches:
                reason = f"{', '.join(storage.later)}: saved as it was after staging" if storage.later else ""
                yield Judgement("isolation", Verdict.VIOLATED if storage.later else Verdict.HOLDS, reason, operation, storage.ranks)


def hygiene(evidence: Evidence) -> Iterator[Judgement]:
    """Once all operations have ended, nothing of them goes on or lies about: no thread, process, open or temporary file, no error that nobody took."""
    for expectation in evidence.forecast.expectations:
        if expectation.ending in (Ending.SUCCEEDS, Ending.FAILS) and all(one.kind in ("returned", "raised") for one in evidence.of(expectation).values()):
            yield _judge("hygiene", Verdict.VIOLATED if evidence.left else Verdict.HOLDS, expectation, "; ".join(evidence.left[:5]))


def recovery(evidence: Evidence) -> Iterator[Judgement]:
    """Once the fault is healed, the same ranks and the same group succeed with the same storage objects."""
    for expectation in evidence.forecast.expectations:
        retried = evidence.retried(expectation)
        if retried:
            wrong = {rank: one for rank, one in retried.items() if one.kind != "returned"}
            reasons = [f"the retry failed: {_told(wrong)}"] if wrong else list(evidence.retry_mismatches[:3])
            unknown = bool(wrong) and all(one.kind == "unknown" for one in wrong.values())
            verdict = Verdict.UNKNOWN if unknown else Verdict.VIOLATED if reasons else Verdict.HOLDS
            yield _judge("recovery", verdict, expectation, "; ".join(reasons))


Oracle = Callable[[Evidence], Iterable[Judgement]]
ORACLES: dict[str, Oracle] = {
    "bounded": bounded,
    "agreement": agreement,
    "attribution": attribution,
    "fired": fired,
    "commitment": commitment,
    "purity": purity,
    "integrity": integrity,
    "course": course,
    "filled": filled,
    "futures": futures,
    "isolation": isolation,
    "hygiene": hygiene,
    "recovery": recovery,
}
"""Name -> oracle, in the order in which they expose bugs."""

def judge(evidence: Evidence) -> list[Judgement]:
    """Asks every oracle.

    Returns:
        Their judgements; an oracle that crashed is UNKNOWN, and one whose capability the engine does not claim is marked so.
    """
    found: list[Judgement] = []
    for name, oracle in ORACLES.items():
        try:
            found += [replace(one, claimed=needed(one, evidence) <= evidence.capabilities) for one in oracle(evidence)]
        except Exception as error:  # noqa: BLE001  (whatever breaks in an oracle, it is no pass)
            found.append(Judgement(name, Verdict.UNKNOWN, f"the oracle crashed: {type(error).__name__}: {error}"))
    return found


def needed(judgement: Judgement, evidence: Evidence) -> frozenset[Capability]:
    """The capabilities that an engine must claim for a judgement to count. That it leaves other checkpoints alone goes without saying."""
    damaged = any(one.damaged for places in evidence.storage.values() for one in places)
    if judgement.oracle == "integrity" or (judgement.oracle == "purity" and any(map(_damaged, evidence.forecast.expectations))):
        return frozenset({Capability.CHECKSUMS})
    if judgement.oracle not in ("commitment", "filled", "isolation") or damaged:
        return frozenset()
    deceived = any(one.deceived for one in evidence.forecast.expectations if judgement.is_about(one.operation, one.ranks))
    capabilities = {Capability.DETECTS_LIES} if deceived else set()
    if judgement.oracle == "commitment":
        places = evidence.storage.get(judgement.operation, ())
        succeeded = all(one.kind == "returned" for one in evidence.outcomes.get(judgement.operation, {}).values())
        wrote = any(event.site in ("writer.write_data", "save_planner.resolve_data") and event.operation == judgement.operation for event in evidence.history)
        # What was reported as saved is owed in any case, and so is what was there before anybody wrote.
        replaces = any(one.replaced for one in places) and not succeeded and wrote
        capabilities.add(Capability.ATOMIC_OVERWRITE if replaces else Capability.COMMIT_MARKER)
    return frozenset(capabilities)


def _judge(oracle: str, verdict: Verdict, expectation: Expectation, reason: str) -> Judgement:
    return Judgement(oracle, verdict, "" if verdict is Verdict.HOLDS else reason, expectation.operation, expectation.ranks)


def _told(outcomes: Mapping[int, Outcome]) -> str:
    return "; ".join(f"rank {rank} {one}" for rank, one in sorted(outcomes.items()))
