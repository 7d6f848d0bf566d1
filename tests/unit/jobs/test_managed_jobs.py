"""Jobs whose checkpoints a manager keeps: what is refused, how a manager is named, and what the ranks do, on simulated ranks with real DCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.lines import job_of_line
from ckpt_harness.jobs.managers import names
from ckpt_harness.jobs.managers.names import find_manager
from ckpt_harness.jobs.program import program
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

MINE = '''
import torch.distributed as dist
from ckpt_harness.jobs.managers.plain import PlainManager

class Mine(PlainManager):
    """As good as any."""

class Half:
    def save(self, state, step): ...
    def latest(self): ...

class Small(Half):
    def load(self, state, step): ...
    def path(self, step): ...

class NoFuture(PlainManager):
    def async_save(self, state, step):
        super().async_save(state, step).result()

class ByName(PlainManager):
    def latest(self):
        return str(super().latest())

class Stuck(PlainManager):
    def __init__(self, directory):
        super().__init__(directory)
        if dist.get_rank():
            dist.barrier()

def make(directory):
    return Mine(directory)

NUMBER = 7
'''


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as made:
        yield made


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with managers of a user."""
    path = tmp_path_factory.mktemp("managers") / "mine.py"
    path.write_text(MINE)
    return str(path)


def _managed(text: str, faults: str = "", manager: str = "plain", ranks: int = 2) -> Job:
    return Job.parse(text, faults=faults, manager=manager, ranks=ranks)


def _loaded(result: JobResult, number: int) -> set[tuple[str, ...]]:
    """The saves whose values the ranks hold behind a load."""
    return {loaded.calls for loaded in result.evidence.done[number - 1].loaded.values()}


# -- what is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("save a", "operation 1, 'save a', with a manager: place 'a' is no step; valid: a whole number, such as 8"),
        ("save 08", "place '08' is no step"),
        ("save 8; load 8 ranks=1", "operation 2, 'load 8 ranks=1': a manager chooses by itself; valid: without ranks="),
        ("save 8 coordinator=1", "valid: without coordinator="),
        ("async 8 group=own; wait", "valid: without group="),
        ("async 8; wait 8", "operation 2, 'wait 8': a manager waits for all saves at once; valid: wait"),
        ("save 8; renew all; save 8", "a manager keeps its own objects; valid: restart"),
        ("save 8; restart 2 engine=filesystem; load 8", "valid: without engine="),
    ],
)
def test_what_no_manager_can_do_is_refused(text: str, words: str) -> None:
    """In one line, before anything runs."""
    with pytest.raises(UsageError) as caught:
        _managed(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_ranks_with_a_manager_share_a_group() -> None:
    """A manager finds the default process group, and nothing else."""
    with pytest.raises(UsageError, match="way 'alone' with a manager; valid: 'together'"):
        Job.parse("save 8", ranks=1, way="alone", manager="plain")


# -- how a manager is named


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plane", "unknown manager 'plane'; valid: plain"),
        ("no_such_module:Manager", "cannot be imported: No module named"),
        (":Manager", "names no module, or no object; valid: module:Class, or file.py:Class"),
        ("MINE:Mime", "mine.py has no 'Mime'; valid: Mine"),
        ("MINE:Half", "lacks load, path; valid: see ckpt_harness.jobs.managers.protocol.Manager"),
        ("MINE:NUMBER", "is 7; valid: a class or function that takes the directory"),
    ],
)
def test_a_manager_that_is_none_is_refused(name: str, words: str, mine: str) -> None:
    """When the job is bound, in one line."""
    with pytest.raises(HarnessError) as caught:
        bind_job(_managed("save 8", manager=name.replace("MINE", mine)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manager_may_be_a_name_a_class_or_a_function(mine: str, rig: JobRig) -> None:
    """Of the harness, of a module, or of a file."""
    assert callable(find_manager("plain"))
    for name in ("plain", "ckpt_harness.jobs.managers.plain:PlainManager", f"{mine}:Mine", f"{mine}:make"):
        rig.run(_managed("save 8; restart; load latest", manager=name)).check()


@pytest.mark.parametrize(
    ("text", "words"),
    [("save 8; prune 1", "lacks prune; valid: without prune"), ("async 8; wait", "lacks async_save; valid: without async")],
)
def test_what_a_manager_has_no_method_for_is_refused(text: str, words: str, mine: str) -> None:
    """A small manager saves and resumes, and no more."""
    with pytest.raises(UsageError) as caught:
        bind_job(_managed(text, manager=f"{mine}:Small"))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("manager", "words"),
    [("NoFuture", "async_save returned None; valid: a Future"), ("ByName", "latest returned '8'; valid: a step, or None")],
)
def test_a_manager_that_returns_something_else_gives_no_verdict(manager: str, words: str, mine: str, rig: JobRig) -> None:
    """The reason says what it has returned."""
    result = rig.run(_managed("save 8; async 9; wait" if manager == "NoFuture" else "save 8; load latest", manager=f"{mine}:{manager}"))
    assert result.verdict is Verdict.UNKNOWN
    assert words in " ".join(result.complaints())


def test_a_manager_that_hangs_where_it_is_made_is_found(mine: str, rig: JobRig) -> None:
    """The first operation of the life never begins on that rank."""
    result = rig.run(_managed("save 8; save 9", manager=f"{mine}:Stuck"))
    assert result.verdict is Verdict.VIOLATED
    assert any("undisturbed of save[1]" in complaint and "hung" in complaint for complaint in result.complaints())
    assert result.evidence.done[1].skipped


def test_a_manager_of_a_package_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setattr(names, "is_installed", lambda module: False)
    with pytest.raises(UsageError, match="manager 'torchtitan' needs torchtitan, which is not installed: pip install torchtitan"):
        find_manager("torchtitan")


def test_a_replay_line_names_the_manager() -> None:
    """And leads back to the same job; its program calls the manager."""
    job = _managed("save 8; async 9; wait; prune 1; load latest", "save[1]/writer.finish@0=raise")
    assert job.replay_line().endswith("--ranks 2 --manager plain")
    assert job_of_line(job.replay_line()) == job
    assert [line.split("  ")[0] for line in program(job) if "on rank" not in line] == [
        "# 2 ranks, manager plain, engine filesystem, workload mixed",
        "manager.save(state, 8)",
        "future_9 = manager.async_save(state, 9)",
        "manager.wait()",
        "manager.prune(1)",
        "manager.load(state, manager.latest())",
    ]


# -- what the ranks do


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("save 8; load 8", "save[1]"),
        ("save 8; save 9; load latest", "save[2]"),
        ("save 9; save 10; save 8; load latest", "save[2]"),
        ("save 8; retry; load latest", "save[2]"),
        ("async 8; wait; load latest", "async_save[1]"),
        ("async 8; async 9; wait; load latest", "async_save[2]"),
        ("async 8; save 9; load latest", "save[1]"),
        ("async 8; restart; load latest", "async_save[1]"),
        ("save 8; restart 3; save 9; restart 1; load latest", "save[2]"),
        ("save 8; save 9; save 10; prune 2; load latest", "save[3]"),
        ("save 8; change keys; save 9; load latest", "save[2]"),
        ("save 8; change nested; save 8; load 8", "save[2]"),
        ("save 8; continue; save 9; load 8", "save[1]"),
    ],
)
def test_without_faults_a_load_gives_what_was_saved(text: str, loaded: str, rig: JobRig) -> None:
    """The newest step, whatever lies between the save and the load; and no oracle finds anything."""
    result = rig.run(_managed(text))
    result.check()
    assert _loaded(result, len(result.job.operations)) == {(loaded,)}


def test_faults_strike_dcp_beneath_the_manager(rig: JobRig) -> None:
    """In the call of the job that the address names, whatever life it lies in; the manager resumes from the step before."""
    result = rig.run(_managed("save 8; restart 3; save 9; load latest; save 10", "save[2]/writer.finish@0=raise(OSError:EIO)"))
    result.check()
    assert result.evidence.fired == {("save[2]/writer.finish@0=raise(OSError:EIO)", 0, "save[2]")}
    kinds = [{outcome.kind for outcome in done.outcomes.values()} for done in result.evidence.done]
    assert kinds == [{"returned"}, {"returned"}, {"raised"}, {"returned"}, {"returned"}]
    assert result.evidence.done[3].latest == {0: "8", 1: "8", 2: "8"}
    assert _loaded(result, 4) == {("save[1]",)}


@pytest.mark.parametrize(
    "faults",
    [
        "async_save[1]/writer.write_data@1=raise",
        "async_save[1]/fs.rename@0=raise(OSError:EIO)",
        "async_save[1]/writer.write_data@1=kill",
        "async_save[1]/writer.finish@0!after=raise",
        "async_save[1]/writer.write_data@1=delay(5)",
        "load[1]/reader.read_data@1=raise",
        "load[1]/fs.read@0=raise(OSError:EIO)",
        "save[1]/writer.write_data@0=skip",
        "save[1]/pg.scatter@0=delay(5)",
    ],
)
def test_the_plain_manager_keeps_every_claim_under_faults(faults: str, rig: JobRig) -> None:
    """In the background, at the commit, below the storage; whatever is lost is found by the next life."""
    result = rig.run(_managed("save 8; async 9; wait; load latest; restart; load latest; save 10; load latest", faults))
    result.check()
    assert {firing[0] for firing in result.evidence.fired} == {faults}
    assert _loaded(result, 8) == {("save[2]",)}


def test_an_async_save_that_cannot_begin_ends_where_it_begins(rig: JobRig) -> None:
    """On all ranks; a wait behind it has nothing to report."""
    result = rig.run(_managed("async 8; wait; save 9; load latest", "async_save[1]/writer.stage@0,1=raise"))
    result.check()
    ending = result.evidence.ended["async_save[1]"]
    assert (ending.after, {outcome.kind for outcome in ending.outcomes.values()}) == (0, {"raised"})
    assert {outcome.kind for outcome in result.evidence.done[1].outcomes.values()} == {"returned"}


def test_a_wait_that_hangs_in_one_async_save_says_how_the_other_has_ended(rig: JobRig) -> None:
    """The manager waits for both at once; the first is complete on both ranks."""
    result = rig.run(_managed("async 8; async 9; wait", "async_save[2]/pg.broadcast@0=raise"))
    result.check()
    ended = result.evidence.ended
    assert {rank: outcome.kind for rank, outcome in ended["async_save[1]"].outcomes.items()} == {0: "returned", 1: "returned"}
    assert {rank: outcome.kind for rank, outcome in ended["async_save[2]"].outcomes.items()} == {0: "raised", 1: "hung"}


def test_a_fault_that_the_manager_does_not_reach_shows_nothing(rig: JobRig) -> None:
    """The plain manager syncs no files."""
    result = rig.run(_managed("save 8", "save[1]/fs.fsync@0=raise(OSError:EIO)"))
    assert result.verdict is Verdict.VACUOUS
    assert "save[1]/fs.fsync@0=raise(OSError:EIO) never fired on rank 0" in " ".join(result.complaints())


def test_what_the_engine_beneath_is_known_for_is_no_fault_of_the_manager(rig: JobRig) -> None:
    """DCP calls ``reset`` outside of its protocol steps: a rank that fails there leaves the others waiting."""
    result = rig.run(_managed("save 8; save 9; restart; load latest", "save[2]/writer.reset@1=raise"))
    assert result.verdict is Verdict.HOLDS, result.complaints()
    assert result.known


def test_a_job_leaves_nothing_behind(tmp_path: Path) -> None:
    """The next job begins in an empty directory."""
    with JobRig(tmp_path) as rig:
        rig.run(_managed("save 8")).check()
        assert _loaded(rig.run(_managed("save 7; load latest")), 2) == {("save[1]",)}
        assert not list(tmp_path.rglob("step-*"))
