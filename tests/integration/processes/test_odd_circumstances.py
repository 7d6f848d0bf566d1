"""What happens around ranks: threads and forks of the parent, files that vanish, namesakes, signals and children of nobody's doing."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bodies
import pytest
from tests import own_descriptors

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import Crews, ProcessWorld, Turns, shared
from ckpt_harness.worlds.processes.evidence import Stopped
from ckpt_harness.worlds.processes.messages import Where
from ckpt_harness.worlds.processes.warm_ranks import Terms

LIMIT = 250.0
"""Seconds that anything here may take on a machine that is busy with other things."""


def outcomes(results: Sequence[RankResult]) -> list[str]:
    return [result.outcome for result in results]


def values(results: Sequence[RankResult]) -> list[Any]:
    assert outcomes(results) == ["returned"] * len(results), results
    return [result.value for result in results]


def test_threads_of_the_parent_run_worlds_side_by_side(crews: Crews) -> None:
    """Each has ranks of its own, warm ones too, and none hears another's answers."""
    found: dict[int, list[list[int]]] = {}

    def work(number: int) -> None:
        found[number] = [values(ProcessWorld(2, timeout=60.0, crews=crews).run(bodies.barrier)) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert sorted(found) == [0, 1, 2]
    assert all(len(set(pids)) == 2 for runs in found.values() for pids in runs)


def test_a_process_that_shares_the_machine_keeps_its_part_of_the_idle_ranks(tmp_path: Path) -> None:
    """An eighth here, so three; and it gives its turn back with each run."""
    turns = Turns(tmp_path, 4)
    with Crews() as crews:
        crews.share(turns, processes=8)
        for size in (2, 3):
            values(ProcessWorld(size, crews=crews).run(bodies.barrier))
            turns.take(4).end()
        children = Path(f"/proc/{crews.server().pid}/task/{crews.server().pid}/children").read_text(encoding="ascii")
        assert len(children.split()) == 3


def test_a_forked_copy_of_the_parent_has_ranks_of_its_own(crews: Crews) -> None:
    """And when it ends, those of the parent are as they were."""
    before = values(ProcessWorld(2).run(bodies.barrier))
    child = os.fork()
    if child == 0:
        apart = False
        try:
            apart = not set(values(ProcessWorld(2).run(bodies.barrier))) & set(before)
            shared().close()
        finally:
            os._exit(0 if apart else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert values(ProcessWorld(2).run(bodies.barrier)) == before


def test_a_rank_whose_child_lives_on_is_dead_all_the_same(crews: Crews) -> None:
    """The child keeps the rank's socket open, so nothing closes; the kernel knows better."""
    assert outcomes(ProcessWorld(2, crews=crews).run(bodies.die_with_a_child_left)) == ["hung", "dead"]


def test_a_rank_that_somebody_stops_and_continues_is_looked_at_again(crews: Crews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A debugger, say. Here it is continued as soon as the world has seen it stopped; what it waits for then is no signal."""
    file = tmp_path / "pid"

    def seen_and_continued(why: str, source: str, until: float) -> Stopped:
        os.kill(int(file.read_text(encoding="ascii")), signal.SIGCONT)
        return Stopped(why, source, until)

    monkeypatch.setattr("ckpt_harness.worlds.processes.listening.Stopped", seen_and_continued)
    world = ProcessWorld(2, timeout=60.0, external_limit=30.0, crews=crews)
    results = world.run(bodies.be_stopped, str(file))
    assert outcomes(results) == ["returned", "hung"]
    assert results[1].wait is not None
    assert (results[1].wait.what, results[1].wait.missing) == ("barrier", (0,))


def test_a_late_answer_is_no_disorder(crews: Crews) -> None:
    """A rank that was asked where it is when its part was over stays in use."""
    terms = Terms(2, 61.0)  # nobody else's
    values(ProcessWorld(2, timeout=61.0, crews=crews).run(bodies.barrier))
    crew = crews.take(terms)
    crew.send(0, Where(1))
    crews.give_back(crew, reusable=True)
    again = crews.take(terms)
    assert again.pids == crew.pids
    crews.give_back(again, reusable=True)


def test_temporary_files_that_somebody_removes_are_made_anew(crews: Crews) -> None:
    """New ranks meet at a file there."""
    values(ProcessWorld(2, crews=crews).run(bodies.barrier))
    shutil.rmtree(crews.server().directory)
    assert outcomes(ProcessWorld(2, crews=crews).run(bodies.end, "die")) == ["raised", "dead"]
    assert len(values(ProcessWorld(2, crews=crews).run(bodies.barrier))) == 2


def test_a_missing_working_directory_is_reported(crews: Crews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs: ranks work where their parent does."""
    place = tmp_path / "gone"
    place.mkdir()
    monkeypatch.chdir(place)
    place.rmdir()
    with pytest.raises(UsageError, match="the working directory of this process no longer exists"):
        ProcessWorld(1, crews=crews).run(bodies.who)


def test_the_body_that_runs_is_the_senders(crews: Crews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a warm rank knows a module of the same name from elsewhere."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "namesake.py").write_text(f"def body():\n    return {name!r}\n", encoding="ascii")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / name)
            patch.delitem(sys.modules, "namesake", raising=False)
            module = importlib.import_module("namesake")
            assert values(ProcessWorld(1, crews=crews).run(module.body)) == [name]
    sys.modules.pop("namesake", None)


def test_a_server_that_cannot_be_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No directory, no descriptor."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    open_before = own_descriptors.count()
    with Crews() as crews, pytest.raises(OSError, match="no more processes"):
        crews.server()
    assert list(tmp_path.iterdir()) == []
    assert own_descriptors.count() == open_before


def test_a_delay_within_the_timeout_is_never_called_a_hang_on_a_loaded_machine(crews: Crews) -> None:
    """With twice as much to do as there are processors, a rank that is late at a call into its storage is waited for, and the save succeeds."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with Rig() as rig:
            for plan in ("writer.write_data@1=delay(1.5)", "writer.prepare_local_plan@0=delay(0.6); writer.finish@0=delay(0.4)"):
                result = rig.run(Case(FaultPlan.parse(plan), "save", 3, world="processes"))
                assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}, result.explain()
                assert result.verdict is Verdict.HOLDS, result.explain()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
