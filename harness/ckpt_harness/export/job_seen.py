"""What a job showed, in the words of the script that shows it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ckpt_harness.errors import cut
from ckpt_harness.export.observed import LOST, insist_on_a_verdict, said
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.evidence import JobEvidence, Loaded, Reading, Seen
from ckpt_harness.jobs.oracles import JOB_ORACLES, job_claim
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.judging.oracles import claim_of
from ckpt_harness.judging.verdict import Judgement, Verdict

NOTHING = "nothing"
"""In place of a save: a part that was not filled."""
NO_ANSWER = "no answer"
"""What a script says of a rank that hangs, has died, or never began the operation."""
LEFT = ("raised RuntimeError", NO_ANSWER)
"""What a script says of a rank whose peer has died: gloo may tell it of the closed connection."""
NO_CHECKPOINT = "no checkpoint"
HOLDS = "the claims hold"
BROKEN_BY_CHANCE = "wrong: calls whose messages met did not all succeed and leave what they had saved"
"""What a script says of calls that met, whatever became of them."""
_GRAVEST = ("pairing", "purity", "filled", "commitment", "metadata", "resume", "retention", "futures", "recovery", "agreement", "attribution", "bounded")
"""Oracles, those first whose violations matter most to a user: wrong values, lost checkpoints, then wrong reports."""
_MOST = 2
"""Claims that a script names."""
_LONGEST = 90
"""Characters of what was wrong."""


def saw(bound: BoundJob, evidence: JobEvidence, characters: int) -> dict[str, list[str | tuple[str, ...]]]:
    """Returns how each engine call ended on each rank that takes part.

    Args:
        bound: the job.
        evidence: what was observed.
        characters: how many characters of an error are compared.
    """
    endings: dict[str, list[str | tuple[str, ...]]] = {}
    for index, call in bound.calls.items():
        done = evidence.done[index]
        background = evidence.ended.get(call.call)
        outcomes: Mapping[int, Outcome] = done.outcomes if background is None else {**done.outcomes, **background.outcomes}
        ended = [_ending(outcomes.get(rank), done.loaded.get(rank), characters) for rank in range(call.life.ranks)]
        died = any(outcome.kind == "dead" for outcome in outcomes.values())
        endings[call.call] = [LEFT if died and _may_lose_its_peer(outcomes.get(rank)) else text for rank, text in enumerate(ended)]
    return endings


def _may_lose_its_peer(outcome: Outcome | None) -> bool:
    if outcome is None or outcome.kind != "raised":
        return outcome is not None and outcome.kind == "hung"
    return outcome.error is not None and any(words in outcome.error.message for words in LOST)


def _ending(outcome: Outcome | None, loaded: Loaded | None, characters: int) -> str:
    if outcome is None or outcome.kind not in ("returned", "raised"):
        return NO_ANSWER
    if outcome.kind == "raised":
        assert outcome.error is not None, "an outcome that raised has an error"
        return f"raised {said(outcome.error)[:characters]}"
    return "returned" if loaded is None else f"loaded {' and '.join([NOTHING] * loaded.unfilled + list(loaded.calls))}"


def held(evidence: JobEvidence) -> dict[str, str]:
    """Returns what each place held in the end, as one process loads it; places that nobody has read are left out."""
    found = {}
    for place, now in _last_look(evidence).items():
        readings = sorted(evidence.readings.get(now.content, ()), key=lambda reading: reading.ranks)
        if not now.committed:
            found[place] = NO_CHECKPOINT
        elif readings:
            found[place] = _read(readings[0])
    return found


def _last_look(evidence: JobEvidence) -> Mapping[str, Seen]:
    """Place -> what was seen there at the end."""
    return next((done.seen for done in reversed(evidence.done) if done.seen is not None), {})


def _read(reading: Reading) -> str:
    if reading.failed or reading.hung:
        return "raised "
    unfilled = any(mark in text for texts in reading.differences.values() for text in texts for mark in ("never filled", "<unfilled>"))
    return f"loaded {' and '.join([NOTHING] * unfilled + list(reading.calls))}"


def last_saves(bound: BoundJob, evidence: JobEvidence) -> dict[str, BoundCall]:
    """Place -> the save whose structure a reader of the place asks for: the save that the place holds in whole, or the last."""
    seen = _last_look(evidence)
    saves: dict[str, BoundCall] = {}
    for call in bound.calls.values():
        place = call.operation.place
        if call.case.saves and evidence.done[call.index].place:
            readings = evidence.readings.get(seen[place].content, ()) if place in seen else ()
            if place not in saves or not any(reading.is_whole(saves[place].call) for reading in readings):
                saves[place] = call
    return saves


def must_succeed(evidence: JobEvidence) -> list[str]:
    """The calls that no fault can make fail."""
    owed = {done.call: done.owed for done in evidence.done if done.call and done.owed}
    return [call for call, expectations in owed.items() if all(each.ending is Ending.SUCCEEDS for each in expectations)]


def conclusion(result: JobResult) -> str:
    """The last line of a script that shows the same again.

    Raises:
        UsageError: the job shows nothing.
    """
    insist_on_a_verdict("job", result.judgements)
    wrong = next(iter(violations(result)), None)
    return HOLDS if wrong is None else f"wrong: {wrong.oracle} of {wrong.operation or 'the job'}: {cut(wrong.reason, _LONGEST)}"


def violations(result: JobResult) -> list[Judgement]:
    """The violations that an engine owes not to have: first those that no known finding explains, then those that matter most."""
    violated = [judgement for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED and judgement.claimed]
    return sorted(violated, key=lambda judgement: (judgement.known is not None, _gravity(judgement.oracle)))


def _gravity(oracle: str) -> int:
    return _GRAVEST.index(oracle) if oracle in _GRAVEST else len(_GRAVEST)


def claims(result: JobResult) -> list[str]:
    """The claims that do not hold, each once: those that matter most."""
    found = dict.fromkeys(job_claim(each.oracle) if each.oracle in JOB_ORACLES else claim_of(each.oracle) for each in violations(result))
    return list(found)[:_MOST]


def literal(endings: Mapping[str, Sequence[str | tuple[str, ...]]]) -> Iterator[str]:
    """The endings as lines of a dictionary: one text where all ranks ended alike."""
    for call, texts in endings.items():
        alike = len(texts) > 1 and len(set(texts)) == 1
        shown = ", ".join(_literal(text) for text in (texts[:1] if alike else texts))
        yield f'    "{call}": [{shown}]{f" * {len(texts)}" * alike},'


def _literal(text: str | tuple[str, ...]) -> str:
    return json.dumps(text, ensure_ascii=False) if isinstance(text, str) else f"({', '.join(map(_literal, text))})"
