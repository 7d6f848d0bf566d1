"""What a case showed, in the words of the script that shows it again.

Not shown by a script: what becomes of ranks once a group's timeout has passed.
"""

from __future__ import annotations

import re

from ckpt_harness.cases.result import CaseResult
from ckpt_harness.errors import UsageError
from ckpt_harness.export.errors import as_scripts_say
from ckpt_harness.faults.effects import Effect, Exit, Kill, Stop
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.verdict import Verdict

CLAIM_AGAIN = "ranks whose operation failed can do it again once the cause is gone"
"""What is owed to those that try again."""
HOLDS = "the claim holds"
"""What a script says where nothing is wrong."""
BROKEN_TOGETHER = "wrong: two saves under way at once did not both succeed and hold what was saved"
"""What a script of two saves says, whatever became of them."""
Saw = str | tuple[str, ...]
"""How what a rank says begins; several where it is up to chance."""

_BROKEN = {
    "bounded": "a rank hangs",
    "agreement": "ranks disagree",
    "attribution": "not all learn the cause",
    "commitment": "what is stored is not what was reported",
    "course": "a failed call was ignored",
    "filled": "what was loaded is not what was saved",
    "recovery": "a second try fails, though the cause of the first failure is gone",
    "futures": "a future does not say the truth",
}
"""Oracle -> what its violation means."""
_SILENT: dict[Effect, str] = {Kill(): "exit code -9", Exit(): "exit code 1", Stop(): "exit code None"}
"""Effect after which a rank says no more -> what is said of it: how its process ended, or that it has not."""
_UNSTABLE = re.compile(r"<root>|'(?:Default|FileSystem)\w+'|0x|\[/|'[^' ]*<locals>|harness\.|(?<=Can't )(?:pickle|get)")
"""Where a message begins to tell of the machine, of the harness, of a class that scripts derive from, or of one version of Python."""
_LOST = ("Connection closed by peer", "Connection reset by peer", "gloo/transport")
"""What gloo says of a peer that is gone."""
LEFT = ("raised RuntimeError", "hung in ")
"""What a rank says whose peer is gone."""
_DEAD = ("raised RuntimeError: Checkpoint background process is dead", "raised BrokenPipeError")
"""What a rank says whose process executor has lost its process: one, or the other where that has not been noticed yet."""


def saw(result: CaseResult, characters: int) -> list[Saw]:
    """How each rank ended.

    Args:
        result: the case.
        characters: of an error that are compared.

    Raises:
        UsageError: nobody can tell how a rank ended.
    """
    effects = {str(fault): fault.effect for fault in result.case.plan if fault.at.side != "executor"}  # those end another process
    silent = {rank: _SILENT[effects[text]] for text, rank in sorted(result.evidence.fired) if effects.get(text) in _SILENT}
    ended = {rank: one for outcomes in result.evidence.outcomes.values() for rank, one in outcomes.items()}
    if fails_again(result):
        ended, silent = {**(result.evidence.retry or {})}, {}
    loaded = next(iter(result.evidence.loaded.values()), {})
    staged = _staged(result)
    seen = [
        silent.get(rank) or _ended(ended[rank], loaded.get(rank, ()), result.evidence.timeout, characters, staged.get(rank, ""))
        for rank in sorted(ended)
    ]
    return [_of_process(one) for one in seen] if result.case.executor == "process" else seen


def _of_process(seen: Saw) -> Saw:
    """What a rank says whose process executor ended so: not the rank itself hangs, or loses its peers."""
    if seen == LEFT:
        return "raised RuntimeError"
    if isinstance(seen, str) and seen.startswith("hung in"):
        return "hung in "
    return _DEAD if isinstance(seen, str) and seen.startswith(_DEAD) else seen


def fails_again(result: CaseResult) -> bool:
    """Whether all that goes wrong is that ranks which tried again failed."""
    violated = {one.oracle for one in result.judgements if one.verdict is Verdict.VIOLATED}
    retry = result.evidence.retry or {}
    return violated == {"recovery"} and len(retry) == result.case.ranks and any(one.kind != "returned" for one in retry.values())


def tells_of_staging(result: CaseResult) -> bool:
    """Whether a future does not say the truth, so that ranks tell first what that of the staging says."""
    return any(one.oracle == "futures" and one.verdict is Verdict.VIOLATED for one in result.judgements)


def _staged(result: CaseResult) -> dict[int, str]:
    """What ranks that do not hang say first of their staging, if they tell of it.

    Raises:
        UsageError: a script would wait for it in vain, or has no such future.
    """
    if not tells_of_staging(result):
        return {}
    said = {rank: futures.get("staging") for told in result.evidence.futures.values() for rank, futures in told.items()}
    for rank, outcome in result.outcomes.items():
        one = said.get(rank)
        if outcome.kind != "hung" and (one is None or one.kind == "hung"):
            raise UsageError(f"the case cannot be exported: scripts tell of futures of stagings that are over, and that of rank {rank} is not")
    return {rank: f"{'not ' * (one.kind == 'raised')}staged, then " for rank, one in said.items() if one is not None}


def _ended(outcome: Outcome, wrong: tuple[str, ...], timeout: float, characters: int, staged: str) -> Saw:
    if outcome.kind == "returned":
        return "loaded" if wrong else f"{staged}returned"
    if outcome.kind == "hung":
        return f"hung in {outcome.where.rpartition(' in ')[2]}"
    if outcome.kind != "raised" or outcome.error is None:
        raise UsageError(f"the case cannot be exported: how a rank ended is unknown ({outcome})")
    if outcome.finished_at >= timeout:
        return "hung in "
    if any(one in outcome.error.message for one in _LOST):
        return LEFT
    return f"{staged}raised {_said(outcome.error)[:characters]}"


def _said(error: ErrorRecord) -> str:
    if error.failures is None:
        text = f"{error.short_name}: {error.message}"
    else:
        told = ", ".join(f"{rank}: {_repr(one)}" for rank, one in sorted(error.failures.items()))
        text = f"{error.short_name} of ranks {sorted(error.failures)}: {{{told}}}"
    text = as_scripts_say(text)
    for name in ("InjectedFault", "Unpicklable"):
        text = text.replace(f"{name}:", "RuntimeError:")
    return _UNSTABLE.split(text, maxsplit=1)[0]


def _repr(error: ErrorRecord) -> str:
    return f"{error.short_name}({', '.join(error.args)})"


def claim(expectation: Expectation, ranks: int) -> str:
    """What was owed, in a sentence."""
    if expectation.ending is Ending.SUCCEEDS:
        return "the operation succeeds on every rank"
    if expectation.ending is Ending.FAILS:
        named = sorted(expectation.failures)
        whom = f"rank{'s' * (len(named) > 1)} {', '.join(map(str, named))}"
        return f"{'every rank' if ranks > 1 else 'it'} raises a CheckpointException that names {whom} and the original error"
    if expectation.ending is Ending.STALLS:
        return "beside a rank that is lost, no rank reports success"
    return "all ranks end alike, and what is reported as saved or loaded is"


def conclusion(result: CaseResult) -> str:
    """The last line of a script that shows the same again.

    Raises:
        UsageError: the case shows nothing.
    """
    for judgement in result.judgements:
        if judgement.counts in (Verdict.VACUOUS, Verdict.UNKNOWN):
            raise UsageError(f"the case cannot be exported, since it shows nothing: {judgement.oracle} {judgement.verdict.name}: {judgement.reason}")
    violated = [one for one in result.judgements if one.verdict is Verdict.VIOLATED]
    meant = dict.fromkeys(_BROKEN.get(one.oracle, f"{one.oracle} is violated") for one in violated)
    if not meant:
        return HOLDS
    return ("wrong: " if any(one.claimed for one in violated) else "no claim is broken, but: ") + "; ".join(meant)


def committed(result: CaseResult) -> bool | None:
    """Whether a save left a commit marker; None for a load, and where it is of a first try."""
    if fails_again(result):
        return None
    return next((one.committed for places in result.evidence.storage.values() for one in places), None)


def unloadable(result: CaseResult) -> bool:
    """Whether what a save committed cannot be loaded."""
    return any(
        "raised" in text
        for places in result.evidence.storage.values()
        for one in places
        for texts in one.mismatches.values()
        for text in texts
    )
