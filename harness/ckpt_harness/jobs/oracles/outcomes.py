"""The oracles about what ranks learn: alike, of the right call, and well again after a failure; and whether the planned faults fired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.oracles.base import listed, one_line
from ckpt_harness.judging.verdict import Judgement, Verdict


def agreement(model: Model) -> Iterator[Judgement]:
    """All ranks fail or all ranks succeed, operation by operation, and each learns of the failure of that call and of no other.

    Where the oracle of single operations judges a call, it says whether the ranks end alike. What a wait, or the end of ranks, says of an async save is for
    ``futures``.
    """
    for done in model.evidence.done:
        made = model.calls.get(done.call)
        if made is not None:
            for expectation in model.owes(made):
                if expectation.agreement:
                    differently = [] if made.call in model.evidence.single else _disagreement(made, expectation)
                    wrong = [*differently, *_of_another(model, made)]
                    yield judged("agreement", model, made.call, wrong, expectation.ranks)
        elif not (done.skipped or model.under_way(done.index) or model.may_be_out_of_step(done)):
            differ = len({outcome.kind for outcome in _live(done.outcomes).values()}) > 1
            if differ:
                yield judged("agreement", model, "", [f"{named(model, done)}: {text}" for text in listed(done.outcomes)], done.ranks)


def _live(outcomes: Mapping[int, Outcome]) -> dict[int, Outcome]:
    return {rank: outcome for rank, outcome in outcomes.items() if outcome.kind not in ("dead", "unknown")}


def _disagreement(made: Made, expectation: Expectation) -> list[str]:
    live = _live({rank: outcome for rank, outcome in made.outcomes.items() if rank in expectation.ranks})
    if expectation.ending is Ending.STALLS:
        returned = {rank: outcome for rank, outcome in live.items() if outcome.kind == "returned"}
        return [f"success although a rank was lost: {text}" for text in listed(returned)]
    return listed(live) if len({outcome.kind for outcome in live.values()}) > 1 else []


def _of_another(model: Model, made: Made) -> Iterator[str]:
    """Ranks that report the failure of another call; an async save that does is for ``futures`` to judge."""
    if not made.in_background:
        for rank, outcome in sorted(made.outcomes.items()):
            other = failure_of_another(model, made, outcome)
            if other:
                yield f"rank {rank} reports the failure of {other}"


def failure_of_another(model: Model, made: Made, outcome: Outcome) -> str:
    """Returns the call whose failure a rank reports in place of that of its own call; "" if there is none.

    Args:
        model: the reference model.
        made: the call.
        outcome: how it ended on the rank.
    """
    failures = None if outcome.error is None else outcome.error.failures
    if not failures or not all(expectation.exact and dict(expectation.failures) != dict(failures) for expectation in made.owed):
        return ""
    others = [other for other in model.calls.values() if other.call != made.call and other.done.life == made.done.life]
    owed = ((other.call, expectation) for other in others for expectation in other.owed)
    return next((call for call, expectation in owed if expectation.failures and dict(expectation.failures) == dict(failures)), "")


def recovery(model: Model) -> Iterator[Judgement]:
    """After a failure that all ranks saw, the same ranks succeed with the same objects: they save, at the old place and at a new one, and they load.

    Calls that a fault may strike, and calls after a failure that may have left ranks out of step, are not judged. An async save that reports the failure
    of another is for ``futures`` to judge.
    """
    for made in model.calls.values():
        if not model.recovers(made):
            continue
        failed = {rank: outcome for rank, outcome in made.outcomes.items() if outcome.kind != "returned"}
        if failed and made.in_background and all(failure_of_another(model, made, outcome) for outcome in failed.values()):
            continue
        if failed:
            unknown = all(outcome.kind == "unknown" for outcome in failed.values())
            wrong = [f"{_attempt(model, made)} failed: {text}" for text in listed(failed)]
            yield judged("recovery", model, made.call, wrong, made.done.ranks, Verdict.UNKNOWN if unknown else Verdict.VIOLATED)
        else:
            wrong_left = [Complaint(f"{_attempt(model, made)} reported success: {each}", each.held.needs) for each in model.left_by(made)]
            yield judged("recovery", model, made.call, wrong_left, made.done.ranks)


def fired(model: Model) -> Iterator[Judgement]:
    """Every planned fault that could fire did; otherwise the job shows nothing of that fault.

    A missing fault makes the job VACUOUS, an error inside the harness makes it UNKNOWN. Where the oracle of single operations judges a call, it says so.
    """
    for error in model.evidence.internal_errors:
        yield Judgement("fired", Verdict.UNKNOWN, one_line([f"error inside the harness: {error}"]))
    optional = {str(fault) for fault in model.evidence.job.faults if fault.optional}
    for made in model.calls.values():
        due = {(text, rank) for expectation in model.owes(made) for text, rank in expectation.must_fire if text not in optional}
        missed = [f"{text} never fired on rank {rank}" for text, rank in sorted(due) if (text, rank, made.call) not in model.evidence.fired]
        if due and made.call not in model.evidence.single:
            yield Judgement("fired", Verdict.VACUOUS if missed else Verdict.HOLDS, one_line(missed), made.call, reasons=tuple(missed))


def _attempt(model: Model, made: Made) -> str:
    """What was tried after a failure, in words."""
    if not made.is_save:
        return f"the load from place {made.done.place}"
    old = any(other.call != made.call for other in model.saves_to(made.done.place, made.begun))
    return f"the save to {'the old' if old else 'the new'} place {made.done.place}"
