"""A case as a stand-alone script: plain torch, real processes, at most :data:`LONGEST` lines, and the same outcome.

A script holds only what its case needs. The state is the smallest that the faults can strike, and a fault that never fired is left out. What is recorded
in a script is what the case showed when it was exported: by its first try or, where only that goes wrong, by the second. Of two saves under way at once
it is whether both did what they should.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Sequence
from itertools import groupby

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import UsageError
from ckpt_harness.export import calling, executors, observed
from ckpt_harness.export.errors import raising
from ckpt_harness.export.faults import LATEST, Faults
from ckpt_harness.export.filling import fill
from ckpt_harness.export.state import EMPTY, FULL, State, written
from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.effects import Delay, FailFuture, Raise, Stop
from ckpt_harness.faults.fault import Fault
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict

LONGEST = 60
"""Lines of a script: what one reads in a minute."""
_WIDEST = 140
_COMPARED = range(110, 50, -10)
"""Characters of an error that are compared; fewer where that saves lines."""
_PATIENCE = 3
"""Seconds after which a rank that has not ended says where it is. Ranks that end are waited for much longer."""
_STAGED = "{'not ' * bool(response.staging_completion.exception())}staged, then "
"""What a rank says first where the future of the staging does not say the truth."""
_PATIENCE_WITH_PROCESSES = 30
"""The same where ranks start processes, which import torch anew."""
_PATIENCE_WITH_TWO = 30
"""Seconds, beside those that ranks are late, after which a save of two that has not ended is not waited for any more."""
_HAPPENS = {
    "raise": "fails", "failfuture": "fails", "nevercomplete": "never completes", "delay": "is late", "hang": "hangs", "kill": "is killed",
    "stop": "is stopped", "exit": "exits", "skip": "does nothing", "wrong": "returns something else",
}
"""Effect -> what becomes of the call."""


def export(case: Case, register: Register) -> str:
    """Runs a case once, and writes the script that shows the same.

    Args:
        case: what to export. That its ranks try again is left out unless it is all that goes wrong.
        register: known findings; the script is named after the one that it shows.

    Returns:
        The text of the script, the same for the same case.

    Raises:
        PlanError: the plan does not fit; nothing has run.
        UsageError: the case cannot be exported; nothing has run, unless that is known from its outcome only.
    """
    check(case)
    with Rig(register=register) as rig:
        return write(run(case, rig), case, register)


def run(case: Case, rig: Rig) -> CaseResult:
    """Runs what a script is to show: the operation, and a second try if that is all that goes wrong."""
    once = rig.run(dataclasses.replace(case, retry=False))
    if not case.retry or any(judgement.verdict is not Verdict.HOLDS for judgement in once.judgements):
        return once
    twice = rig.run(case)
    return twice if observed.fails_again(twice) else once


def check(case: Case) -> None:
    """Refuses a case that no script can show, before anything runs.

    Raises:
        PlanError: the plan does not fit.
        UsageError: with the reason, and the choices.
    """
    if case.world == "attached":
        raise UsageError("world 'attached' cannot be exported: a script starts its own ranks; valid: simulated, processes")
    calling.check(case)
    if case.onto != "nothing":
        raise UsageError(f"onto {case.onto!r} cannot be exported: scripts save into a fresh directory")
    for fault in case.plan:
        check_fault(fault)
    case.bind()


def check_fault(fault: Fault) -> None:
    """Refuses a fault that no script can inject.

    Raises:
        UsageError: with the reason, and the choices.
    """
    effect = fault.effect
    if fault.at.layer != "calls":
        raise UsageError(f"fault {fault} cannot be exported: scripts fail at and above the storage, not below it")
    if isinstance(effect, (Raise, FailFuture)):
        raising(effect.error, fault.site, (0,))
    if _late(fault) > LATEST:
        raise UsageError(f"fault {fault} cannot be exported: a script waits for a late rank up to {LATEST:g} s")


def _late(fault: Fault) -> float:
    """Seconds that a fault makes its rank late, each time it strikes."""
    if isinstance(fault.effect, Delay):
        return fault.effect.seconds
    return fault.effect.seconds if isinstance(fault.effect, Stop) and fault.effect != Stop() else 0.0


def lateness(struck: Sequence[Struck]) -> float:
    """Seconds that faults make ranks late, all together."""
    return sum(_late(strike.fault) * (strike.fault.times or 1) for strike in struck)


def write(result: CaseResult, case: Case, register: Register) -> str:
    """Writes the script of a case that has run.

    Args:
        result: what it showed, see :func:`run`.
        case: as it was asked for.
        register: known findings.

    Raises:
        UsageError: it shows nothing, or its script would be too long.
    """
    text = _of_one(result, case, register) if case.overlap == "none" else _of_two(result, case, register)
    if text.count("\n") > LONGEST:
        text = text.replace("\n\n\n", "\n\n").replace("\n\n", "\n", 1)  # blank lines are missed least
    lines = text.count("\n")
    if lines > LONGEST:
        raise UsageError(f"plan {str(case.plan)!r} cannot be exported: its script has {lines} lines; valid: up to {LONGEST}, with fewer faults or ranks")
    return text


def _of_two(result: CaseResult, case: Case, register: Register) -> str:
    """The script of two saves at once. Of both it is owed that they succeed; how they do not is up to chance, so that alone is compared."""
    struck, conclusion = _struck(result), observed.conclusion(result)
    faults, broken = Faults(struck, case.ranks, overlapping=True), conclusion != observed.HOLDS
    return fill(
        "overlapping.py.jinja",
        faults=faults,
        title=_title(result, struck, register),
        torch=installed_torch(),
        replay=case.replay_line(register.files),
        ranks=case.ranks,
        call=calling.call(case, faults, "state"),
        patience=_PATIENCE_WITH_TWO + round(lateness(struck)),
        broken=broken,
        conclusion=observed.BROKEN_TOGETHER if broken else conclusion,
    )


def _of_one(result: CaseResult, case: Case, register: Register) -> str:
    conclusion, again, by_process = observed.conclusion(result), observed.fails_again(result), case.executor == "process"
    struck = _struck(result)
    faults = Faults(struck, case.ranks if calling.grouped(case) else 1, _on_threads(result), case.staging, again)
    saw, committed = observed.saw(result, max(_COMPARED)), observed.committed(result)
    contents, loads = "loaded" in saw, case.operation == "load"
    staged = _STAGED * observed.tells_of_staging(result)
    flat = [text for ending in saw for text in ([ending] if isinstance(ending, str) else ending)]
    state = State(struck, written(flat), 4 if case.engine == "filesystem-threads" else 1)
    full, empty = state.text(FULL), state.text(EMPTY)
    return fill(
        "script.py.jinja",
        faults=faults,
        title=_title(result, struck, register),
        claim=observed.CLAIM_AGAIN if again else observed.claim(result.expectation, case.ranks),
        torch=installed_torch(),
        replay=case.replay_line(register.files),
        ranks=case.ranks,
        saw=_list(result),
        grouped=calling.grouped(case),
        loads=loads,
        again=calling.storage(case, faults) if again else "",
        healing=executors.HEALING if faults.names("executor") else "",
        by_process=by_process,
        before=calling.saved_before(case, state.text(FULL, model='{{"weight": {weight}, "step": {step}}}')),
        target=empty if contents else "",
        patience=(_PATIENCE_WITH_PROCESSES if by_process else _PATIENCE) + round(lateness(struck)),
        longest=2 * _PATIENCE_WITH_PROCESSES if by_process else 30,
        hung=any(text.startswith("hung in") for text in flat),
        lost=any("exit code" in ending or ending == observed.LEFT for ending in saw),
        names_ranks=any("CheckpointException" in text for text in flat),
        call=calling.call(case, faults, "state" if contents else empty if loads else full),
        awaited=calling.awaited(case),
        staged=staged,
        returned=f'"returned" if str(state) == str({full}) else f"loaded {{state}}"' if contents else f'f"{staged}returned"' if staged else '"returned"',
        committed=committed,
        storage="" if committed is None else _on_storage(calling.markers(case), committed),
        unloadable=observed.unloadable(result),
        read_back=state.text(EMPTY, str(struck[0].ranks[0]) if struck else "0"),
        conclusion=conclusion,
    )


def _on_storage(markers: list[str], committed: bool) -> str:
    if len(markers) == 1:
        return f' and "{markers[0]}" {"" if committed else "not "}in stored'
    return f" and {'' if committed else 'not '}{{{', '.join(map(json.dumps, markers))}}} <= {{*stored}}"


def installed_torch() -> str:
    """The installed release of torch, without its build."""
    return importlib.metadata.version("torch").partition("+")[0]


def _list(result: CaseResult) -> str:
    """What the ranks saw as a list, in the first form that fits a line; else one line a rank."""
    ranks = result.case.ranks
    for characters in _COMPARED:
        literals = [_literal(ending) for ending in observed.saw(result, characters)]
        runs = [(one, len(list(same))) for one, same in groupby(literals)]
        repeated = " + ".join(f"[{one}]{f' * {count}' * (count > 1)}" for one, count in runs)
        for form in (repeated,) if len(runs) == 1 else (f"[{', '.join(literals)}]", repeated):
            if len(f"RANKS, SAW = {ranks}, {form}") <= _WIDEST:
                return form
    return "".join(["[\n", *(f"    {literal},\n" for literal in literals), "]"])


def _literal(one: observed.Saw) -> str:
    if isinstance(one, str):
        return json.dumps(one, ensure_ascii=False)
    return f"({', '.join(map(_literal, one))})"


# -- what the pieces say


def _struck(result: CaseResult) -> list[Struck]:
    """The faults that fired, in the order of the plan."""
    ranks = {str(fault): tuple(sorted(rank for text, rank in result.evidence.fired if text == str(fault))) for fault in result.case.plan}
    return [Struck(fault, ranks[str(fault)]) for fault in result.case.plan if ranks[str(fault)]]


def _on_threads(result: CaseResult) -> bool | None:
    """Whether the fault struck on a writer thread, where there are any: an error on the rank's own thread would have been raised on the rank."""
    if result.case.engine != "filesystem-threads":
        return None
    return all(result.outcomes[rank].kind != "raised" for _, rank in result.evidence.fired)


def _title(result: CaseResult, struck: list[Struck], register: Register) -> str:
    known = [entry for entry in register.entries if entry.id in result.known]
    if known:  # the one that the plan was made for, where one leads to another
        known.sort(key=lambda entry: str(result.case.plan) not in entry.replay)
        return f"{known[0].id}: {known[0].title}."
    case = result.case
    what = f"dcp.{case.operation}" if case.overlap == "none" else f"Two of dcp.{case.operation} at once"
    failures = []
    for strike in struck:
        ranks = f"rank{'s' * (len(strike.ranks) > 1)} {', '.join(map(str, strike.ranks))}"
        failures.append(f"{strike.fault.site} {_HAPPENS[strike.fault.effect.name]} on {ranks}")
    return f"{what} on {case.ranks} rank{'s' * (case.ranks > 1)}{', where ' * bool(failures)}{', and '.join(failures)}."
