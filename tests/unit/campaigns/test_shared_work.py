"""Pools: what does not need other processes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ckpt_harness.campaigns.pools.dask_worker import FromClient, check_versions, digest_of, versions
from ckpt_harness.campaigns.readers import LoadStates, Stored
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.run_cases import RunCases
from ckpt_harness.campaigns.workers import claim_processor
from ckpt_harness.cases.case import Case
from ckpt_harness.errors import UsageError
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict


def test_a_case_that_ends_its_process_has_no_verdict() -> None:
    """Its record names the case, how the process ended, and the registers of the replay line."""
    record = RunCases(Register((), ("mine.toml",))).lost(Case(ranks=3), "ended by SIGSEGV, twice in succession")
    assert record.verdict is Verdict.UNKNOWN
    assert record.complaints == ("process UNKNOWN: the process that ran the case ended by SIGSEGV, twice in succession",)
    assert record.outcomes == ("no outcome",) * 3
    assert record.replay_line().endswith("--register mine.toml")


def test_a_load_that_ends_its_process_is_a_death() -> None:
    """Which no crash may leave."""
    assert LoadStates(Scene()).lost(Stored("digest", {}), "ended by SIGBUS, twice in succession") == ("digest", "death")


def test_work_from_a_client_is_done_in_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of files mean the same as on the client. A directory that is not there is no error: not every work has files."""
    monkeypatch.chdir(tmp_path)
    for directory, found in ((tmp_path / "there", tmp_path / "there"), (tmp_path / "not there", tmp_path)):
        (tmp_path / "there").mkdir(exist_ok=True)
        os.chdir(tmp_path)
        with FromClient(RunCases(), str(directory), {}).begun():
            assert Path.cwd() == found


def test_an_engine_file_that_is_another_file_on_a_worker_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As is a file that is missing. The line says what to do."""
    monkeypatch.chdir(tmp_path)
    Path("engine.py").write_text("ENGINE = 1", encoding="utf-8")
    work = FromClient(RunCases(), str(tmp_path), {"engine.py": digest_of("engine.py")})
    with work.begun():
        pass
    for change in (lambda: Path("engine.py").write_text("ENGINE = 2", encoding="utf-8"), Path("engine.py").unlink):
        change()
        with pytest.raises(UsageError, match="engine file 'engine.py' is missing or different on a worker; valid: "):
            work.begun().__enter__()


@pytest.mark.parametrize("name", ["ckpt-harness", "torch", "Python"])
def test_each_version_that_differs_is_refused(name: str) -> None:
    """With the worker, the name and both versions."""
    check_versions(versions(), versions(), "tcp://node1:1")
    with pytest.raises(UsageError, match=f"worker tcp://node1:1 has {name} 0.0, and this process has "):
        check_versions(versions(), {**versions(), name: "0.0"}, "tcp://node1:1")


def test_processes_side_by_side_take_different_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all are taken, none is left; a processor is free again once its process has ended."""
    claims: list[socket.socket] = []
    monkeypatch.setattr("ckpt_harness.campaigns.workers._claims", claims)
    name = f"ckpt-harness test {os.getpid()}"
    count = len(os.sched_getaffinity(0))
    try:
        assert [claim_processor(name) for _ in range(count + 1)] == [*range(count), None]
        claims.pop().close()
        assert claim_processor(name) == count - 1
    finally:
        for claim in claims:
            claim.close()
