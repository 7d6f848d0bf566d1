"""Oracles about the calls of a job: whether ranks recover from a failure, and what the futures of async saves say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_harness.jobs.evidence import Done, Seen, whole_calls
from ckpt_harness.jobs.model import lied
from ckpt_harness.jobs.oracles.base import Followed, judged
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.judging.oracles.base import listed
from ckpt_harness.judging.verdict import Judgement


def recovery(job: Followed) -> Iterator[Judgement]:
    """Behind a save or load that failed on all ranks alike, the same ranks with the same objects succeed where no fault strikes."""
    failed: dict[int, str] = {}
    for done in job.evidence.done:
        outcomes = _outcomes(job, done)
        if not done.call or not outcomes:
            continue
        owed = [expectation for expectation in done.owed if expectation.ending is Ending.SUCCEEDS]
        if done.life in failed and owed:
            wrong = {rank: outcome for rank, outcome in outcomes.items() if outcome.kind not in ("returned", "unknown")}
            yield judged("recovery", done.call, [f"behind the failed {failed[done.life]}: {text}" for text in listed(wrong)], done.ranks)
        if all(outcome.kind == "raised" for outcome in outcomes.values()):
            failed[done.life] = done.call


def _outcomes(job: Followed, done: Done) -> Mapping[int, Outcome]:
    """How a call ended on each rank; of an async save, how the upload ended."""
    ending = job.evidence.ended.get(done.call)
    return done.outcomes if ending is None else ending.outcomes


def futures(job: Followed) -> Iterator[Judgement]:
    """The future of an async save completes by the time that its rank ends, and says what became of that very save."""
    for call, ending in job.evidence.ended.items():
        if call not in job.evidence.single or not ending.outcomes or lied(job.evidence, call):
            continue
        place = next(done.place for done in job.evidence.done if done.call == call)
        seen = _seen_behind(job, ending.after).get(place, Seen())
        kinds = {outcome.kind for outcome in ending.outcomes.values()}
        whole = whole_calls(job.readings(seen)) if seen.committed else []
        reasons = []
        if kinds == {"returned"} and call not in whole:
            reasons.append(f"every future reports success, and {place} holds {_shown(seen, whole)}")
        for rank, futures in sorted(ending.futures.items()):
            upload = futures.get("upload")
            if upload is not None and upload.kind == "hung":
                reasons.append(f"rank {rank}: the upload future is never completed")
        yield judged("futures", call, reasons)


def _seen_behind(job: Followed, index: int) -> Mapping[str, Seen]:
    """What was seen at the first look behind an operation."""
    for done in job.evidence.done[index:]:
        if done.seen is not None:
            return done.seen
    return {}


def _shown(seen: Seen, whole: list[str]) -> str:
    if not seen.committed:
        return "no committed checkpoint"
    return " and ".join(whole) if whole else "a checkpoint that is not whole"
