"""What the harness must know of a checkpoint engine: the protocol that every engine implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ckpt_harness.faults.calling import Executor
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.protocol import Protocol as EngineProtocol

if TYPE_CHECKING:
    from ckpt_harness.workloads.workload import Holding


@dataclass(frozen=True)
class Call:
    """How a rank calls an operation: the arguments beside the state, the storage and the planner.

    Attributes:
        coordinator: the coordinating rank, as a rank of the group.
        group: the process group to pass; None for the default group.
        no_dist: whether the rank saves or loads alone (DCP's ``no_dist``).
        use_collectives: whether a save communicates by collectives (DCP's ``use_collectives``).
        executor: what performs an async save: a thread or a process.
        stager: copies the state of an async save; None for the engine's own stager.
    """

    coordinator: int = 0
    group: Any = None
    no_dist: bool = False
    use_collectives: bool = True
    executor: Executor = "thread"
    stager: Any = None


@dataclass(frozen=True)
class Saving:
    """An async save in progress.

    Attributes:
        upload: completes when the save has succeeded or failed.
        staging: completes when the state is copied; None where ``async_save`` returns only after the copy.
    """

    upload: Future[Any]
    staging: Future[Any] | None = None


class Engine(Protocol):
    """A checkpoint engine: how to make its storage objects, how to call it, and how to inspect the checkpoints that it leaves.

    An engine whose fresh readers depend on nothing but what is stored may say so by one more method, ``stored(place)``. The method returns everything that
    is stored at the location, as a mapping of names to bytes, or None where readers depend on more. A campaign then reads equal content once.

    Attributes:
        name: the name on the command line.
        about: a description of one line, printed by ``ckpt-harness engines``.
        protocol: the sites that the engine calls, in the order of its protocol steps.
        capabilities: what the engine claims; a breach of anything else is reported as "not claimed".
        planners: name of each kind of planner that the engine supports -> a description of one line; contains ``default``.
        one_process: whether checkpoints live in the memory of the process that saved them, so that only ranks of one process can share them.
        usual: name of a field of :class:`ckpt_harness.cases.case.Case` -> the engine's preferred value, which replaces the field's default; see
            :meth:`ckpt_harness.cases.case.Case.settled`. An ``operation`` replaces the default of saves only.
        cannot_hold: the kinds of content that the engine cannot store; see :class:`ckpt_harness.workloads.workload.Holding`.
    """

    name: str
    about: str
    protocol: EngineProtocol
    capabilities: frozenset[Capability]
    planners: Mapping[str, str]
    one_process: bool
    usual: Mapping[str, str]
    cannot_hold: frozenset[Holding]

    def place(self, root: Path, name: str) -> str:
        """Returns the location of the checkpoint ``name``: a path or a URL.

        Args:
            root: a directory that belongs to the case alone.
            name: the checkpoint's name.
        """

    def make_writer(self, place: str) -> Any:
        """Makes a ``StorageWriter`` for the location."""

    def make_reader(self, place: str) -> Any:
        """Makes a ``StorageReader`` for the location."""

    def make_stager(self, staging: str) -> Any:
        """Makes the stager to pass as :attr:`Call.stager`. The caller closes the stager.

        Args:
            staging: ``blocking`` (copies before ``async_save`` returns) or ``background``.
        """

    def make_save_planner(self, kind: str) -> Any:
        """Makes a ``SavePlanner`` of a kind in :attr:`planners`."""

    def make_load_planner(self, kind: str) -> Any:
        """Makes a ``LoadPlanner`` of a kind in :attr:`planners`."""

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Saves the state. Every rank of ``call.group`` calls this method; without a process group, a rank saves alone.

        Raises:
            BaseException: whatever the engine raises.
        """

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """Starts a save in the background.

        Raises:
            BaseException: whatever the engine raises.
        """

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """Loads into ``state``. Every rank of ``call.group`` calls this method; without a process group, a rank loads alone.

        Raises:
            BaseException: whatever the engine raises.
        """

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether the location holds a commit marker.

        Args:
            place: the location.
            apart: 0 for a save by all ranks together. For a save without collectives, the number of ranks: each rank then commits its own part,
                and the checkpoint counts as committed when every part is.
        """

    def flaws(self, place: str) -> Sequence[str]:
        """Lists contradictions inside a committed checkpoint, such as metadata that names missing bytes; empty if the engine cannot check.

        Args:
            place: the location.
        """

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Returns everything stored at the location: name -> digest of the content."""

    def discard(self, place: str) -> None:
        """Removes everything stored at the location; does nothing if nothing is stored."""
