"""Hypothesis strategies for plans and what they are made of, and the profiles that say how long to search.

Every plan drawn is one that ``bind`` accepts, by construction: nothing is filtered, so nothing is wasted. Plans shrink towards what a human
would write: fewer faults, fewer and lower ranks, the first occurrence, no addressing, before the call, a plain error. To that end every fault
is read from the same number of small numbers, used or not: hypothesis prefers fewer draws to anything else, and would report a bare ``hang``
where ``raise`` does.

torch's ``CheckpointException`` is a ``BaseException``: hypothesis neither shrinks nor reports it. A test under ``@given`` catches it and fails
with ``OracleViolation``, which is an ``AssertionError``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hypothesis import Phase, settings
from hypothesis import strategies as st

from ckpt_harness.errors import UsageError
from ckpt_harness.faults.calling import find_call_style
from ckpt_harness.faults.effects import (
    SIMULABLE,
    BitFlip,
    CutBody,
    Delay,
    DiskError,
    Effect,
    FailFuture,
    Hang,
    NoSpace,
    Raise,
    ShortWrite,
    Status,
    Throttle,
    TornWrite,
    Truncate,
    WrongResult,
)
from ckpt_harness.faults.error_specs import ZOO
from ckpt_harness.faults.fault import Fault, OperationRef, Ranks
from ckpt_harness.faults.plan import BoundPlan, FaultPlan
from ckpt_harness.faults.protocol import DCP, Group
from ckpt_harness.faults.sites import OPERATION_KINDS, SITES, OperationKind, Site, direction, find_site

ERRORS: tuple[str, ...] = (
    "InjectedFault",
    "OSError:EIO",
    "OSError:ENOSPC",
    "ValueError",
    "RuntimeError",
    "KeyError",
    "TimeoutError",
    "AttributeError",
    "StopIteration",
    "MemoryError",
    "SystemExit",
    "KeyboardInterrupt",
    *ZOO,
)
"""The errors that :func:`errors` draws, the simplest first: a plain one, those of storage, those that code treats specially, the zoo."""

_HABITUAL = ("write_data", "read_data", "finish", "set_up_storage_writer", "set_up_storage_reader", "prepare_local_plan")
_WIDE = 16  # ranks of a world that are told apart; see _rank_set
_VARIANTS = 12  # divisible by the number of variants of every effect, so that each is drawn as often
_ITEMS = 3  # occurrences of a per-item site that are tried; a workload holds a handful of items on a rank


def storage_sites(op: OperationKind) -> tuple[str, ...]:
    """The sites of the storage writer or reader that a plain ``op`` reaches, those first that a human would try first.

    Staging is left out, since not every writer stages.

    Args:
        op: ``save``, ``async_save`` or ``load``.

    Raises:
        UsageError: no such operation.
    """
    if op not in OPERATION_KINDS:
        raise UsageError(f"unknown operation {op!r}; operations: {', '.join(OPERATION_KINDS)}")
    side = {"save": "writer", "load": "reader"}[direction(op)]
    found = [site for site in SITES.values() if site.side == side and op in site.operations and site.phase != "stage"]

    def habit(site: Site) -> tuple[int, bool]:
        return (_HABITUAL.index(site.method) if site.method in _HABITUAL else len(_HABITUAL), not site.guarded)

    return tuple(site.name for site in sorted(found, key=habit))


def guarded_sites(op: OperationKind) -> tuple[str, ...]:
    """Those of :func:`storage_sites` where an error is owed to every rank: calls within a protocol step.

    Args:
        op: ``save``, ``async_save`` or ``load``.
    """
    return tuple(name for name in storage_sites(op) if SITES[name].guarded)


def disk_sites(op: OperationKind) -> tuple[str, ...]:
    """The sites below the storage that a plain ``op`` of DCP on a file system reaches, those first that a human would try first.

    Args:
        op: ``save``, ``async_save`` or ``load``.
    """
    loads = direction(op) == "load"
    methods = ("read", "create_stream", "close") if loads else ("write", "rename", "close", "flush", "create_stream", "mkdir", "exists")
    return tuple(f"fs.{method}" for method in methods)


def network_sites(op: OperationKind) -> tuple[str, ...]:
    """The requests by which a plain ``op`` of DCP reaches an object store, those first that a human would try first.

    Args:
        op: ``save``, ``async_save`` or ``load``.
    """
    methods = ("get", "head") if direction(op) == "load" else ("put", "copy", "head", "list", "delete")
    return tuple(f"http.{method}" for method in methods)


def world_sizes(at_most: int = 5) -> st.SearchStrategy[int]:
    """Numbers of ranks, from 1.

    Args:
        at_most: the largest world.
    """
    return st.integers(1, at_most)


def coordinators(ranks: int) -> st.SearchStrategy[int]:
    """Ranks that may coordinate a world of ``ranks``; the simplest is 0."""
    return st.integers(0, ranks - 1)


def errors() -> st.SearchStrategy[str]:
    """What ``raise`` and ``failfuture`` take: builtins, an ``OSError`` with an errno, the exception zoo."""
    return st.sampled_from(ERRORS)


def effects_at(site: str, effects: Sequence[type[Effect]] | None = None, errors: Sequence[str] = ERRORS) -> st.SearchStrategy[Effect]:
    """Effects that are legal at a site; the simplest is the first of ``effects``, with the first of ``errors``.

    Args:
        site: full name.
        effects: the types to draw from; all that are legal there, if left out.
        errors: the errors to draw from.

    Raises:
        PlanError: no such site.
        UsageError: none of ``effects`` is legal there.
    """
    at = find_site(site)
    kinds = _legal(at, effects)
    if not kinds:
        raise UsageError(f"none of the effects is legal at {site!r}; legal there: {', '.join(kind.__name__ for kind in _legal(at, None))}")
    numbers = st.tuples(_up_to(kinds), _up_to(errors), st.integers(0, _VARIANTS - 1))
    return numbers.map(lambda drawn: _effect(at, kinds[drawn[0]], errors[drawn[1]], drawn[2]))


def _legal(site: Site, effects: Sequence[type[Effect]] | None) -> list[type[Effect]]:
    kinds = [kind for kind in (SIMULABLE if effects is None else effects) if kind.legal_at(site)]
    if effects is None and site.side == "fs":  # disks raise what the system says; errors that do not pickle come from above
        return [DiskError, *(kind for kind in kinds if kind not in (DiskError, Raise))]
    if effects is None and site.layer == "network":
        return [Status, *(kind for kind in kinds if kind not in (Status, Delay, Hang, Throttle))]  # those take real seconds
    return kinds


def _up_to(choices: Sequence[object]) -> st.SearchStrategy[int]:
    return st.integers(0, len(choices) - 1)


def _effect(site: Site, kind: type[Effect], error: str, variant: int) -> Effect:
    if kind is Raise:
        return Raise(error)
    if kind is FailFuture:
        moments = FailFuture.moments_at(site)
        return FailFuture(moments[variant % len(moments)], error)
    if kind is WrongResult:
        wrongs = WrongResult.kinds_at(site)
        return WrongResult(wrongs[variant % len(wrongs)])
    variants = _VARIED.get(kind, (kind,))
    return variants[variant % len(variants)]()


_BYTES = (0, 1, 100, 1300, 4096, 10_000)
_VARIED: dict[type[Effect], Sequence[Callable[[], Effect]]] = {
    Delay: [functools.partial(Delay, seconds) for seconds in (1.0, 0.01, 60.0, 3600.0)],
    DiskError: [functools.partial(DiskError, name) for name in ("EIO", "ENOSPC", "EROFS", "EDQUOT", "ESTALE", "EACCES")],
    Status: [functools.partial(Status, *one) for one in ((503,), (500,), (503, "SlowDown"), (429,), (403,), (404,))],
    **{kind: [functools.partial(kind, number) for number in _BYTES] for kind in (NoSpace, ShortWrite, TornWrite, BitFlip, Truncate, CutBody)},
}
"""The forms in which an effect is drawn, that first which a human would write first; others have one."""


def faults(
    *,
    ranks: int,
    op: OperationKind = "save",
    coordinator: int = 0,
    operations: int = 1,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    sites: Sequence[str] | None = None,
    way: str = "together",
) -> st.SearchStrategy[Fault]:
    """Single faults that are legal and possible in a world. Arguments and errors are those of :func:`fault_plans`."""
    menu, cast = _Menu.of(op, operations, effects, errors, sites), _Cast.of(way, op, ranks, coordinator)
    return menu.numbers(ranks).map(lambda drawn: menu.fault(drawn, cast))


Numbers = tuple[int, list[bool], bool, int, int, bool, bool, int, int, int]


@dataclass(frozen=True)
class _Cast:
    """Who takes part.

    Attributes:
        ranks: those that do, in order.
        coordinators: those that coordinate, in the order of their groups.
        alike: whether every rank calls what else only a coordinator does.
        size: of the world.
        groups: who does the operation with whom.
    """

    ranks: tuple[int, ...]
    coordinators: tuple[int, ...]
    alike: bool
    size: int
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, way: str, op: OperationKind, ranks: int, coordinator: int) -> _Cast:
        """That of a way of calling."""
        groups = find_call_style(way).groups(ranks, coordinator)
        part = tuple(sorted(rank for group in groups for rank in group.ranks))
        alike = not find_call_style(way).protocol(DCP, op).collectives
        return cls(part, tuple(group.coordinator for group in groups), alike, ranks, groups)


@dataclass(frozen=True)
class _Menu:
    """What faults are made of, and how to make one from a fixed count of small numbers."""

    op: OperationKind
    operations: int
    sites: tuple[Site, ...]
    kinds: dict[str, list[type[Effect]]]
    errors: tuple[str, ...]

    @classmethod
    def of(
        cls, op: OperationKind, operations: int, effects: Sequence[type[Effect]] | None, errors: Sequence[str], sites: Sequence[str] | None
    ) -> _Menu:
        asked = [find_site(name) for name in (storage_sites(op) if sites is None else sites)]
        for site in asked:
            if op not in site.operations:
                raise UsageError(f"site {site.name!r} is not called in {op!r}; it is in: {', '.join(site.operations)}")
        kinds = {site.name: _legal(site, effects) for site in asked}
        usable = tuple(site for site in asked if kinds[site.name])
        if not usable:
            legal = sorted({kind.__name__ for site in asked for kind in _legal(site, None)})
            raise UsageError(f"no effect is legal at any of the sites ({', '.join(kinds) or 'none'}); legal there: {', '.join(legal)}")
        return cls(op, operations, usable, kinds, tuple(errors))

    def numbers(self, width: int) -> st.SearchStrategy[Numbers]:
        yes, few = st.booleans(), st.integers(0, _VARIANTS - 1)
        mask = st.lists(yes, min_size=min(width, _WIDE), max_size=min(width, _WIDE))
        addressing = st.integers(0, self.operations + 1)
        return st.tuples(_up_to(self.sites), mask, yes, addressing, few, yes, yes, _up_to(max(self.kinds.values(), key=len)), _up_to(self.errors), few)

    def fault(self, numbers: Numbers, cast: _Cast) -> Fault:
        at, mask, in_words, addressing, nth, for_ever, after, kind, error, variant = numbers
        site = self.sites[at]
        effect = _effect(site, self.kinds[site.name][kind % len(self.kinds[site.name])], self.errors[error], variant)
        operation = None if addressing == 0 else OperationRef(self.op, None if addressing == 1 else addressing - 1)
        # A site that is called once has one occurrence in an operation, and over the case one an operation.
        occurrence = nth % ((_ITEMS if site.several else 1) * (self.operations if operation is None else 1)) + 1
        return Fault(
            site=site.name,
            ranks=_ranks_at(site, _rank_set(mask, cast), in_words, cast),
            effect=effect,
            nth=occurrence,
            times=None if for_ever else 1,
            after=after and effect.can_be_after and not site.is_future,
            operation=operation,
            # How many items a rank has is the workload's affair, and what it asks of its disk, that of the engine too.
            optional=(site.several and occurrence > 1) or site.layer != "calls",
        )


def _rank_set(mask: list[bool], cast: _Cast) -> tuple[int, ...]:
    """The ranks that the mask marks, the lowest if none; of a large world only the lowest, the coordinators and the last are told apart."""
    low, known = cast.ranks[: _WIDE - 2], cast.ranks
    if len(cast.ranks) > _WIDE:
        known = tuple(sorted({*low, *cast.coordinators[:1], cast.ranks[-1]}))
    marked = reversed(mask)  # so that lower ranks are smaller numbers
    return tuple(rank for rank, mark in zip(known, marked, strict=False) if mark) or known[:1]


def _ranks_at(site: Site, chosen: tuple[int, ...], in_words: bool, cast: _Cast) -> Ranks:
    """Ranks as numbers or, where these have one, as a word: drawn as a set, ``all`` shrinks to any one rank."""
    if site.callers == "coordinator":
        called_by = cast.ranks if cast.alike else cast.coordinators
        return (next((rank for rank in chosen if rank in called_by), called_by[0]),) if in_words else "coordinator"
    words: dict[tuple[int, ...], Ranks] = {
        tuple(rank for rank in cast.ranks if rank not in cast.coordinators): "others",
        tuple(sorted(cast.coordinators)): "coordinator",
        cast.ranks: "all",
    }
    return words.get(chosen, chosen) if in_words else chosen


def fault_plans(
    *,
    ranks: int,
    op: OperationKind = "save",
    max_faults: int = 3,
    coordinator: int = 0,
    operations: int = 1,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    sites: Sequence[str] | None = None,
    way: str = "together",
) -> st.SearchStrategy[FaultPlan]:
    """Plans that ``plan.bind(ranks, coordinator)`` accepts, or that bind in another way of calling; the simplest is the empty plan.

    Args:
        ranks: number of ranks of the world.
        op: the kind of operation to strike: ``save``, ``async_save`` or ``load``.
        max_faults: most faults in a plan.
        coordinator: the rank that coordinates.
        operations: how many operations of the kind a case runs; with more than one, later ones are struck too.
        effects: the effect types to draw from, simplest first; if left out, all that every world can show.
        errors: the errors to draw from, simplest first.
        sites: full names of the sites to strike, simplest first; :func:`storage_sites`, if left out.
        way: name of the way of calling (:data:`ckpt_harness.faults.calling.CALL_STYLES`): who does the operation with whom.

    Raises:
        PlanError: a site that does not exist, or a coordinator outside the world or a group.
        UsageError: a site that ``op`` never calls, effects that are legal nowhere, or a world that the way does not work in.
    """
    menu, cast = _Menu.of(op, operations, effects, errors, sites), _Cast.of(way, op, ranks, coordinator)
    return _several(menu, max_faults, ranks).map(lambda drawn: _plan(menu, drawn, cast))


@st.composite
def _several(draw: st.DrawFn, menu: _Menu, max_faults: int, width: int) -> list[Numbers]:
    one = menu.numbers(width)
    return [draw(one) for _ in range(draw(st.integers(0, max_faults)))]  # a count first: a list's items are too long to be deleted singly


def _plan(menu: _Menu, drawn: list[Numbers], cast: _Cast) -> FaultPlan:
    """The faults drawn, but for those that may strike where an earlier one does: drawn independently, they shrink independently."""
    kept: list[tuple[Fault, frozenset[int]]] = []
    for numbers in drawn:
        fault = menu.fault(numbers, cast)
        protocol = replace(DCP, collectives=not cast.alike)
        struck = FaultPlan((fault,)).bind(cast.size, 0, protocol, cast.groups).faults[0].ranks
        if not any(struck & others and fault.overlaps(earlier) for earlier, others in kept):
            kept.append((fault, struck))
    return FaultPlan(tuple(fault for fault, _ in kept))


@st.composite
def _bound(draw: st.DrawFn, menu: _Menu, max_ranks: int, max_faults: int, way: str) -> BoundPlan:
    how = find_call_style(way)
    ranks = draw(st.integers(how.least, max_ranks if how.most is None else min(how.most, max_ranks)))
    smallest = min(len(group.ranks) for group in how.groups(ranks, 0))
    coordinator = draw(coordinators(smallest if how.use_collectives else 1))
    cast = _Cast.of(way, menu.op, ranks, coordinator)
    plan = _plan(menu, draw(_several(menu, max_faults, max_ranks)), cast)
    return plan.bind(ranks, coordinator, how.protocol(DCP, menu.op), cast.groups)


def bound_plans(
    *,
    max_ranks: int = 5,
    op: OperationKind = "save",
    max_faults: int = 3,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    sites: Sequence[str] | None = None,
    way: str = "together",
) -> st.SearchStrategy[BoundPlan]:
    """Plans together with a world: its size and its coordinator. They shrink to small worlds with coordinator 0.

    Args:
        max_ranks: the largest world.
        op: as for :func:`fault_plans`, and so are the others.
        max_faults: most faults in a plan.
        effects: effect types.
        errors: errors.
        sites: sites.
        way: way of calling.
    """
    return _bound(_Menu.of(op, 1, effects, errors, sites), max_ranks, max_faults, way)


PROFILES: tuple[str, ...] = ("quick", "ci", "soak")
PROFILE_VARIABLE = "CKPT_HARNESS_PROFILE"


def _settings() -> dict[str, settings]:
    # No deadline anywhere: how long a case takes depends on the machine, and hangs are judged by the world, not by a clock. And nothing is explained:
    # that runs a shrunk plan another few hundred times to find what does not matter about it, where the plan's few words and its story say enough.
    # Made from hypothesis' own default and not the current profile, which may be one of these.
    shared = settings(settings.get_profile("default"), deadline=None, phases=tuple(phase for phase in Phase if phase is not Phase.explain))
    return {
        "quick": settings(shared, max_examples=25, derandomize=True, database=None),
        "ci": settings(shared, max_examples=200, print_blob=True),
        "soak": settings(shared, max_examples=5_000, print_blob=True),
    }


def load_profile(name: str | None = None) -> str:
    """Makes a profile hypothesis' current one.

    They are registered as ``ckpt-quick``, ``ckpt-ci`` and ``ckpt-soak``, so that a suite's own profile ``ci`` stays what it is.

    Args:
        name: ``quick`` (few examples, the same every time), ``ci`` or ``soak``; if left out, what the environment variable
            ``CKPT_HARNESS_PROFILE`` names, else ``quick``.

    Returns:
        The profile's name.

    Raises:
        UsageError: no such profile.
    """
    chosen = name or os.environ.get(PROFILE_VARIABLE) or "quick"
    if chosen not in PROFILES:
        raise UsageError(f"unknown profile {chosen!r}; profiles: {', '.join(PROFILES)}")
    for short, profile in _settings().items():
        settings.register_profile(f"ckpt-{short}", profile)
    settings.load_profile(f"ckpt-{chosen}")
    return chosen
