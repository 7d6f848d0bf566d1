"""What a load across releases amounts to, from how saving and loading ended on each rank. Needs no torch."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Ending(str, enum.Enum):
    """What one release does with the checkpoints of another, from best to worst."""

    WHOLE = "whole"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    DIVIDED = "divided"
    HUNG = "hung"
    DIED = "died"
    WRONG = "wrong"

    @property
    def meaning(self) -> str:
        """The ending in words, for a legend."""
        return _MEANINGS[self]


_MEANINGS = {
    Ending.WHOLE: "all values, dtypes and shardings come back, with both numbers of ranks",
    Ending.UNAVAILABLE: "one of the releases cannot save this workload, or cannot load what it saved itself",
    Ending.REFUSED: "every rank gets an error",
    Ending.DIVIDED: "some ranks get an error, and others report success",
    Ending.HUNG: "the load never ends",
    Ending.DIED: "the interpreter ends, or stops answering, in the middle of the load",
    Ending.WRONG: "success, with other values, dtypes or shardings than were saved",
}

VIOLATIONS = frozenset({Ending.DIVIDED, Ending.HUNG, Ending.DIED, Ending.WRONG})
"""What no release may do with a checkpoint, whoever saved it: it may load the checkpoint, or say clearly that it cannot."""


@dataclass(frozen=True)
class OnRank:
    """How saving or loading ended on a rank.

    Attributes:
        outcome: as :class:`ckpt_harness.worlds.base.RankResult` has it; ``died`` if the interpreter ended.
        error: the error, or where the rank waits, in one line.
        differences: how the loaded state differs from what was saved.
    """

    outcome: str
    error: str = ""
    differences: tuple[str, ...] = ()


Attempt = Sequence[OnRank]
"""How an operation ended on each of its ranks, in rank order."""


@dataclass(frozen=True)
class Result:
    """What a load across releases amounts to.

    Attributes:
        ending: the kind.
        why: the evidence in one line; "" for a checkpoint that came back whole.
    """

    ending: Ending
    why: str = ""


def succeeded(attempt: Attempt) -> bool:
    """Whether an operation reported success on every rank."""
    return all(on_rank.outcome == "returned" for on_rank in attempt)


def trouble(attempt: Attempt) -> str:
    """The error of the lowest rank that did not succeed; "" if all did.

    Example:
        >>> trouble([OnRank("returned"), OnRank("raised", "ValueError: no")])
        'ValueError: no'
    """
    return next((on_rank.error or on_rank.outcome for on_rank in attempt if on_rank.outcome != "returned"), "")


def loaded(attempts: Mapping[int, Attempt]) -> Result:
    """What the loads of one checkpoint amount to; the worst of them counts.

    Args:
        attempts: number of ranks -> how the load ended on each rank.

    Example:
        >>> loaded({1: [OnRank("returned")], 2: [OnRank("raised", "ValueError: no"), OnRank("raised", "ValueError: no")]})
        Result(ending=<Ending.REFUSED: 'refused'>, why='with 2 ranks only: ValueError: no')
    """
    results = {ranks: _one_load(attempt) for ranks, attempt in attempts.items()}
    order = list(Ending)
    ranks, worst = max(results.items(), key=lambda item: order.index(item[1].ending))
    if worst.ending is Ending.WHOLE or all(result.ending is worst.ending for result in results.values()):
        return worst
    return Result(worst.ending, f"with {ranks} rank{'s' * (ranks > 1)} only: {worst.why}")


def _one_load(attempt: Attempt) -> Result:
    """What a load with one number of ranks amounts to."""
    differing = [(rank, on_rank.differences) for rank, on_rank in enumerate(attempt) if on_rank.differences]
    outcomes = {on_rank.outcome for on_rank in attempt}
    if differing:
        rank, differences = differing[0]
        return Result(Ending.WRONG, f"rank {rank}: {'; '.join(differences)}")
    if "died" in outcomes:
        return Result(Ending.DIED, trouble(attempt))
    if outcomes - {"returned", "raised"}:
        return Result(Ending.HUNG, trouble(attempt))
    if outcomes == {"returned", "raised"}:
        ranks = [rank for rank, on_rank in enumerate(attempt) if on_rank.outcome == "returned"]
        return Result(Ending.DIVIDED, f"success on {_ranks(ranks)}; elsewhere {trouble(attempt)}")
    return Result(Ending.REFUSED, trouble(attempt)) if "raised" in outcomes else Result(Ending.WHOLE)


def _ranks(numbers: Sequence[int]) -> str:
    return f"rank{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def judged(saved: Attempt, attempts: Mapping[int, Attempt], own: Result | None) -> Result:
    """What a release does with a checkpoint of another.

    Args:
        saved: how saving ended.
        attempts: number of ranks -> how loading ended on each rank.
        own: what the loading release does with its own checkpoint of the same workload; None if it is the release that saved. What it does to its own
            checkpoints, too, says nothing about releases, unless values are wrong.

    Example:
        >>> refused = {2: [OnRank("raised", "KeyError: strides")] * 2}
        >>> judged([OnRank("returned")] * 2, refused, own=Result(Ending.WHOLE)).ending.value
        'refused'
        >>> judged([OnRank("returned")] * 2, refused, own=Result(Ending.UNAVAILABLE)).ending.value
        'unavailable'
    """
    if not succeeded(saved):
        return Result(Ending.UNAVAILABLE, f"it cannot be saved: {trouble(saved)}")
    result = loaded(attempts)
    if result.ending in (Ending.WHOLE, Ending.WRONG) or (own is not None and own.ending is Ending.WHOLE):
        return result
    return Result(Ending.UNAVAILABLE, f"the release that loads cannot load its own checkpoint either: {result.why}")
