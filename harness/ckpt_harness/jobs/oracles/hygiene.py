"""The oracle about what a life leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.jobs.calls import Made, is_undisturbed
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import judged
from ckpt_harness.judging.verdict import Judgement


def hygiene(model: Model) -> Iterator[Judgement]:
    """Once all operations of a life have ended, nothing of them remains: no thread, process or open file, and no error that nothing caught.

    What remains may belong to any of the operations, so all of them must end in a known way before any is judged.
    """
    for life, left in model.evidence.left.items():
        calls = [made for made in model.calls.values() if made.done.life == life and not made.on_fresh_ranks]
        if calls and all(_ended_in_a_known_way(made) for made in calls):
            yield judged("hygiene", model, "", [f"after life {life}: {text}" for text in left])


def _ended_in_a_known_way(made: Made) -> bool:
    ended = bool(made.outcomes) and all(outcome.kind in ("returned", "raised") for outcome in made.outcomes.values())
    return ended and bool(made.owed) and all(expectation.exact or is_undisturbed(expectation) for expectation in made.owed)
