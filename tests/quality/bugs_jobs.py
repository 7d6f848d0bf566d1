"""Planted bugs that live between operations: of engines (``broken_between.py``) and of managers (``broken_managers.py``), each with a job that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from ckpt_harness.jobs.job import Job

_COMMIT_FAILS = "save[1]/writer.finish@0=raise"


@dataclass(frozen=True)
class EngineBug:
    """A bug of an engine, which a single operation does not show.

    Attributes:
        engine: the engine that has it, within ``broken_between.py``.
        caught_by: the oracles that must find it.
        operations: the operations of a job that shows it.
        faults: the faults of that job.
    """

    engine: str
    caught_by: tuple[str, ...]
    operations: str
    faults: str = ""

    def job(self, *, sound: bool = False) -> Job:
        """The job, on the engine with the bug or on a sound one."""
        return Job.parse(self.operations, faults=self.faults, engine="filesystem" if sound else f"broken_between:{self.engine}")


ENGINE_BUGS = (
    EngineBug("STALE", ("recovery",), "save a; heal; retry", _COMMIT_FAILS),
    EngineBug("COUNTING", ("commitment",), "save a; heal; retry", "save[1]/writer.write_data@1=raise"),
    EngineBug("LATCHED", ("recovery",), "save a; heal; save b", _COMMIT_FAILS),
    EngineBug("DEFERRING", ("agreement", "attribution"), "save a; save b", _COMMIT_FAILS),
    EngineBug("TIRED", ("recovery",), "save a; heal; save a", _COMMIT_FAILS),
    EngineBug("BEHIND", ("futures",), "async a; wait; async b; wait", "async_save[1]/writer.finish@0=raise"),
    EngineBug("HASTY", ("futures",), "async a; wait"),
    EngineBug("FORGETFUL", ("purity", "filled"), "save a; load a; save a; load a"),
    EngineBug("FORGETFUL", ("purity",), "save a; load a; save a; continue; load a", "save[2]/writer.finish@0!after=raise"),
    EngineBug("ONCE", ("filled",), "save a; load a; load a"),
    EngineBug("TOUCHING", ("pairing",), "save a; save b; load a"),
    EngineBug("TRUNCATING", ("metadata",), "save a; save b; load b; load b"),
    EngineBug("GHOSTLY", ("metadata",), "save a; save a"),
    EngineBug("CONSUMING", ("commitment",), "save a; load a"),
    EngineBug("LITTERING", ("hygiene",), "save a; save a"),
    EngineBug("GROWING", ("retention",), "save a; save a; save a; save a"),
)


@dataclass(frozen=True)
class ManagerBug:
    """A bug of a manager of checkpoints.

    Attributes:
        manager: the class that has it, within ``broken_managers.py``.
        caught_by: the oracles that must find it.
        operations: the operations of a job that shows it; its places are steps.
        faults: the faults of that job.
    """

    manager: str
    caught_by: tuple[str, ...]
    operations: str
    faults: str = ""

    def job(self, *, sound: bool = False) -> Job:
        """The job, with the broken manager or with the sound one."""
        return Job.parse(self.operations, faults=self.faults, manager="plain" if sound else f"broken_managers:{self.manager}")


_SECOND_FAILS = "save[2]/writer.write_data@1=raise"
_THREE_ROUNDS = "save 1; save 2; save 3; prune 1; save 4; save 5; prune 1; save 6; save 7; prune 1"

MANAGER_BUGS = (
    ManagerBug("NewestDirectory", ("resume", "retention"), "save 8; save 9; restart; load latest", _SECOND_FAILS),
    ManagerBug("NewestByName", ("resume",), "save 9; save 10; load latest"),
    ManagerBug("EachRankForItself", ("resume",), "save 8; load latest; save 9; load latest"),
    ManagerBug("PointerFirst", ("resume", "retention"), "save 8; save 9; restart; load latest", _SECOND_FAILS),
    ManagerBug("FromMemory", ("resume", "retention"), "save 8; save 9; load latest", _SECOND_FAILS),
    ManagerBug("PartsApart", ("resume", "purity"), "save 7; save 8; save 9; restart; load latest", "save[3]/writer.write_data@1=raise"),
    ManagerBug("PrunesFirst", ("retention",), "save 8; save 9; load latest", _SECOND_FAILS),
    ManagerBug("PrunesDirectories", ("retention",), "save 8; save 9; prune 1; load latest", _SECOND_FAILS),
    ManagerBug("PrunesByName", ("retention",), "save 9; save 10; prune 1"),
    ManagerBug("KeepsOneMore", ("retention",), "save 8; save 9; save 10; prune 1"),
    ManagerBug("LeavesDebris", ("retention",), _THREE_ROUNDS, "; ".join(f"save[{number}]/writer.write_data@1=raise" for number in (2, 4, 6))),
    ManagerBug("PrunesAlone", ("agreement",), "save 8; save 9; prune 1"),
    ManagerBug("SkipsAfterFailure", ("recovery",), "save 8; save 9; save 10; load latest", _SECOND_FAILS),
    ManagerBug("CountsSuccesses", ("metadata",), "save 8; save 9; save 10; load 10", _SECOND_FAILS),
    ManagerBug("WaitsForTheOneBefore", ("futures",), "async 8; wait; heal"),
    ManagerBug("SwallowsFailures", ("futures",), "save 8; async 9; wait; load latest", "async_save[1]/writer.write_data@1=raise"),
    ManagerBug("FailsAgain", ("agreement", "recovery"), "save 8; async 9; wait; save 10", "async_save[1]/writer.write_data@1=raise"),
    ManagerBug("StagesNothing", ("isolation",), "async 8; wait"),
    ManagerBug("StumblesOverDebris", ("undisturbed",), "save 8; save 9; restart; load latest", _SECOND_FAILS),
    ManagerBug("CannotBeginAgain", ("undisturbed",), "save 8; save 9; restart; load 8", _SECOND_FAILS),
    ManagerBug("RefusesTheSameStep", ("undisturbed",), "save 8; save 9; restart; save 9", _SECOND_FAILS),
)
