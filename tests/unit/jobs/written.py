"""Histories of jobs, written by hand for the oracles of jobs.

A look at the places is a text such as ``a=1 b=2``. Behind a place stands what lies there:

=========  ==========================================================================
``1``      the checkpoint of the first save or async save of the job, in whole
``1+2``    a committed checkpoint with values of two saves
``1-``     a committed checkpoint that lacks a part of a save
``x``      a committed checkpoint that cannot be loaded
``?``      a commit marker; nobody has read the rest
``~``      files without a commit marker
``0``      nothing
=========  ==========================================================================

With a manager, places are steps: ``a`` is step 6, ``b`` step 7, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.history import ErrorRecord
from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence, Loaded, Reading, Seen
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.operations import AsyncSave, Restart, Save, Wait
from ckpt_harness.jobs.oracles import JOB_ORACLES, calls_alone, judge_job
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Acting, Ending, Expectation, Forecast
from ckpt_harness.judging.oracles import judge
from ckpt_harness.judging.verdict import Judgement, Verdict

EIO = ErrorRecord("OSError", errno="EIO", message="[Errno 5] Input/output error (injected at writer.write_data on rank 1)")
ENOSPC = ErrorRecord("OSError", errno="ENOSPC", message="[Errno 28] No space left on device (injected at writer.finish on rank 0)")
RETURNED = Outcome("returned")
HUNG = Outcome("hung", where="gather for rank 1")
DEAD = Outcome("dead")


def blamed(rank: int, error: ErrorRecord) -> Outcome:
    """An outcome that blames one rank."""
    return Outcome("raised", ErrorRecord("torch.distributed.checkpoint.api.CheckpointException", failures={rank: error}, step="write"))


RAISED = blamed(1, EIO)
FAILS = Expectation("", (0, 1), Ending.FAILS, "write", {1: EIO})
STALLS = Expectation("", (0, 1), Ending.STALLS, "write")
UNDETERMINED = Expectation("", (0, 1), Ending.UNDETERMINED)
DCP = frozenset({Capability.COLLECTIVES, Capability.COMMIT_MARKER})
"""What an engine claims that overwrites in place and believes its storage."""
ATOMIC = DCP | {Capability.ATOMIC_OVERWRITE}
_STRUCK = FaultPlan.parse("writer.write_data@1=skip").bind(2, 0).faults[0]
LIED_TO = Expectation("", (0, 1), Ending.UNDETERMINED, decisive=(Acting(_STRUCK, 1),), deceived=True)
"""Of a save whose storage said that it had written, and had not."""

Both = Outcome | tuple[Outcome, ...]


def written(
    text: str,
    looks: Sequence[str | None] = (),
    *,
    ends: Mapping[int, Both] | None = None,
    owed: Mapping[int, Expectation] | None = None,
    after: Mapping[int, int] | None = None,
    began: Mapping[int, Both] | None = None,
    futures: Mapping[int, Mapping[int, Mapping[str, Outcome]]] | None = None,
    latest: Mapping[int, Sequence[str | None]] | None = None,
    loaded: Mapping[int, Sequence[Loaded]] | None = None,
    skipped: Sequence[int] = (),
    capabilities: frozenset[Capability] = DCP,
    managed: bool = False,
    **more: Any,
) -> JobEvidence:
    """Writes a history. Whatever is not said went well, on two ranks.

    Args:
        text: the operations.
        looks: what lay at the places after each operation; None where nobody could look.
        ends: index of an operation -> how it ended on each rank; of an async save, how the save ended.
        owed: index of an operation -> how its call has to end.
        after: index of an async save -> the index of the operation during which it ended.
        began: index of an async save -> how its beginning ended.
        futures: index of an async save -> rank -> name -> how the future ended.
        latest: index of an operation -> the place that each rank took for the latest.
        loaded: index of a load -> what each rank holds.
        skipped: indices of operations that were not done.
        capabilities: what the engine claims.
        managed: whether a manager keeps the checkpoints.
        more: other fields of the evidence.
    """
    if managed:
        text, looks = _in_steps(text), [look and _in_steps(look) for look in looks]
        latest = {index: [place and _in_steps(place) for place in places] for index, places in (latest or {}).items()}
    job = Job.parse(text)
    ends, owed, saves = ends or {}, owed or {}, _saves(job)
    done = []
    for index, operation in enumerate(job.repeated):
        background, call = isinstance(operation, AsyncSave), job.calls[index]
        ended = (began or {}).get(index, RETURNED) if background else ends.get(index, RETURNED)
        expected = replace(owed.get(index, Expectation("", (0, 1), Ending.SUCCEEDS)), operation=call)
        done.append(
            Done(
                index,
                call,
                next(life.number for life in job.lives if index in life.operations),
                (0, 1),
                getattr(operation, "place", "").replace("latest", "") if call else "",
                {} if index in skipped else _both(ended),
                (expected,) if call else (),
                before=_look(looks[index - 1]) if 0 < index <= len(looks) else None,
                seen=_look(looks[index]) if index < len(looks) else None,
                latest=dict(enumerate((latest or {}).get(index, ()))),
                loaded=dict(enumerate((loaded or {}).get(index, ()))),
                skipped="a rank is lost" if index in skipped else "",
            )
        )
    asyncs = {index: job.calls[index] for index, operation in enumerate(job.repeated) if isinstance(operation, AsyncSave) and index not in skipped}
    ended_asyncs = {
        call: AsyncEnding(
            call, (after or {}).get(index, _usual_end(job, index)), _both(ends.get(index, RETURNED)), (futures or {}).get(index, {})
        )
        for index, call in asyncs.items()
    }
    readings = {seen.content: _readings(seen.content, saves) for each in done for seen in (each.seen or {}).values() if seen.committed}
    readings = {content: each for content, each in readings.items() if each}
    return JobEvidence(job, done, ended_asyncs, readings, capabilities=capabilities, managed=managed, **more)


def with_singles(evidence: JobEvidence) -> JobEvidence:
    """The same history, with evidence for the oracles of a single operation, as far as it is about outcomes."""
    single = {}
    for done in evidence.done:
        if done.call:
            ending = evidence.ended.get(done.call)
            outcomes, futures = (done.outcomes, {}) if ending is None else (ending.outcomes, {done.call: ending.futures})
            forecast = Forecast(done.owed, frozenset())
            single[done.call] = Evidence(forecast, {done.call: outcomes}, futures=futures, capabilities=evidence.capabilities)
    return replace(evidence, single=single)


def _in_steps(text: str) -> str:
    """The same text with steps in place of the places ``a``, ``b``, ..."""
    return re.sub(r"\b[a-d]\b", lambda place: str(6 + ord(place[0]) - ord("a")), text)


def _both(ended: Both) -> dict[int, Outcome]:
    return dict(enumerate(ended if isinstance(ended, tuple) else (ended, ended)))


def _saves(job: Job) -> list[str]:
    return [job.calls[index] for index, operation in enumerate(job.repeated) if isinstance(operation, (Save, AsyncSave))]


def _usual_end(job: Job, index: int) -> int:
    """The first wait or restart behind an async save, or the end of the job."""
    later = [number for number, each in enumerate(job.operations) if number > index and isinstance(each, (Wait, Restart))]
    return later[0] if later else len(job.operations) - 1


def _look(text: str | None) -> dict[str, Seen] | None:
    if text is None:
        return None
    pairs = (word.split("=") for word in text.split())
    return {place: Seen(what not in "~0", "" if what == "0" else f"{place}={what}") for place, what in pairs}


def _readings(content: str, saves: Sequence[str]) -> tuple[Reading, ...]:
    what = content.partition("=")[2]
    if what == "?":
        return ()
    if what == "x":
        return (Reading(2, failed={0: "raised KeyError('weight')", 1: "raised KeyError('weight')"}, differences=dict.fromkeys(saves, ())),)
    held = tuple(saves[int(number) - 1] for number in what.rstrip("-").split("+"))
    whole = held[0] if len(held) == 1 and not what.endswith("-") else ""
    differences = {call: () if call == whole else (f"rank 1: weight: no value of {call}",) for call in saves}
    return (Reading(2, calls=held, differences=differences), Reading(1, calls=held, differences=differences))


def held(*calls: str, like: str = "", saves: Sequence[str] = ("save[1]", "save[2]", "save[3]"), unfilled: bool = False) -> Loaded:
    """What a rank holds that has loaded values of some saves; bit-equal to the save ``like``, or to none."""
    return Loaded(calls, {call: () if call == like else ("weight: other values",) for call in saves}, unfilled)


def holds(call: str) -> Loaded:
    """What a rank holds that has loaded exactly what a save has stored."""
    return held(call, like=call)


def judged(evidence: JobEvidence) -> list[Judgement]:
    """What all oracles say, those of single operations and those of jobs."""
    model = Model(evidence)
    return [*(judgement for single in calls_alone(model) for judgement in judge(single)), *judge_job(model)]


def violations(evidence: JobEvidence) -> dict[str, str]:
    """The oracles whose complaint counts, each with what it says of which call."""
    counting = [judgement for judgement in judged(evidence) if judgement.counts is not Verdict.HOLDS]
    return {judgement.oracle: f"{judgement.operation}: {judgement.reason}" for judgement in counting}


def said(oracle: str, evidence: JobEvidence) -> list[Judgement]:
    """What one oracle of jobs says."""
    return list(JOB_ORACLES[oracle](Model(evidence)))
