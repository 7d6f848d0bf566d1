"""The text form of faults: ``[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]``."""

from __future__ import annotations

import re
from typing import cast

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects import Effect, FailFuture, Raise, parse_effect
from ckpt_harness.faults.fault import SYMBOLIC, Fault, OperationRef, Ranks
from ckpt_harness.faults.sites import OPERATION_KINDS, PHASES, PRINCIPAL, SITES, Phase, Site, direction, of_phase, resolve

FORM = "[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]"

_FAULT = re.compile(
    r"""\s*
    (?:(?P<operation>\w+)(?:\[(?P<index>[^\]]*)\])?/)?
    (?P<site>[\w.]+)(?:\((?P<glob>[^()]*)\))?\s*
    @\s*(?P<ranks>[^#!=]*?)\s*
    (?:\#(?P<nth>[0-9]{1,9})(?:x(?P<times>[0-9]{1,9}|\*))?)?\s*
    (?P<after>!after)?\s*
    =\s*(?P<effect>[^?]*?)\s*
    (?P<optional>\?)?\s*\Z""",
    re.VERBOSE,
)


def faults_of(text: str, *, side: str | None, every_site: bool) -> list[list[Fault]]:
    """Reads a plan's text.

    Args:
        text: faults joined by ``;``.
        side: ``writer`` or ``reader`` inside a wrapper, where that prefix may be left out.
        every_site: let a phase stand for each of its sites in turn, instead of its principal one.

    Returns:
        For each fault of the text, the faults that it may mean: one, or for a phase as many as it has sites.

    Raises:
        PlanError: syntax, or an impossible fault.
    """
    return [_read(part, side, every_site) for part in text.split(";") if part.strip()]


def _read(text: str, side: str | None, every_site: bool) -> list[Fault]:
    match = _FAULT.match(text)
    if match is None:
        raise PlanError(f"cannot read fault {text.strip()!r}; the form is {FORM}, such as writer.write_data@2=raise(OSError:ENOSPC)")
    operation = _operation(text, match["operation"], match["index"])
    ranks = _ranks(match["ranks"])
    effect = parse_effect(match["effect"])
    sites = _sites(match["site"], operation, side, every_site, ranks)
    return [
        Fault(
            site=site.name,
            ranks=ranks,
            effect=_fitted(effect, site) if len(sites) > 1 else effect,
            nth=int(match["nth"] or 1),
            times=None if match["times"] == "*" else int(match["times"] or 1),
            after=match["after"] is not None and not (len(sites) > 1 and site.is_future),
            operation=operation,
            glob=match["glob"],
            optional=match["optional"] is not None,
        )
        for site in sites
    ]


def _operation(text: str, kind: str | None, index: str | None) -> OperationRef | None:
    if kind is None:
        return None
    if index is not None and not re.fullmatch("[0-9]{1,9}", index):
        raise PlanError(f"operation number {index!r} in {text.strip()!r} is not a number from 1")
    if kind not in OPERATION_KINDS:
        raise PlanError(f"unknown operation {kind!r} in {text.strip()!r}; operations: {', '.join(OPERATION_KINDS)}")
    return OperationRef(kind, None if index is None else int(index))


def _ranks(text: str) -> Ranks:
    if text in SYMBOLIC:
        return cast(Ranks, text)
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise PlanError(f"unknown ranks {text!r}; valid: numbers such as 0,2, or {', '.join(SYMBOLIC)}")
    return tuple(sorted({int(part) for part in parts}))


def _sites(name: str, operation: OperationRef | None, side: str | None, every_site: bool, ranks: Ranks) -> list[Site]:
    if name not in PHASES or side in ("fs", "http"):  # there, write and read are their own
        return [resolve(name, side=side, operation=None if operation is None else operation.kind)]
    phase: Phase = name
    ways = [way for way in ("save", "load") if of_phase(phase, way)]
    if phase == "collective":
        ways = ways[:1]  # saves and loads share the sites
    elif operation is not None:
        ways = [way for way in ways if way == direction(operation.kind)]
    elif side in ("writer", "reader"):
        ways = [way for way in ways if way == ("save" if side == "writer" else "load")]
    if not ways:
        raise PlanError(f"phase {name!r} has no sites {'in ' + str(operation) if operation else 'of the ' + str(side)}; phases: {', '.join(PHASES)}")
    if not every_site:
        if len(ways) > 1:
            raise PlanError(f"phase {name!r} belongs to saves and to loads: say save/{name} or load/{name}, or name a site")
        return [SITES[PRINCIPAL[phase, ways[0]]]]
    meant = dict.fromkeys(site for way in ways for site in of_phase(phase, way))
    sites = [site for site in meant if operation is None or operation.kind in site.operations]
    reachable = [site for site in sites if site.callers == "every rank" or ranks == "coordinator"]
    if not reachable and len(ranks) == 1:
        return sites  # the one rank may be the coordinator: binding tells
    if not reachable:
        raise PlanError(f"phase {name!r} has only sites that the coordinator alone calls: say {name}@coordinator")
    return reachable


def _fitted(effect: Effect, site: Site) -> Effect:
    """A phase's error reaches the future of its call as a failed future, since nothing can be raised *at* a future."""
    return FailFuture("wait", effect.error) if site.is_future and isinstance(effect, Raise) else effect
