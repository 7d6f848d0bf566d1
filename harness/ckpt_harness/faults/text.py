"""The text form of faults: ``[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]``."""

from __future__ import annotations

import re
from typing import cast

from ckpt_harness.errors import PlanError, choices, quoted, unknown
from ckpt_harness.faults.effects import Effect, FailFuture, Raise, parse_effect
from ckpt_harness.faults.fault import SYMBOLIC, Fault, OperationRef, Ranks, unknown_ranks
from ckpt_harness.faults.sites import OPERATION_KINDS, PHASES, PRINCIPAL, SITES, Phase, Site, direction, of_phase, resolve

FORM = "[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]"
"""The form of a fault's text, as messages and pages show it."""

_FAULT = re.compile(
    r"""
    (?:(?P<operation>\w+)(?:\[(?P<index>[^\]]*)\])?/)?
    (?P<site>[\w.]+)(?:\((?P<glob>[^()]*)\))?\s*
    @(?P<ranks>[^#!=]*)
    (?:\#(?P<nth>[0-9]{1,9})(?:x(?P<times>[0-9]{1,9}|\*))?\s*)?
    (?:(?P<after>!after)\s*)?
    =(?P<effect>[^?]*)
    (?P<optional>\?)?\Z""",
    re.VERBOSE,
)
"""Matches a fault without the spaces around it.

No two neighbouring parts match the same characters. Otherwise ``re`` would try every way to divide the characters between them: minutes for a long text.
"""


def faults_of(text: str, *, side: str | None, every_site: bool) -> list[list[Fault]]:
    """Reads the text of a plan.

    Args:
        text: faults joined by ``;``.
        side: ``writer`` or ``reader`` inside a wrapper of that side, where the prefix may be left out.
        every_site: let a phase stand for each of its sites, instead of its principal site.

    Returns:
        For each fault of the text, the faults that it may mean: one, or for a phase as many as the phase has sites.

    Raises:
        PlanError: wrong syntax, or an impossible fault.

    Example:
        >>> [[fault]] = faults_of("finish@coordinator=raise", side=None, every_site=False)
        >>> str(fault)
        'writer.finish@coordinator=raise'
    """
    return [_read(part.strip(), side, every_site) for part in text.split(";") if part.strip()]


def _read(text: str, side: str | None, every_site: bool) -> list[Fault]:
    match = _FAULT.match(text)
    if match is None:
        raise PlanError(f"cannot read fault {quoted(text)}; the form is {FORM}, such as finish@0=raise")
    operation = _operation(match["operation"], match["index"])
    ranks = _ranks(match["ranks"].strip())
    effect = parse_effect(match["effect"].strip())
    sites = _sites(match["site"], operation, side, every_site, ranks)
    is_phase = len(sites) > 1
    return [
        Fault(
            site=site.name,
            ranks=ranks,
            effect=_fitted(effect, site) if is_phase else effect,
            nth=int(match["nth"] or 1),
            times=None if match["times"] == "*" else int(match["times"] or 1),
            after=match["after"] is not None and not (is_phase and site.is_future),
            operation=operation,
            glob=match["glob"],
            optional=match["optional"] is not None,
        )
        for site in sites
    ]


def _operation(kind: str | None, index: str | None) -> OperationRef | None:
    if kind is None:
        return None
    if index is not None and not re.fullmatch("[0-9]{1,9}", index):
        raise PlanError(f"operation number {quoted(index)} of {quoted(kind)}; valid: a whole number from 1, such as save[2]")
    if kind not in OPERATION_KINDS:
        raise PlanError(unknown("operation", kind, OPERATION_KINDS))
    return OperationRef(kind, None if index is None else int(index))


def _ranks(text: str) -> Ranks:
    if text in SYMBOLIC:
        return cast(Ranks, text)
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise unknown_ranks(text)
    return tuple(sorted({int(part) for part in parts}))


def _sites(name: str, operation: OperationRef | None, side: str | None, every_site: bool, ranks: Ranks) -> list[Site]:
    """The sites that a site's or a phase's name means."""
    if name not in PHASES or side in ("fs", "http"):  # inside a wrapper of a file system, write and read are sites
        return [resolve(name, side=side, operation=None if operation is None else operation.kind)]
    phase: Phase = name
    directions = _directions(phase, operation, side)
    if every_site:
        return _every_site(phase, directions, operation, ranks)
    if len(directions) > 1:
        raise PlanError(f"phase {name!r} belongs to saves and to loads; valid: save/{name}, load/{name}, or the name of a site")
    return [SITES[PRINCIPAL[phase, directions[0]]]]


def _directions(phase: Phase, operation: OperationRef | None, side: str | None) -> list[str]:
    """The directions (``save``, ``load``) in which a phase has sites, as far as the operation or the wrapper's side allow."""
    directions = [towards for towards in ("save", "load") if of_phase(phase, towards)]
    if phase == "collective":
        return directions[:1]  # saves and loads share the sites
    wanted, where = None, ""
    if operation is not None:
        wanted, where = direction(operation.kind), f"in {operation}"
    elif side in ("writer", "reader"):
        wanted, where = "save" if side == "writer" else "load", f"of the {side}"
    if wanted is None:
        return directions
    if wanted not in directions:
        raise PlanError(f"phase {phase!r} has no sites {where}; {choices(other for other in PHASES if of_phase(other, wanted))}")
    return [wanted]


def _every_site(phase: Phase, directions: list[str], operation: OperationRef | None, ranks: Ranks) -> list[Site]:
    """All sites of a phase that the ranks call."""
    of_directions = dict.fromkeys(site for towards in directions for site in of_phase(phase, towards))
    sites = [site for site in of_directions if operation is None or operation.kind in site.operations]
    reachable = [site for site in sites if site.callers == "every rank" or ranks == "coordinator"]
    if reachable:
        return reachable
    if isinstance(ranks, tuple) and len(ranks) == 1:
        return sites  # the only rank may be the coordinator, which is not known before the plan is bound
    raise PlanError(f"phase {phase!r} on ranks {quoted(ranks)}: only the coordinator calls its sites; valid: {phase}@coordinator")


def _fitted(effect: Effect, site: Site) -> Effect:
    """The effect of a phase as it is at one of the phase's sites: at a future nothing can be raised, so the future fails instead."""
    return FailFuture("wait", effect.error) if site.is_future and isinstance(effect, Raise) else effect
