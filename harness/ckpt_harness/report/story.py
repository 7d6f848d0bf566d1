"""One case, told rank by rank."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.findings.signatures import observed
from ckpt_harness.history import Event
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.terminal import mark_of, say


def story(console: Console, result: CaseResult) -> None:
    """Prints what was planned, what was owed, what each rank did and saw, and what the oracles say."""
    say(console, [*_setting(result), *_ranks(result), Text(), *_judgements(result), Text()])
    say(console, [Text.assemble(("again ", "dim"), result.replay_line())])


def _setting(result: CaseResult) -> Iterator[Text]:
    case, expectation = result.case, result.expectation
    whom = f"coordinator {case.coordinator}" if case.way == "together" else f"way {case.way} ({case.call_style.about})"
    unusual = "".join(f", {name} {getattr(case, name)}" for name in ("planner", "executor", "staging", "overlap") if getattr(case, name) != getattr(Case, name))
    on = f"engine {case.engine}, workload {case.workload}{unusual}, seed {case.seed}"
    setting = f"{expectation.operation} on {case.ranks} rank(s), {whom}, {on}"
    yield Text.assemble(("plan  ", "dim"), str(case.plan) or "(no faults)")
    yield Text.assemble(("case  ", "dim"), setting)
    yield from (Text.assemble(("owed  ", "dim"), owed) for owed in result.owed())


def _ranks(result: CaseResult) -> Iterator[Text]:
    for rank in sorted(rank for one in result.expectations for rank in one.ranks):
        yield Text(f"\nrank {rank}", style="bold")
        yield from (line for event in result.history.of_rank(rank) for line in _event(event))
        yield from (Text(f"  => {text}", style="bold") for text in result.endings(rank))
        if result.evidence.retry is not None and rank in result.evidence.retry:
            yield Text(f"  => healed, tried again: {result.evidence.retry[rank]}")


def _event(event: Event) -> Iterator[Text]:
    when = f"  {event.time:10.3f} s  "
    if event.kind == "fault":
        yield Text(f"{when}FAULT {event.detail}", style="red")
    elif event.kind == "raised":
        yield Text(f"{when}{event.site} raised {event.detail}")
    elif event.kind in ("begin", "end"):
        yield Text(f"{when}{event.kind} {event.operation}")
    elif event.kind == "recorder":
        yield Text(f"{when}torch's flight recorder: {event.detail}", style="dim")
    elif event.kind == "enter":
        file = f"({event.detail})" if event.detail else ""
        yield Text(f"{when}{event.site}{file}{f' #{event.nth}' if event.nth > 1 else ''}", style="dim")


def _judgements(result: CaseResult) -> Iterator[Text]:
    for judgement in result.judgements:
        name = "KNOWN" if judgement.known else judgement.verdict.name
        note = f" ({judgement.known})" if judgement.known else "" if judgement.claimed else " (not claimed by the engine)"
        yield Text.assemble(mark_of(name), " " * (9 - len(name)), f"{judgement.oracle}{note}  ", (judgement.reason, "dim"))
    for expectation in result.expectations:
        if any(one.verdict is Verdict.VIOLATED and one.is_about(expectation.operation, expectation.ranks) for one in result.judgements):
            struck, evidence = {one.rank for one in expectation.decisive}, result.evidence
            for what, ended in (("", evidence.of(expectation)), (", of the retry", evidence.retried(expectation))):
                if ended:
                    yield Text(f"\nas a signature of the findings register{what}", style="dim")
                    roles = observed(expectation, ended, struck)
                    yield from (Text(f"  {role}: {' | '.join(sorted(endings))}", style="dim") for role, endings in roles.items())
