"""Plans: validated, frozen sets of faults, and their binding to a world."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ckpt_harness.errors import PlanError, choices, quoted, summary, unknown
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.collisions import Struck, find_collision
from ckpt_harness.faults.effects import SIMULABLE, Effect, Exit, FailFuture, Kill, Raise, Stop
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.protocol import DCP, Group, Protocol, groups_of
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.faults.text import faults_of

_SEE = "ckpt-harness effects"
"""The command that prints all effects."""


@dataclass(frozen=True)
class FaultPlan:
    """A set of faults as a value: hashable, printable, and equal to the plan that its text parses to.

    Attributes:
        faults: in the order in which they were written.

    Raises:
        PlanError: two faults may strike the same call, or a fault can never act.

    Example:
        >>> plan = FaultPlan.parse("write_data@2=raise(OSError:ENOSPC); finish@coordinator=hang")
        >>> str(plan)
        'writer.write_data@2=raise(OSError:ENOSPC); writer.finish@coordinator=hang'
        >>> FaultPlan.parse(str(plan)) == plan
        True
    """

    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        collision = find_collision(self.faults, [_certain_ranks(fault) for fault in self.faults])
        if collision is not None:
            first, second = self.faults[collision.first], self.faults[collision.second]
            raise PlanError(f"two faults may strike the same call: {first.label} and {second.label}")
        for fault in self.faults:
            _check_coordinator_only(fault)

    @classmethod
    def parse(cls, text: str, *, side: str | None = None) -> FaultPlan:
        """Reads a plan from its text.

        Args:
            text: faults joined by ``;``, each ``[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]``. A phase (``write``)
                means its principal site here; see :meth:`expand`.
            side: ``writer`` or ``reader`` inside a wrapper of that side, where the prefix may be left out.

        Raises:
            PlanError: wrong syntax, or an impossible fault; the message shows the value and the valid choices.

        Example:
            >>> [fault] = FaultPlan.parse("save[3]/write_data@0,2#2=raise(ValueError)")
            >>> fault.site, fault.ranks, fault.nth
            ('writer.write_data', (0, 2), 2)
        """
        if not isinstance(text, str):
            raise PlanError(f"plan {quoted(text)} has the type {type(text).__name__}; valid: text such as writer.write_data@2=raise")
        return cls(tuple(fault for faults in faults_of(text, side=side, every_site=False) for fault in faults))

    @classmethod
    def expand(cls, text: str, *, side: str | None = None) -> tuple[FaultPlan, ...]:
        """Reads a text in which a phase stands for each of its sites: one plan for each site.

        Raises:
            PlanError: as :meth:`parse`.

        Example:
            >>> [str(plan) for plan in FaultPlan.expand("save/write@0=raise")]
            ['save/writer.write_data@0=raise', 'save/writer.write_data.future@0=failfuture']
        """
        return tuple(cls(choice) for choice in itertools.product(*faults_of(text, side=side, every_site=True)))

    @classmethod
    def from_fail_conf(cls, conf: Mapping[str, Any], *, side: str) -> FaultPlan:
        """Reads a ``fail_conf`` dictionary of DCP's own failure tests, such as ``{"fail_write_data": [2]}``.

        As in those tests (``test/distributed/checkpoint/test_checkpoint.py``), the error is always a ``ValueError``, and ``_async`` after a name
        means the future that the method returned.

        Args:
            conf: ``fail_<method>`` or ``fail_<method>_async`` -> ranks. ``ignore_exception_type``, a switch of those tests, is accepted.
            side: ``writer`` or ``reader``, since both have the same keys.

        Raises:
            PlanError: an unknown side or key, or ranks that are no list of numbers.

        Example:
            >>> str(FaultPlan.from_fail_conf({"fail_write_data": [2]}, side="writer"))
            'writer.write_data@2#1x*=raise(ValueError)'
        """
        if side not in ("writer", "reader"):
            raise PlanError(unknown("side", side, ("writer", "reader")))
        keys = {f"fail_{site.method.removesuffix('.future')}{'_async' * site.is_future}": site for site in SITES.values() if site.side == side}
        faults = []
        for key, ranks in conf.items():
            if key == "ignore_exception_type":
                continue
            if key not in keys:
                raise PlanError(unknown(f"{side} key", key, [*keys, "ignore_exception_type"]))
            if isinstance(ranks, str) or not isinstance(ranks, Sequence) or not all(isinstance(rank, int) for rank in ranks):
                raise PlanError(f"{key}={quoted(ranks)}; valid: a list of ranks, such as [0, 2]")
            effect: Effect = FailFuture("wait", "ValueError") if keys[key].is_future else Raise("ValueError")
            if ranks:
                faults.append(Fault(keys[key].name, tuple(sorted(set(ranks))), effect, times=None))
        return cls(tuple(faults))

    def bind(self, world_size: int, coordinator: int = 0, protocol: Protocol = DCP, groups: tuple[Group, ...] | None = None) -> BoundPlan:
        """Checks the plan against a world, before anything runs.

        Args:
            world_size: number of ranks.
            coordinator: the rank that coordinates, within its group.
            protocol: the protocol of the engine under test.
            groups: the ranks that do an operation together. Default: :func:`ckpt_harness.faults.protocol.groups_of`.

        Raises:
            PlanError: a rank outside the world or of no group, a site of the coordinator on another rank, a fault that strikes no rank, two faults
                on the same call, or an error type that cannot be imported.

        Example:
            >>> bound = FaultPlan.parse("write_data@others=raise").bind(3)
            >>> sorted(bound.faults[0].ranks)
            [1, 2]
        """
        if world_size < 1:
            raise PlanError(f"a world of {world_size} ranks; valid: 1 or more")
        if not 0 <= coordinator < world_size:
            raise PlanError(f"coordinator {coordinator} is outside a world of {world_size}; valid: 0 to {world_size - 1}")
        parties = groups_of(world_size, coordinator, protocol) if groups is None else groups
        words = _meanings(parties)
        bound = tuple(BoundFault(fault, _bound_ranks(fault, words, world_size, protocol)) for fault in self.faults)
        collision = find_collision(self.faults, ["all" if struck.ranks is words["all"] else struck.ranks for struck in bound])
        if collision is not None:
            first, second = bound[collision.first], bound[collision.second]
            rank = min(first.ranks & second.ranks)
            raise PlanError(f"two faults may strike the same call of rank {rank}: {first.fault.label} and {second.fault.label}")
        for fault in self.faults:
            if isinstance(fault.effect, (Raise, FailFuture)):
                error_specs.check(fault.effect.error, load=True)
        return BoundPlan(self, bound, world_size, coordinator, protocol, parties)

    def to_json(self) -> list[dict[str, Any]]:
        """The plan as plain data."""
        return [fault.to_json() for fault in self.faults]

    @classmethod
    def from_json(cls, data: str | Sequence[Mapping[str, Any]]) -> FaultPlan:
        """Makes a plan from the data that :meth:`to_json` returned, or from the data's JSON text.

        Raises:
            PlanError: not JSON, or not a plan.

        Example:
            >>> plan = FaultPlan.parse("writer.finish@coordinator=raise")
            >>> FaultPlan.from_json(plan.to_json()) == plan
            True
        """
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:  # numbers that are too long and brackets that are too deep raise no JSONDecodeError
                raise PlanError(f"plan {quoted(data)} is not JSON: {summary(error)}") from error
        if isinstance(data, (str, Mapping)) or not isinstance(data, Sequence):
            raise PlanError(f"plan {quoted(data)} in JSON; valid: a list of faults")
        return cls(tuple(Fault.from_json(fault) for fault in data))  # type: ignore[arg-type]  # each is checked there

    def readdressed(self, kind: OperationKind, other: OperationKind) -> FaultPlan:
        """The plan with faults that were addressed to operations of one kind addressed to operations of another kind.

        Example:
            >>> str(FaultPlan.parse("save[2]/finish@0=raise").readdressed("save", "async_save"))
            'async_save[2]/writer.finish@0=raise'
        """
        def moved(fault: Fault) -> Fault:
            if fault.operation is None or fault.operation.kind != kind:
                return fault
            return replace(fault, operation=replace(fault.operation, kind=other))

        return FaultPlan(tuple(map(moved, self.faults)))

    @property
    def strikes_disk(self) -> bool:
        """Whether a fault strikes a disk site."""
        return any(fault.at.layer == "disk" for fault in self.faults)

    @property
    def strikes_network(self) -> bool:
        """Whether a fault strikes HTTP requests."""
        return any(fault.at.layer == "network" for fault in self.faults)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))

    def __repr__(self) -> str:
        return f"FaultPlan.parse({str(self)!r})"

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)


def check_simulable(plan: FaultPlan) -> None:
    """Refuses a plan with effects that need real processes.

    Raises:
        PlanError: the message shows the effect and the valid choices.
    """
    for fault in plan:
        if fault.effect.needs_processes:
            valid = choices((kind.name for kind in SIMULABLE), see=_SEE)
            raise PlanError(f"{fault.label}: {fault.effect.name} needs real processes (world 'processes'); {valid}")


def check_survivable(plan: FaultPlan) -> None:
    """Refuses a plan that ends a rank, or stops it for good: a rank that a launcher started cannot be replaced.

    Raises:
        PlanError: the message shows the effect and the valid choices.
    """
    for fault in plan:
        effect = fault.effect
        if isinstance(effect, (Kill, Exit)) or (isinstance(effect, Stop) and math.isinf(effect.seconds)):
            valid = f"raise, delay, hang, ..., stop(SECONDS); all: `{_SEE}`"
            raise PlanError(f"{effect.name} ends a rank, and a launcher ends all ranks then; {fault.label}; valid: {valid}")


def as_plan(plan: FaultPlan | str, *, side: str | None = None) -> FaultPlan:
    """The plan that an argument stands for: a plan, or its text.

    Raises:
        PlanError: as :meth:`FaultPlan.parse`.
    """
    return plan if isinstance(plan, FaultPlan) else FaultPlan.parse(plan, side=side)


@dataclass(frozen=True)
class BoundFault:
    """A fault with the ranks of a particular world that it strikes."""

    fault: Fault
    ranks: frozenset[int]


@dataclass(frozen=True)
class BoundPlan:
    """A plan that was checked against a world.

    Attributes:
        plan: the plan.
        faults: its faults with their ranks.
        world_size: number of ranks.
        coordinator: the rank that coordinates, within its group.
        protocol: the engine's protocol.
        groups: the ranks that do an operation together.
    """

    plan: FaultPlan
    faults: tuple[BoundFault, ...]
    world_size: int
    coordinator: int
    protocol: Protocol
    groups: tuple[Group, ...]

    def __repr__(self) -> str:
        return f"{self.plan!r}.bind({self.world_size}, {self.coordinator})"

    @functools.cached_property
    def _at_site(self) -> Mapping[str, Sequence[BoundFault]]:
        """Site -> the faults there."""
        at_site: dict[str, list[BoundFault]] = {}
        for bound in self.faults:
            at_site.setdefault(bound.fault.site, []).append(bound)
        return at_site

    def at(self, site: str, rank: int) -> Iterator[BoundFault]:
        """The faults that strike calls of a site on a rank, in the order of the plan.

        Args:
            site: full name of the site.
            rank: the rank that calls.
        """
        return (bound for bound in self._at_site.get(site, ()) if rank in bound.ranks)

    def patterns(self, site: str, file: str) -> tuple[str, ...]:
        """The file patterns that match a call and by which faults count; "" matches all files."""
        globs = {bound.fault.glob for bound in self._at_site.get(site, ()) if bound.fault.glob is not None}
        return ("", *sorted(glob for glob in globs if fnmatchcase(file, glob)))

    def sites(self, kind: OperationKind | None = None) -> frozenset[str]:
        """The sites that the plan strikes, in one kind of operation or in all."""
        return frozenset(bound.fault.site for bound in self.faults if kind is None or kind in bound.fault.at.operations)


def _certain_ranks(fault: Fault) -> Struck:
    """The ranks that a fault strikes in every world, as far as they are certain before binding: a word shares ranks with itself and with ``all``."""
    return (fault.ranks,) if fault.ranks in ("coordinator", "others") else fault.ranks


def _check_coordinator_only(fault: Fault) -> None:
    if fault.at.callers == "coordinator" and (fault.ranks in ("all", "others") or (len(fault.ranks) > 1 and not isinstance(fault.ranks, str))):
        raise PlanError(f"{fault.label}: only the coordinator calls {fault.site}; valid: {fault.site}@coordinator")


def _meanings(groups: tuple[Group, ...]) -> dict[str, frozenset[int]]:
    """Each word for ranks, and the ranks that it means."""
    everyone = frozenset(rank for group in groups for rank in group.ranks)
    coordinators = frozenset(group.coordinator for group in groups)
    return {"all": everyone, "coordinator": coordinators, "others": everyone - coordinators}


def _bound_ranks(fault: Fault, words: Mapping[str, frozenset[int]], world_size: int, protocol: Protocol) -> frozenset[int]:
    """The ranks of a world that a fault strikes."""
    if isinstance(fault.ranks, tuple):
        ranks = frozenset(fault.ranks)
        _check_ranks(fault, ranks, words["all"], world_size)
    else:
        ranks = words[fault.ranks]
    if not ranks:
        raise PlanError(f"{fault.label} strikes no rank: all ranks of a world of {world_size} coordinate; valid: coordinator, all")
    coordinators = words["coordinator"]
    if fault.at.callers == "coordinator" and protocol.collectives and not ranks <= coordinators:
        others = ", ".join(map(str, sorted(ranks - coordinators)[:3]))
        raise PlanError(f"{fault.label}: only a coordinator calls {fault.site}, and rank {others} does not coordinate; {_choices(coordinators)}")
    return ranks


def _check_ranks(fault: Fault, ranks: frozenset[int], everyone: frozenset[int], world_size: int) -> None:
    if max(ranks) >= world_size:
        raise PlanError(f"{fault.label}: rank {max(ranks)} is outside a world of {world_size}; valid: 0 to {world_size - 1}")
    if not ranks <= everyone:
        raise PlanError(f"{fault.label}: rank {min(ranks - everyone)} takes no part in the operation; {_choices(everyone)}")


def _choices(ranks: frozenset[int]) -> str:
    return choices(map(str, sorted(ranks)))
