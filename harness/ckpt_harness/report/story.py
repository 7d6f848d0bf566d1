"""The story of one case: what was planned, what each rank did and saw, what is on storage, and what each oracle says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from ckpt_harness.cases import printed
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.findings.signatures import observed
from ckpt_harness.history import Event
from ckpt_harness.judging.oracles import claim_of
from ckpt_harness.judging.verdict import Judgement, Verdict
from ckpt_harness.report.console import say
from ckpt_harness.report.parts import retry_of, stored, with_part
from ckpt_harness.report.terminal import mark_of

_INDENT = " " * 9
"""As wide as the longest name of a verdict, and a space."""
_MOST_PRINTED = 200
"""Lines that are shown of what the engine printed."""


def story(console: Console, result: CaseResult) -> None:
    """Prints the story of a case; the last line runs the case again.

    Args:
        console: where to print.
        result: the case, and what came of it.
    """
    say(console, _setting(result))
    say(console, _ranks(result))
    say(console, _storage(result))
    if result.printed:
        say(console, [Text("\nprinted", style="bold"), *(Text(line) for line in printed.shown(result.printed, most=_MOST_PRINTED)[1:])])
    say(console, [Text()])
    several = len(result.evidence.forecast.expectations) > 1
    for judgement in result.judgements:
        say(console, _judgement(judgement, console.width, _subject(judgement) if several else ""))
    say(console, _signatures(result))
    say(console, [Text(), _verdict(result), Text.assemble(("again ", "dim"), result.replay_line())])


def _setting(result: CaseResult) -> Iterator[Text]:
    case = result.case
    grouping = f"coordinator {case.coordinator}" if case.way == "together" else f"way {case.way} ({case.call_style.about})"
    parts = [f"{result.expectation.operation} on {case.ranks} rank(s)", grouping, f"engine {case.engine}", f"workload {case.workload}"]
    unusual = [name for name in ("world", "planner", "executor", "staging", "overlap", "onto") if getattr(case, name) != getattr(Case, name)]
    parts += [f"{name} {getattr(case, name)}" for name in unusual]
    yield Text.assemble(("plan  ", "dim"), str(case.plan) or "(no faults)")
    yield Text.assemble(("case  ", "dim"), ", ".join([*parts, f"seed {case.seed}"]))
    yield from (Text.assemble(("owed  ", "dim"), owed) for owed in result.owed())
    if case.world == "simulated":
        yield Text.assemble(("time  ", "dim"), "seconds of a virtual clock, which moves only while all ranks wait")


def _ranks(result: CaseResult) -> Iterator[Text]:
    case, evidence = result.case, result.evidence
    for rank in sorted(rank for expectation in result.expectations for rank in expectation.ranks):
        yield Text(f"\nrank {rank}", style="bold")
        for event in result.history.of_rank(rank):
            yield from _event(case, event)
        for operation, outcomes in evidence.outcomes.items():
            yield Text(f"  => {with_part(case, operation)}: {outcomes.get(rank, 'no outcome')}", style="bold")
        if evidence.retry is not None and rank in evidence.retry:
            yield Text(f"  => {retry_of(case)}, without faults: {evidence.retry[rank]}", style="bold")


def _event(case: Case, event: Event) -> Iterator[Text]:
    when = f"  {event.time:10.3f} s  "
    if event.kind == "fault":
        yield Text(f"{when}FAULT {event.detail}", style="red")
    elif event.kind in ("escaped", "lost"):
        yield Text(f"{when}error lost on {event.detail}", style="red")
    elif event.kind == "raised":
        yield Text(f"{when}{event.site} raised {event.detail}")
    elif event.kind in ("begin", "end"):
        yield Text(f"{when}{event.kind} {with_part(case, event.operation)}")
    elif event.kind == "recorder":
        yield Text(f"{when}torch's flight recorder: {event.detail}", style="dim")
    elif event.kind == "enter":
        file = f"({event.detail})" if event.detail else ""
        nth = f" #{event.nth}" if event.nth > 1 else ""
        yield Text(f"{when}{event.site}{file}{nth}", style="dim")


def _storage(result: CaseResult) -> Iterator[Text]:
    lines = list(stored(result))
    if lines:
        yield Text("\nstorage", style="bold")
        yield from (Text(f"  {line}") for line in lines)
    if result.evidence.not_looked_at:
        yield Text(f"\nnot looked at, since this system does not show it: {', '.join(result.evidence.not_looked_at)}", style="dim")


def _subject(judgement: Judgement) -> str:
    """The operation and the ranks that are judged, where the case has several operations or groups."""
    ranks = f" by ranks {', '.join(map(str, judgement.ranks))}" if judgement.ranks else ""
    return f" of {judgement.operation}{ranks}" if judgement.operation else ""


def _judgement(judgement: Judgement, width: int, subject: str) -> Iterator[Text]:
    """The verdict and the claim of an oracle, and why the claim does not hold."""
    name = "KNOWN" if judgement.known else judgement.verdict.name
    note = ""
    if judgement.known:
        note = f" ({judgement.known})"
    elif not judgement.claimed:
        note = " (not claimed by the engine)"
    head = f"{name:<{len(_INDENT)}}{judgement.oracle}{subject}{note}"
    lines = textwrap.wrap(f"{head}: {claim_of(judgement.oracle)}", max(width, 40), subsequent_indent=_INDENT, break_on_hyphens=False)
    yield Text.assemble(mark_of(name), lines[0][len(name) : len(head)], (lines[0][len(head) :], "dim"))
    yield from (Text(line, style="dim") for line in lines[1:])
    if judgement.reason:
        yield Text(f"{_INDENT}{judgement.reason}")


def _signatures(result: CaseResult) -> Iterator[Text]:
    """How the ranks ended, as a register of known findings describes it."""
    for expectation in result.expectations:
        if not _is_violated(result, expectation.operation, expectation.ranks):
            continue
        struck = {acting.rank for acting in expectation.decisive}
        for operation, outcomes in (
            (expectation.operation, result.evidence.of(expectation)),
            (retry_of(result.case), result.evidence.retried(expectation)),
        ):
            if outcomes:
                yield Text(f"\nhow the ranks ended in {operation}, as a signature for a register of known findings", style="dim")
                for role, endings in observed(expectation, outcomes, struck).items():
                    yield Text(f"  {role}: {' | '.join(sorted(endings))}", style="dim")


def _is_violated(result: CaseResult, operation: str, ranks: tuple[int, ...]) -> bool:
    return any(judgement.verdict is Verdict.VIOLATED and judgement.is_about(operation, ranks) for judgement in result.judgements)


def _verdict(result: CaseResult) -> Text:
    """The verdict that counts, and the known findings that do not."""
    known = f", with known findings: {', '.join(result.known)}" if result.known else ""
    return Text.assemble(("verdict ", "dim"), mark_of(result.verdict.name), known)
