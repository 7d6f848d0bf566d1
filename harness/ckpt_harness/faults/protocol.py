"""The protocol of an engine: which sites it calls in which protocol step, on which ranks, and in which order.

The tables are those of ``torch/distributed/checkpoint/state_dict_saver.py`` and ``state_dict_loader.py``, torch 2.13.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass

from ckpt_harness.faults.sites import SITES, OperationKind


class Capability(enum.Enum):
    """What an engine claims. A violation of a claim that the engine does not make is reported as not claimed.

    Example:
        >>> Capability("checksums").name
        'CHECKSUMS'
    """

    COLLECTIVES = "collectives"
    """Ranks learn of each other's failures through collectives."""
    ANY_COORDINATOR = "any coordinator"
    """A rank other than 0 can coordinate."""
    COMMIT_MARKER = "commit marker"
    """Storage shows whether a checkpoint is complete."""
    WITHOUT_COLLECTIVES = "without collectives"
    """Ranks can save without collectives: each rank commits its own part, and the storage keeps the parts apart."""
    DETECTS_LIES = "detects lies"
    """The engine notices a storage call that reports success and did nothing, or that returns a wrong result."""
    FILE_SYSTEM = "file system"
    """Writer and reader reach the disk through a ``FileSystemBase`` in their attribute ``fs``: disk faults strike there."""
    OBJECT_STORE = "object store"
    """Writer and reader reach an object store by HTTP at the address that ``ckpt_harness.reach`` returns, where HTTP faults can strike."""
    CHECKSUMS = "checksums"
    """A load detects bytes that were damaged on their way to storage, in storage, or on their way back."""
    ATOMIC_OVERWRITE = "atomic overwrite"
    """A save onto a checkpoint leaves the whole old or the whole new checkpoint, whatever breaks at any time."""
    DURABLE_COMMIT = "durable commit"
    """Once a save has reported success, a power cut cannot take the checkpoint away."""
    RETENTION = "retention"
    """A save removes older checkpoints beside its own, once its own is whole and never before. It changes nothing in those that it leaves."""


@dataclass(frozen=True)
class Step:
    """A protocol step: a map on every rank, then a reduce on the coordinator, whose result all ranks receive.

    Attributes:
        name: the step's name in a ``CheckpointException``: ``plan``, ``write`` or ``read``.
        map: sites that every rank calls, in order.
        reduce: sites that the coordinator calls once every map succeeded, in order.
    """

    name: str
    map: tuple[str, ...]
    reduce: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """The calls of one kind of operation.

    Attributes:
        before: unguarded sites ahead of the first step, in order.
        steps: the guarded part.
        after: unguarded sites for which no rank waits: behind the last step, or beside the steps.
    """

    before: tuple[str, ...]
    steps: tuple[Step, ...]
    after: tuple[str, ...] = ()

    @functools.cached_property
    def sites(self) -> tuple[str, ...]:
        """All sites that the operation calls, in order."""
        return (*self.before, *(site for step in self.steps for site in (*step.map, *step.reduce)), *self.after)

    @functools.cached_property
    def guarded(self) -> dict[str, tuple[int, bool]]:
        """Site -> the index of the protocol step that guards the site, and whether the site belongs to the step's reduce."""
        places: dict[str, tuple[int, bool]] = {}
        for index, step in enumerate(self.steps):
            for in_reduce, sites in ((False, step.map), (True, step.reduce)):
                for site in sites:
                    places.setdefault(site, (index, in_reduce))
        return places


@dataclass(frozen=True)
class Protocol:
    """The calls of all kinds of operation of an engine.

    Attributes:
        name: for messages.
        operations: kind -> the operation's calls.
        collectives: whether collectives join the ranks. Without them each rank coordinates itself and raises its own errors.

    Example:
        >>> DCP.step_of("writer.finish", "save")
        'write'
    """

    name: str
    operations: dict[OperationKind, Operation]
    collectives: bool = True

    def step_of(self, site: str, kind: OperationKind) -> str:
        """The protocol step that guards ``site``, or "" where nothing does."""
        for step in self.operations[kind].steps:
            if site in step.map or site in step.reduce:
                return step.name
        return ""

    def leaves_out(self, site: str, kind: OperationKind) -> bool:
        """Whether ``site`` is a call of DCP's that this protocol does not have.

        Example:
            >>> DCP.leaves_out("writer.finish", "save")
            False
        """
        return site in DCP.operations[kind].sites and site not in self.operations[kind].sites

    def allows(self, site: str, kind: OperationKind, *, coordinates: bool) -> bool:
        """Whether a rank may call ``site``: a fault can be planned only there.

        Args:
            site: full name.
            kind: the kind of operation.
            coordinates: whether the rank coordinates its group.

        Example:
            >>> DCP.allows("writer.finish", "save", coordinates=False)
            False
        """
        if self.leaves_out(site, kind):
            return False
        return coordinates or not self.collectives or SITES[site].callers == "every rank"

    def in_reduce(self, site: str, kind: OperationKind) -> bool:
        """Whether ``site`` belongs to a reduce, which only the coordinator runs."""
        return any(site in step.reduce for step in self.operations[kind].steps)


@dataclass(frozen=True)
class Group:
    """Ranks that do an operation together.

    Attributes:
        ranks: ranks of the world, ordered by their rank within the group.
        coordinator: the rank of the world that coordinates.
    """

    ranks: tuple[int, ...]
    coordinator: int

    def within(self, rank: int) -> int:
        """The rank within the group of a rank of the world: the key of ``CheckpointException.failures``.

        Example:
            >>> Group((1, 3, 5), coordinator=1).within(5)
            2
        """
        return self.ranks.index(rank)


def groups_of(world_size: int, coordinator: int, protocol: Protocol) -> tuple[Group, ...]:
    """The default groups: all ranks together or, without collectives, each rank for itself."""
    if protocol.collectives:
        return (Group(tuple(range(world_size)), coordinator),)
    return tuple(Group((rank,), rank) for rank in range(world_size))


NESTED: dict[str, str] = {
    "save_planner.resolve_data": "writer.write_data",
    "load_planner.load_bytes": "reader.read_data",
    "load_planner.resolve_bytes": "reader.read_data",
    "load_planner.resolve_tensor": "reader.read_data",
    "load_planner.commit_tensor": "reader.read_data",
}
"""Sites that are called during the call of another site: inner site -> outer site."""


def storage_call(site: str) -> str:
    """The call of the storage or of a planner that goes on from a call of a site; "" for sites of files, requests and collectives.

    Args:
        site: full name of the site.

    Example:
        >>> storage_call("save_planner.resolve_data"), storage_call("writer.finish"), storage_call("fs.write")
        ('writer.write_data', 'writer.finish', '')
    """
    if SITES[site].layer != "calls" or SITES[site].side == "pg":
        return ""
    return NESTED.get(site, site)


_SAVE_STEPS = (
    Step(
        "plan",
        map=(
            "writer.storage_meta",
            "save_planner.set_up_planner",
            "writer.set_up_storage_writer",
            "save_planner.create_local_plan",
            "writer.prepare_local_plan",
        ),
        reduce=("save_planner.create_global_plan", "writer.prepare_global_plan"),
    ),
    Step(
        "write",
        map=("save_planner.finish_plan", "writer.write_data", "save_planner.resolve_data", "writer.write_data.future"),
        reduce=("writer.finish",),
    ),
)
_STAGING = ("writer.stage", "stager.stage", "stager.stage.future")
_SAVE_BEFORE = ("writer.reset", "state.state_dict", "writer.checkpoint_id")

DCP = Protocol(
    "DCP",
    {
        "save": Operation(_SAVE_BEFORE, _SAVE_STEPS),
        "async_save": Operation(
            ("state.state_dict", *_STAGING, "executor.start", "executor.save", *_SAVE_BEFORE),
            _SAVE_STEPS,
            ("writer.synchronize_staging", "stager.synchronize_staging", "stager.close"),
        ),
        "load": Operation(
            ("reader.reset", "state.state_dict", "reader.checkpoint_id"),
            (
                Step(
                    "plan",
                    map=(
                        "reader.read_metadata",
                        "load_planner.set_up_planner",
                        "reader.set_up_storage_reader",
                        "load_planner.create_local_plan",
                        "reader.prepare_local_plan",
                    ),
                    reduce=("load_planner.create_global_plan", "reader.prepare_global_plan"),
                ),
                Step(
                    "read",
                    map=(
                        "load_planner.finish_plan",
                        "reader.read_data",
                        "load_planner.load_bytes",
                        "load_planner.resolve_bytes",
                        "load_planner.resolve_tensor",
                        "load_planner.commit_tensor",
                        "reader.read_data.future",
                    ),
                ),
            ),
            ("state.load_state_dict",),
        ),
    },
)

DCP_ALONE = Protocol("DCP without a process group", DCP.operations, collectives=False)
"""``no_dist``: each rank is an operation of one rank, with coordinator 0 and key 0."""
