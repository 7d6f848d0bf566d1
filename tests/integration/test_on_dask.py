"""Sweeps and crashes on a cluster of Dask: real workers in processes of their own, some of which are killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# It is looked for and not imported: its import teaches pickle all classes of errors that are there, so that errors cross which could not, in later tests.
if importlib.util.find_spec("distributed") is None:
    pytest.skip("pip install 'ckpt-harness[dask]'", allow_module_level=True)

HERE = Path(__file__).parent
ENGINES = HERE / "ending_engines.py"
LIMIT = 900.0
"""Seconds; each test starts several processes that import torch, and a machine may be busy."""


class Cluster(NamedTuple):
    """A cluster that runs, and its processes' meeting with the test."""

    program: subprocess.Popen[str]
    address: str
    meeting: Path

    def tasks(self) -> int:
        """How many tasks the scheduler has."""
        assert self.program.stdin is not None
        self.program.stdin.write("\n")
        self.program.stdin.flush()
        return int(_line(self.program))


def _line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    assert select.select([program.stdout], [], [], LIMIT)[0], "no answer"
    return program.stdout.readline().strip()


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200", **more}


@contextlib.contextmanager
def _cluster(folder: Path, **environment: str) -> Iterator[Cluster]:
    meeting = folder / "meeting"
    meeting.mkdir()
    for pipe in ("here", "never"):
        os.mkfifo(meeting / pipe)
    program = [sys.executable, str(HERE / "dask_cluster.py"), str(folder / "dask")]
    environment = _environment(CKPT_TEST_MEETING=str(meeting), DASK_TEMPORARY_DIRECTORY=str(folder), **environment)
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as running:
        try:
            yield Cluster(running, _line(running), meeting)
        finally:
            assert running.stdin is not None
            running.stdin.close()
            running.wait(LIMIT)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with _cluster(tmp_path) as running:
        yield running


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ckpt_harness", *arguments]


def _run(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    program = _command(*arguments)
    return subprocess.run(program, capture_output=True, text=True, timeout=LIMIT, check=False, env=_environment(**environment), cwd=folder)


def _records(file: Path) -> list[dict[str, Any]]:
    """The records of a sweep in an order of their own, without what differs from run to run."""
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return sorted(({**record, "seconds": 0} for record in records), key=lambda record: record["replay"])


class _Met(NamedTuple):
    """A process of a worker that waits in the middle of a case, and the worker."""

    process: int
    worker: int


@contextlib.contextmanager
def _met(cluster: Cluster) -> Iterator[_Met]:
    """Waits for the process that waits for ever, which must have ended at the end."""
    pipe = os.open(cluster.meeting / "here", os.O_RDWR)
    try:
        assert select.select([pipe], [], [], LIMIT)[0], "no case began"
        process, worker = map(int, os.read(pipe, 100).split())
        handle = os.pidfd_open(process)
        try:
            yield _Met(process, worker)
            assert select.select([handle], [], [], LIMIT)[0], "the process lives on"
        finally:
            os.close(handle)
    finally:
        os.close(pipe)


def test_a_sweep_shows_the_same_on_a_cluster_though_a_worker_is_killed_in_the_middle(cluster: Cluster, tmp_path: Path) -> None:
    """Same cells, verdicts and replay lines as with processes of this machine; the cases of the worker run elsewhere."""
    sweep = ("sweep", "--ranks", "2", "--op", "save", "--workload", "objects", "--engine", f"{ENGINES.name}:MEETING_ENGINE", "--json")
    on_cluster = _command(*sweep, str(tmp_path / "cluster"), "--on", cluster.address)
    with subprocess.Popen(on_cluster, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(), cwd=HERE) as running:
        with _met(cluster) as met:
            os.kill(met.worker, signal.SIGKILL)
        printed, errors = running.communicate(timeout=LIMIT)
    local = _run(*sweep, str(tmp_path / "local"), "--jobs", "2", folder=HERE)
    assert running.returncode == local.returncode, printed + errors + local.stderr
    assert f"{cluster.address}: 2 workers, 2 cases at a time" in printed
    assert _records(tmp_path / "cluster") == _records(tmp_path / "local")
    assert len(_records(tmp_path / "local")) > 200


def test_crashes_show_the_same_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """The same states at the same points."""
    crash = ("crash", "--engine", "filesystem", "--overwrite", "--workload", "objects", "--limit", "8", "--json")
    remote = _run(*crash, str(tmp_path / "cluster"), "--on", cluster.address)
    local = _run(*crash, str(tmp_path / "local"), "--jobs", "1")
    assert (remote.returncode, local.returncode) == (0, 0), remote.stderr + local.stderr
    assert json.loads((tmp_path / "cluster").read_text("utf-8")) == json.loads((tmp_path / "local").read_text("utf-8"))


def test_ctrl_c_sums_up_and_ends_what_the_cluster_does(cluster: Cluster) -> None:
    """The exit status is 130; the scheduler has no task left, and the process that was in the middle of a case ends."""
    program = _command("sweep", "--ranks", "1", "--op", "save", "--engine", f"{ENGINES}:MEETING_ENGINE", "--on", cluster.address)
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()) as running, _met(cluster):
        running.send_signal(signal.SIGINT)
        printed, errors = running.communicate(timeout=LIMIT)
    assert running.returncode == 130, printed + errors
    assert "Interrupted after " in errors
    assert "coverage" in printed
    assert cluster.tasks() == 0


def test_a_scheduler_that_dies_ends_the_run_with_the_summary(cluster: Cluster) -> None:
    """With exit status 2, and the reason in one line."""
    program = _command("sweep", "--ranks", "1", "--op", "save", "--engine", f"{ENGINES}:MEETING_ENGINE", "--on", cluster.address)
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()) as running, _met(cluster):
        cluster.program.kill()
        printed, errors = running.communicate(timeout=LIMIT)
    assert running.returncode == 2, printed + errors
    assert "coverage" in printed
    assert "the scheduler" in errors.splitlines()[-1]


def test_a_case_that_ends_its_worker_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    """After the second time, with a replay line; whether it ends the process that runs it, or the worker of Dask too."""
    with _cluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        program = [sys.executable, str(HERE / "cases_on_dask.py"), cluster.address, str(ENGINES)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=LIMIT, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    records = {record["case"]["plan"].partition("@")[0]: record for record in map(json.loads, done.stdout.splitlines())}
    assert {site: record["verdict"] for site, record in records.items()} == {
        "writer.prepare_local_plan": "UNKNOWN",
        "writer.finish": "UNKNOWN",
        "writer.write_data": "HOLDS",
        "reader.read_data": "HOLDS",
    }
    killer, worker_killer = records["writer.prepare_local_plan"], records["writer.finish"]
    said = "process UNKNOWN: the process that ran the case ended"
    assert killer["complaints"] == [f"{said} by SIGKILL, twice in succession"]
    assert worker_killer["complaints"] == [f"{said} with its Dask worker, even while the cluster ran nothing else"]
    assert killer["replay"].startswith("ckpt-harness replay writer.prepare_local_plan@1=raise --op save --ranks 2 --engine ")


@pytest.mark.parametrize(
    ("metadata", "who", "said"),
    [
        ("torch-0.9.dist-info", "Error: worker tcp://", "has torch 0.9, and this process has "),
        ("ckpt_harness", "Error: the scheduler dask://", "cannot pass on work: "),
    ],
    ids=["torch", "ckpt-harness"],
)
def test_a_cluster_that_differs_is_refused_before_anything_runs(tmp_path: Path, metadata: str, who: str, said: str) -> None:
    """In one line that says which process, and what differs."""
    other = tmp_path / "other" / metadata
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.9\n", encoding="ascii")
    (other / "__init__.py").write_text("", encoding="ascii")
    with _cluster(tmp_path, PYTHONPATH=os.pathsep.join([str(other.parent), *sys.path])) as cluster:
        refused = _run("sweep", "--ranks", "1", "--on", cluster.address)
    assert refused.returncode == 2, refused.stderr
    assert refused.stdout == ""
    error = refused.stderr.splitlines()[-1]
    assert error.startswith(who), refused.stderr
    assert said in error
    assert len(error) < 250


def test_a_scheduler_that_does_not_answer_is_a_usage_error() -> None:
    """In one line."""
    refused = _run("sweep", "--ranks", "1", "--on", "dask://127.0.0.1:1", DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("Error: no Dask scheduler answers at 'dask://127.0.0.1:1'; ")
