"""What a case showed, in the words of the script that shows it again.

Not shown by a script: what becomes of ranks once a group's timeout has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ckpt_harness.cases.result import CaseResult
from ckpt_harness.errors import UsageError
from ckpt_harness.export.errors import as_scripts_say
from ckpt_harness.faults.effects import Effect, Exit, Kill, Stop
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.verdict import Judgement, Verdict

CLAIM_AGAIN = "ranks whose operation failed can do it again once the cause is gone"
"""The claim about ranks that try again."""
HOLDS = "the claim holds"
"""What a script says where nothing is wrong."""
BROKEN_TOGETHER = "wrong: two saves under way at once did not both succeed and hold what was saved"
"""What a script of two saves says, whatever became of them."""
Saw = str | tuple[str, ...]
"""How the text of a rank begins; several texts where chance decides."""

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
"""Effect after which a rank says nothing more -> the text about its process: how it ended, or that it has not ended."""
_UNSTABLE = re.compile(r"<root>|'(?:Default|FileSystem)\w+'|0x|\[/|'[^' ]*<locals>|harness\.|(?<=Can't )(?:pickle|get)")
"""Where a message begins to depend on the machine, the harness, a class that scripts derive from, or the version of Python."""
LOST = ("Connection closed by peer", "Connection reset by peer", "gloo/transport")
"""What gloo says about a peer that is gone."""
LEFT = ("raised RuntimeError", "hung in ")
"""The text of a rank whose peer is gone."""
_DEAD = ("raised RuntimeError: Checkpoint background process is dead", "raised BrokenPipeError")
"""The text of a rank whose process executor has lost its process: the second, where the executor has not noticed the loss yet."""


def saw(result: CaseResult, characters: int) -> list[Saw]:
    """How each rank ended.

    Args:
        result: the case.
        characters: how many characters of an error are compared.

    Raises:
        UsageError: it is unknown how a rank ended.
    """
    effects = {str(fault): fault.effect for fault in result.case.plan if fault.at.side != "executor"}  # those end another process
    silent = {rank: _SILENT[effects[text]] for text, rank in sorted(result.evidence.fired) if effects.get(text) in _SILENT}
    ended = {rank: outcome for outcomes in result.evidence.outcomes.values() for rank, outcome in outcomes.items()}
    if fails_again(result):
        ended, silent = {**(result.evidence.retry or {})}, {}
    loaded = next(iter(result.evidence.loaded.values()), {})
    staged = _staged(result)
    seen = [
        silent.get(rank) or _ended(ended[rank], loaded.get(rank, ()), result.evidence.timeout, characters, staged.get(rank, ""))
        for rank in sorted(ended)
    ]
    return [_of_process(text) for text in seen] if result.case.executor == "process" else seen


def _of_process(seen: Saw) -> Saw:
    """The text of a rank whose process executor ended in this way: it is not the rank itself that hangs, or loses its peers."""
    if seen == LEFT:
        return "raised RuntimeError"
    if isinstance(seen, str) and seen.startswith("hung in"):
        return "hung in "
    return _DEAD if isinstance(seen, str) and seen.startswith(_DEAD) else seen


def fails_again(result: CaseResult) -> bool:
    """Whether the failure of the retry is all that goes wrong."""
    violated = {judgement.oracle for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED}
    retry = result.evidence.retry or {}
    return violated == {"recovery"} and len(retry) == result.case.ranks and any(outcome.kind != "returned" for outcome in retry.values())


def tells_of_staging(result: CaseResult) -> bool:
    """Whether a future does not say the truth; then each rank says first what the future of the staging says."""
    return any(judgement.oracle == "futures" and judgement.verdict is Verdict.VIOLATED for judgement in result.judgements)


def _staged(result: CaseResult) -> dict[int, str]:
    """What ranks that do not hang say first about their staging, if they do.

    Raises:
        UsageError: a script would wait in vain for the future, or has no such future.
    """
    if not tells_of_staging(result):
        return {}
    said = {rank: futures.get("staging") for of_ranks in result.evidence.futures.values() for rank, futures in of_ranks.items()}
    for rank, outcome in result.outcomes.items():
        future = said.get(rank)
        if outcome.kind != "hung" and (future is None or future.kind == "hung"):
            raise UsageError(f"the case cannot be exported: a script reports stagings that are over, and the staging of rank {rank} is not")
    return {rank: f"{'not ' * (future.kind == 'raised')}staged, then " for rank, future in said.items() if future is not None}


def _ended(outcome: Outcome, wrong: tuple[str, ...], timeout: float, characters: int, staged: str) -> Saw:
    if outcome.kind == "returned":
        return "loaded" if wrong else f"{staged}returned"
    if outcome.kind == "hung":
        return f"hung in {outcome.where.rpartition(' in ')[2]}"
    if outcome.kind != "raised" or outcome.error is None:
        raise UsageError(f"the case cannot be exported: how a rank ended is unknown ({outcome})")
    if outcome.finished_at >= timeout:
        return "hung in "
    if any(words in outcome.error.message for words in LOST):
        return LEFT
    return f"{staged}raised {said(outcome.error)[:characters]}"


def said(error: ErrorRecord) -> str:
    """Returns what a script says of an error, up to where a message begins to depend on the machine."""
    if error.failures is None:
        text = f"{error.short_name}: {error.message}"
    else:
        failures = ", ".join(f"{rank}: {_repr(failure)}" for rank, failure in sorted(error.failures.items()))
        text = f"{error.short_name} of ranks {sorted(error.failures)}: {{{failures}}}"
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


def insist_on_a_verdict(what: str, judgements: Iterable[Judgement]) -> None:
    """Refuses what a script cannot show again.

    Args:
        what: ``case`` or ``job``.
        judgements: what the oracles say.

    Raises:
        UsageError: the case or job shows nothing.
    """
    for judgement in judgements:
        if judgement.counts in (Verdict.VACUOUS, Verdict.UNKNOWN):
            raise UsageError(f"the {what} cannot be exported, since it shows nothing: {judgement.oracle} {judgement.verdict.name}: {judgement.reason}")


def conclusion(result: CaseResult) -> str:
    """The last line of a script that shows the same again.

    Raises:
        UsageError: the case shows nothing.
    """
    insist_on_a_verdict("case", result.judgements)
    violated = [judgement for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED]
    meanings = dict.fromkeys(_BROKEN.get(judgement.oracle, f"{judgement.oracle} is violated") for judgement in violated)
    if not meanings:
        return HOLDS
    claimed = any(judgement.claimed for judgement in violated)
    return ("wrong: " if claimed else "no claim is broken, but: ") + "; ".join(meanings)


def committed(result: CaseResult) -> bool | None:
    """Whether a save left a commit marker; None for a load, and for a script that is about the retry."""
    if fails_again(result):
        return None
    return next((storage.committed for _, storage in result.evidence.places()), None)


def unloadable(result: CaseResult) -> bool:
    """Whether what a save committed cannot be loaded."""
    return any("raised" in text for _, storage in result.evidence.places() for texts in storage.mismatches.values() for text in texts)
