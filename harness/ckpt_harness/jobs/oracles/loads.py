"""Oracles about the loads of a job: what they give, and which checkpoint a job resumes from."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.jobs.evidence import Done, Seen
from ckpt_harness.jobs.operations import LATEST, Load
from ckpt_harness.jobs.oracles.base import Followed, judged
from ckpt_harness.judging.verdict import Judgement


def purity(job: Followed) -> Iterator[Judgement]:
    """A load that succeeds shows the values of one save, the same on every rank; unless fresh ranks get a mixture from the place, too."""
    for done in job.loads():
        if not done.loaded or done.before is None:
            continue
        calls = dict.fromkeys(call for loaded in done.loaded.values() for call in loaded.calls)
        mixed = any(len(reading.calls) > 1 for reading in job.readings(_found(done)))
        reasons = [f"ranks hold values of {' and '.join(calls)}"] if len(calls) > 1 and not mixed else []
        yield judged("purity", done.call, reasons, done.ranks)


def filled(job: Followed) -> Iterator[Judgement]:
    """A load that succeeds has filled its target with what the place holds: nothing of the target is left as it was."""
    for done in job.loads():
        whole = job.whole(_found(done))
        reasons = []
        for rank, loaded in sorted(done.loaded.items()):
            wrong = loaded.differences.get(whole, ()) if whole is not None else ()
            if wrong:
                reasons.append(f"rank {rank} reports success, and does not hold {whole}: {wrong[0]}")
            elif loaded.unfilled:
                reasons.append(f"rank {rank} reports success, and a part of its state was not loaded")
        yield judged("filled", done.call, reasons, done.ranks)


def resume(job: Followed) -> Iterator[Judgement]:
    """A job resumes from the newest whole checkpoint, the same on all ranks; nothing that is not committed is taken for the latest."""
    for done in job.loads():
        operation = job.evidence.job.repeated[done.index]
        if not isinstance(operation, Load) or operation.place != LATEST or not done.latest or done.before is None:
            continue
        yield judged("resume", done.call, _wrong_latest(job, done), done.ranks)


def _wrong_latest(job: Followed, done: Done) -> Iterator[str]:
    """What is wrong with the place that ranks took for the latest."""
    named = dict.fromkeys(done.latest.values())
    if len(named) > 1:
        yield f"ranks resume differently: {', '.join(f'rank {rank} from {place}' for rank, place in sorted(done.latest.items()))}"
    moment = job.course.before(done.index)
    whole = moment.whole()
    for place in named:
        if place is None:
            if whole:
                yield f"nothing is taken for the latest, and {whole[-1]} holds a whole checkpoint"
            continue
        if not _found(done, place).committed:
            yield f"{place} is taken for the latest, and is not committed"
        elif whole and place != whole[-1] and not _is_newer_and_broken(job, done, place):
            yield f"{place} is taken for the latest, and {whole[-1]} is the newest whole checkpoint"


def _is_newer_and_broken(job: Followed, done: Done, place: str) -> bool:
    """Whether a place was saved to behind every whole one, and is committed though it is not whole: whoever judges that save has said so."""
    moment = job.course.before(done.index)
    order, whole = list(moment.makers), moment.whole()
    newer = place in order and order.index(place) > order.index(whole[-1])
    return newer and place not in whole


def _found(done: Done, place: str | None = None) -> Seen:
    """What lay at the place of a load, or at another, ahead of the load."""
    return (done.before or {}).get(place or done.place, Seen())
