"""The oracles: pure checks of what was planned, what each rank saw, and what is on storage.

Each oracle takes the :class:`ckpt_harness.judging.evidence.Evidence` of a case and gives judgements. None imports an injector, a wrapper or a world:
the judge shares no code with the culprit. The first line of an oracle's docstring is its claim, which reports print beside its verdict.

A new oracle is a function in the file of its topic, and a line in :data:`ORACLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ckpt_harness.errors import UsageError, unknown
from ckpt_harness.judging.capabilities import needed
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.oracles.attribution import attribution
from ckpt_harness.judging.oracles.background import futures, hygiene, isolation
from ckpt_harness.judging.oracles.base import answers_of
from ckpt_harness.judging.oracles.calls import agreement, bounded, fired, recovery
from ckpt_harness.judging.oracles.order import course
from ckpt_harness.judging.oracles.stored import commitment, coverage, filled, integrity, purity
from ckpt_harness.judging.verdict import Judgement

__all__ = ["OF_JOBS_ALONE", "ORACLES", "Oracle", "claim_of", "judge"]

Oracle = Callable[[Evidence], Iterable[Judgement]]

ORACLES: dict[str, Oracle] = {
    "bounded": bounded,
    "agreement": agreement,
    "attribution": attribution,
    "fired": fired,
    "commitment": commitment,
    "purity": purity,
    "integrity": integrity,
    "course": course,
    "filled": filled,
    "coverage": coverage,
    "futures": futures,
    "isolation": isolation,
    "hygiene": hygiene,
    "recovery": recovery,
}
"""Name -> oracle, in the order in which they expose bugs."""

OF_JOBS_ALONE = ("pairing", "metadata", "resume", "retention", "undisturbed")
"""Names of the oracles of whole jobs (:mod:`ckpt_harness.jobs.oracles`) that no oracle of single operations has. An entry of a register may name them."""

_CLAIMS = {name: (oracle.__doc__ or "").partition("\n")[0] for name, oracle in ORACLES.items()}


def claim_of(oracle: str) -> str:
    """The claim that an oracle checks, in one line.

    Args:
        oracle: the oracle's name.

    Raises:
        UsageError: no oracle has this name.

    Example:
        >>> claim_of("purity")
        'A load that succeeds shows the values of one save only.'
    """
    if oracle not in _CLAIMS:
        raise UsageError(unknown("oracle", oracle, _CLAIMS))
    return _CLAIMS[oracle]


def judge(evidence: Evidence) -> list[Judgement]:
    """Asks every oracle.

    Returns:
        All judgements. An oracle that crashes is UNKNOWN, never a pass; a judgement that the engine does not claim is marked so. After an error inside the
        harness, which may have reached the engine, only ``fired`` is asked.
    """
    asked = {"fired": fired} if evidence.internal_errors else ORACLES
    return [judgement for name, oracle in asked.items() for judgement in answers_of(name, _answers(oracle, evidence))]


def _answers(oracle: Oracle, evidence: Evidence) -> Iterator[Judgement]:
    """What an oracle says, and whether the engine claims what each judgement is about. An oracle may break as soon as it is called."""
    for judgement in oracle(evidence):
        yield replace(judgement, claimed=needed(judgement, evidence) <= evidence.capabilities)
