"""The oracle about the order of calls: which rank calls what, how often, and whether a commit waits for the writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from ckpt_harness.faults.protocol import NESTED, Operation, Protocol
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.history import Event
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.expectation import Acting, Ending, Expectation
from ckpt_harness.judging.oracles.base import judged
from ckpt_harness.judging.verdict import Judgement

_WRITTEN = "writer.write_data.future"
"""The site that shows that a rank has written."""


def course(evidence: Evidence) -> Iterator[Judgement]:
    """The engine calls what its protocol declares, in that order, on the declared ranks, as often as declared; a commit waits for every rank's write."""
    for expectation in evidence.forecast.expectations:
        kind = cast(OperationKind, expectation.operation.partition("[")[0])
        if kind not in evidence.protocol.operations:
            continue  # the preparation of a case, which is no operation
        operation = evidence.protocol.operations[kind]
        calls = [event for event in evidence.history if event.kind == "enter" and event.operation == expectation.operation]
        reasons = list[str]()
        for rank in expectation.ranks:
            own = [event for event in calls if event.rank == rank]
            reasons += _undeclared(own, evidence.protocol, kind)
            reasons += _disorder(own, operation)
            reasons += _wrong_caller(own, expectation, operation, collectives=evidence.protocol.collectives)
        for rank, outcome in evidence.of(expectation).items():
            if outcome.kind == "returned":
                reasons += _left_out([event for event in calls if event.rank == rank], rank, operation)
        committing = [(rank,) for rank in expectation.ranks] if expectation.apart else [expectation.ranks]
        for ranks in committing:
            own = [event for event in calls if event.rank in ranks]
            reasons += _unwritten(own, ranks, operation)
            if not evidence.masked(expectation):
                reasons += _despite_failure(own, ranks, operation, expectation)
        yield judged("course", expectation, reasons)


def _undeclared(events: list[Event], protocol: Protocol, kind: OperationKind) -> Iterator[str]:
    """Calls of one rank within DCP's protocol steps that the engine's protocol leaves out.

    Unguarded calls are not judged: DCP makes some for one way of calling only. With ``checkpoint_id=None``, for example, ``dcp.save`` never calls
    ``reset``, and ``save_state_dict`` with another coordinator than 0 always does.
    """
    for site in dict.fromkeys(event.site for event in events):
        if SITES[site].guarded and protocol.leaves_out(site, kind):
            yield f"rank {events[0].rank} calls {site}, which the protocol {protocol.name!r} leaves out"


def _disorder(events: list[Event], operation: Operation) -> Iterator[str]:
    """How the calls of one rank differ from the declared order. Unguarded sites may come at any point."""
    order = [site for step in operation.steps for site in (*step.map, *step.reduce)]
    last = -1
    for event in events:
        if event.site not in order:
            continue
        earliest, latest = _span(event.site, order)
        if latest < last:
            yield f"rank {event.rank} calls {event.site} after {order[last]}"
        last = max(last, earliest)


def _span(site: str, order: list[str]) -> tuple[int, int]:
    """The first and the last position at which a site may be called.

    A nested site is called from within another call, and on a thread of the storage's own perhaps until that call's future has been waited for.
    """
    around = NESTED.get(site)
    if around is None or around not in order:
        return order.index(site), order.index(site)
    return order.index(around), order.index(f"{around}.future")


def _wrong_caller(events: list[Event], expectation: Expectation, operation: Operation, *, collectives: bool) -> Iterator[str]:
    """Calls of one rank that are too many, or that only the coordinator may make."""
    guarded = {site for step in operation.steps for site in (*step.map, *step.reduce)}
    for event in events:
        if event.site not in guarded:
            continue
        site = SITES[event.site]
        if event.nth > 1 and not site.several:
            yield f"rank {event.rank} calls {event.site} {event.nth} times"
        if site.callers == "coordinator" and collectives and event.rank != expectation.coordinator:
            yield f"rank {event.rank} calls {event.site}, although rank {expectation.coordinator} coordinates"


def _left_out(events: list[Event], rank: int, operation: Operation) -> Iterator[str]:
    """Declared calls that a rank did not make although it reports success. Whether nested calls are made depends on the state."""
    called = {event.site for event in events}
    for step in operation.steps if called else ():
        yield from (f"rank {rank} never calls {site}" for site in step.map if site not in called and site not in NESTED)


def _unwritten(events: list[Event], ranks: tuple[int, ...], operation: Operation) -> Iterator[str]:
    """A commit that did not wait until all of ``ranks`` had written."""
    commit = _commit(events)
    if commit is None or not any(_WRITTEN in step.map for step in operation.steps):
        return
    written = {event.rank for event in events[:commit] if event.site == _WRITTEN}
    missing = sorted(set(ranks) - written)
    if missing:
        yield f"finish is called before ranks {missing} have written"


def _despite_failure(events: list[Event], ranks: tuple[int, ...], operation: Operation, expectation: Expectation) -> Iterator[str]:
    """A commit although a rank had failed before."""
    if _commit(events) is None or expectation.ending is not Ending.FAILS or expectation.lasting:
        return
    failed = sorted(acting.rank for acting in expectation.decisive if acting.rank in ranks and not _too_late(acting, operation))
    if failed:
        yield f"finish is called although ranks {failed} have failed"


def _commit(events: list[Event]) -> int | None:
    """Index of the first call that commits, or None."""
    return next((index for index, event in enumerate(events) if event.site == "writer.finish"), None)


def _too_late(acting: Acting, operation: Operation) -> bool:
    """Whether a fault fails in the commit itself, behind the steps, or beside them: then nothing keeps the coordinator from committing."""
    if acting.where == "writer.finish" or acting.where in operation.after:
        return True
    return acting.bound.fault.after and acting.where in operation.before
