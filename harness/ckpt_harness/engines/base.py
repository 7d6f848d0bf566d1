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
    """How a rank calls an operation, beside what it saves or loads and where.

    Attributes:
        coordinator: the rank, within the group, that coordinates.
        group: the process group to pass; None for the default one.
        no_dist: whether the rank says that it is alone.
        use_collectives: whether a save joins the ranks by collectives.
        executor: what an async save is done by.
        stager: what copies the state of an async save; None for what the engine chooses.
    """

    coordinator: int = 0
    group: Any = None
    no_dist: bool = False
    use_collectives: bool = True
    executor: Executor = "thread"
    stager: Any = None


@dataclass(frozen=True)
class Saving:
    """An async save that has begun.

    Attributes:
        upload: completes when the checkpoint is saved, or was not.
        staging: completes when the state was copied; None where it was before the save began.
    """

    upload: Future[Any]
    staging: Future[Any] | None = None


class Engine(Protocol):
    """A checkpointing system: how to make its storage objects, how to call it, and how to look at what it left.

    Attributes:
        name: for the command line.
        about: one line.
        protocol: which sites it calls, in which protocol steps.
        capabilities: what it claims.
        planners: names of the kinds of planner that it can be called with, with one line on each; ``default`` among them.
        one_process: whether what it stores lives in the process that stored it, so that only ranks of one process can share it.
        usual: field of a case -> what it is with this engine where the case leaves it at its default; see :meth:`ckpt_harness.cases.case.Case.settled`.
            An ``operation`` is that of saves.
        cannot_hold: the parts of a workload that it cannot store; see :class:`ckpt_harness.workloads.workload.Workload`.
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
        """Where the checkpoint ``name`` lives, for a case that has the directory ``root`` to itself."""

    def make_writer(self, place: str) -> Any:
        """A ``StorageWriter`` for the place."""

    def make_reader(self, place: str) -> Any:
        """A ``StorageReader`` for the place."""

    def make_stager(self, staging: str) -> Any:
        """What :attr:`Call.stager` is for a way of staging. The caller closes it.

        Args:
            staging: ``blocking``, or ``background``.
        """

    def make_save_planner(self, kind: str) -> Any:
        """A ``SavePlanner`` of the kind that :attr:`planners` names."""

    def make_load_planner(self, kind: str) -> Any:
        """A ``LoadPlanner`` of the kind that :attr:`planners` names."""

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Saves, as one rank's part of an operation of all ranks of the group that ``call`` names; without a process group, alone.

        Raises:
            BaseException: what the engine raises.
        """

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """Starts a save in the background.

        Raises:
            BaseException: what the engine raises.
        """

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """Loads into ``state``, likewise."""

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether the place holds a commit marker.

        Args:
            place: where.
            apart: how many ranks saved without collectives, each of which commits for itself: all must have; 0 for a save of all together.
        """

    def flaws(self, place: str) -> Sequence[str]:
        """What does not fit together in a committed checkpoint, one text each; nothing where the engine cannot tell.

        Args:
            place: where.
        """

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Everything stored at the place: name -> digest of the content."""

    def discard(self, place: str) -> None:
        """Removes whatever is stored at the place, if anything."""
