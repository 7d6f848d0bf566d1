"""The oracle about the calls of a manager that nothing strikes. Those of an engine are for the oracles of single operations to judge."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.evidence import Done
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.operations import LATEST, Load, Prune, Wait
from ckpt_harness.jobs.oracles.base import judged, named
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.judging.oracles.base import listed
from ckpt_harness.judging.verdict import Judgement, Verdict


def undisturbed(model: Model) -> Iterator[Judgement]:
    """A call of a manager succeeds if nothing strikes it, and ends on every rank unless a rank is lost.

    Whether a call succeeds that follows a failure of its own life is for ``recovery`` to judge, and whether ranks end alike, for ``agreement``.
    """
    if not model.evidence.managed:
        return
    for done in model.evidence.done:
        made = model.calls.get(done.call)
        if made is not None:
            unknown = all(outcome.kind in ("returned", "unknown") for outcome in made.outcomes.values())
            wrong = [*_of_call(model, made), *_of_latest(model, made)]
            yield judged("undisturbed", model, made.call, wrong, made.done.ranks, Verdict.UNKNOWN if unknown else Verdict.VIOLATED)
        elif not done.skipped and isinstance(model.evidence.job.operations[done.index], (Wait, Prune)) and not _may_fail(model, done):
            failed = {rank: outcome for rank, outcome in done.outcomes.items() if outcome.kind != "returned"}
            yield judged("undisturbed", model, "", [f"{named(model, done)}: {text}" for text in listed(failed)], done.ranks)


def _of_call(model: Model, made: Made) -> Iterator[str]:
    """What a save or load has done that nothing can excuse."""
    beside = [other for other in model.calls.values() if other.done.life == made.done.life and other.is_beside(made) and not other.must_succeed]
    if any(outcome.kind in ("dead", "hung") for other in beside for outcome in other.outcomes.values()):
        return  # a rank was lost in another call that was under way
    for expectation in model.owes(made):
        outcomes = {rank: outcome for rank, outcome in made.outcomes.items() if rank in expectation.ranks}
        if expectation.ending is Ending.SUCCEEDS:
            yield from listed({rank: outcome for rank, outcome in outcomes.items() if outcome.kind != "returned"})
        elif expectation.ending is Ending.FAILS:
            yield from listed({rank: outcome for rank, outcome in outcomes.items() if outcome.kind == "hung"})


def _of_latest(model: Model, made: Made) -> Iterator[str]:
    """Ranks that could not even say which checkpoint is the latest, although there certainly is one."""
    operation, done = made.operation, made.done
    if not isinstance(operation, Load) or operation.place != LATEST or model.is_open(made) or model.evidence.job.goes_on_alone(done.index):
        return
    if None not in model.may_resume(done.index):
        failed = {rank: outcome for rank, outcome in done.outcomes.items() if outcome.kind != "returned" and rank not in done.latest}
        yield from (f"no latest checkpoint was named: {text}" for text in listed(failed))


def _may_fail(model: Model, done: Done) -> bool:
    """Whether a wait or prune may fail: an async save has failed that nobody has waited for, or the ranks may be out of step."""
    under_way = [made for made in model.calls.values() if made.in_background and made.done.life == done.life and made.begun < done.index <= made.ended]
    return model.may_be_out_of_step(done) or not all(made.must_succeed and made.returned for made in under_way)
