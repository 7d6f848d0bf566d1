"""The story of one job: life by life and operation by operation, what ranks saw, what lies at each place, and what each oracle says."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text

from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence, Loaded, Seen, whole_calls
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.oracles import JOB_ORACLES, job_claim
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.oracles import claim_of
from ckpt_harness.judging.verdict import Judgement, Verdict
from ckpt_harness.report.console import say
from ckpt_harness.report.terminal import mark_of

_INDENT = " " * 9
"""As wide as the longest name of a verdict, and a space."""
_DEEP = " " * 6
"""Ahead of everything that is said of one operation."""


def job_story(console: Console, result: JobResult) -> None:
    """Prints the story of a job; the last line runs the job again.

    Args:
        console: where to print.
        result: the job, and what came of it.
    """
    job = result.job
    say(console, [Text.assemble(("job   ", "dim"), job.text), Text.assemble(("faults ", "dim"), str(job.faults) or "(none)")])
    for life in job.lives:
        say(console, _life(result.evidence, life))
    say(console, [Text()])
    say(console, _judgements(result, max(console.width, 40)))
    known = f", with known findings: {', '.join(result.known)}" if result.known else ""
    say(console, [Text(), Text.assemble(("verdict ", "dim"), mark_of(result.verdict.name), known)])
    say(console, [Text.assemble(("again ", "dim"), result.replay_line())])


def _life(evidence: JobEvidence, life: Life) -> Iterator[Text]:
    yield Text(f"\nlife {life.number}: {life.ranks} rank(s), way {life.way}, engine {life.engine}", style="bold")
    shown: dict[str, Seen] = {}
    for done in evidence.done:
        if done.seen is not None and done.index < life.operations.start:
            shown = dict(done.seen)
        if done.index in life.operations:
            yield from _operation(evidence, done, shown)
            shown = dict(done.seen) if done.seen is not None else shown


def _operation(evidence: JobEvidence, done: Done, shown: Mapping[str, Seen]) -> Iterator[Text]:
    """What is known of one operation.

    Args:
        evidence: what was observed.
        done: the operation.
        shown: place -> what lay there when it was shown last; only changes are shown.
    """
    operation = str(evidence.job.operations[done.index])
    head = f"{done.index + 1:>3}  {operation}"
    if done.skipped:
        yield Text(f"{head}   not reached: {done.skipped}", style="dim")
        return
    yield Text.assemble((head, "bold"), (f"   {done.call}" if done.call else "", "dim"))
    for text, rank, call in sorted(evidence.fired):
        if call == done.call and call:
            yield Text(f"{_DEEP}FAULT {text} on rank {rank}", style="red")
    if done.latest:
        yield Text(f"{_DEEP}latest is {', '.join(dict.fromkeys(str(place) for place in done.latest.values()))}")
    if done.call or any(outcome.kind != "returned" for outcome in done.outcomes.values()):
        yield from _outcomes(done.outcomes, "begun" if done.call in evidence.ended else "succeeded")
    for ending in evidence.ended.values():
        if ending.after == done.index:
            yield from _in_background(ending)
    yield from _loaded(done.loaded)
    for place, seen in (done.seen or {}).items():
        if seen != shown.get(place, Seen()):
            yield Text(f"{_DEEP}{place}: {in_words(evidence, seen)}", style="cyan")


def _in_background(ending: AsyncEnding) -> Iterator[Text]:
    yield from _outcomes(ending.outcomes, f"{ending.call} succeeded", f"{ending.call} ")


def _outcomes(outcomes: Mapping[int, Outcome], success: str, name: str = "") -> Iterator[Text]:
    """How ranks ended, those together that ended alike."""
    counts = Counter(str(outcome) for outcome in outcomes.values())
    for text in counts:
        ranks = [rank for rank, outcome in sorted(outcomes.items()) if str(outcome) == text]
        said = success if text == "returned" else f"{name}{text}"
        who = "all ranks" if len(ranks) == len(outcomes) > 1 else f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
        yield Text(f"{_DEEP}{who}: {said}", style="" if text == "returned" else "yellow")


def _loaded(loaded: Mapping[int, Loaded]) -> Iterator[Text]:
    """What ranks hold after a load."""
    texts: dict[str, list[int]] = {}
    for rank, state in sorted(loaded.items()):
        right = [call for call, wrong in state.differences.items() if not wrong]
        holds = f"the state of {right[0]}" if right else f"values of {' and '.join(state.calls) or 'no save'}, not as any save stored them"
        if not right and not state.differences and len(state.calls) == 1:
            holds = f"values of {state.calls[0]}"
        texts.setdefault(holds + (", and a part that was not loaded" if state.unfilled else ""), []).append(rank)
    for text, ranks in texts.items():
        yield Text(f"{_DEEP}rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}: holds {text}")


def in_words(evidence: JobEvidence, seen: Seen) -> str:
    """Returns what lies at a place, in words.

    Args:
        evidence: what was observed.
        seen: what was seen there.
    """
    if not seen.content:
        return "empty"
    if not seen.committed:
        return "no commit marker"
    readings = evidence.readings.get(seen.content, ())
    whole = whole_calls(readings)
    if whole:
        return f"committed, holds {whole[0]} in whole"
    if not readings:
        return "committed"
    if all(reading.failed for reading in readings):
        return "committed, and does not load"
    return f"committed, and not whole: values of {' and '.join(dict.fromkeys(call for reading in readings for call in reading.calls)) or 'no save'}"


def _judgements(result: JobResult, width: int) -> Iterator[Text]:
    """What the oracles say: in full where a claim does not hold, else how often each held."""
    held = Counter(judgement.oracle for judgement in result.judgements if judgement.verdict is Verdict.HOLDS)
    for judgement in result.judgements:
        if judgement.verdict is not Verdict.HOLDS:
            yield from _judgement(judgement, width)
    if held:
        text = ", ".join(f"{oracle} {count}" for oracle, count in held.items())
        lines = textwrap.wrap(f"HOLDS    {text}", width, subsequent_indent=_INDENT)
        yield Text.assemble(mark_of("HOLDS"), lines[0][len("HOLDS") :])
        yield from (Text(line) for line in lines[1:])


def _judgement(judgement: Judgement, width: int) -> Iterator[Text]:
    """The verdict and the claim of an oracle, and why the claim does not hold."""
    name = "KNOWN" if judgement.known else judgement.verdict.name
    note = f" ({judgement.known})" if judgement.known else "" if judgement.claimed else " (not claimed by the engine)"
    subject = f" of {judgement.operation}" if judgement.operation else ""
    head = f"{name:<{len(_INDENT)}}{judgement.oracle}{subject}{note}"
    lines = textwrap.wrap(f"{head}: {_claim(judgement)}", width, subsequent_indent=_INDENT, break_on_hyphens=False)
    yield Text.assemble(mark_of(name), lines[0][len(name) : len(head)], (lines[0][len(head) :], "dim"))
    yield from (Text(line, style="dim") for line in lines[1:])
    if judgement.reason:
        yield Text(f"{_INDENT}{judgement.reason}")


def _claim(judgement: Judgement) -> str:
    """The claim of an oracle; where an oracle of single operations has the same name, the claim that the reason is about."""
    of_job = judgement.oracle in JOB_ORACLES
    return job_claim(judgement.oracle) if of_job else claim_of(judgement.oracle)

