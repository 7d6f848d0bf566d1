"""Ranks that a launcher started: torchrun with one agent or two, or anything that sets torch's four variables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from launching import free_port, launch, launch_all, launch_ranks
from sampling import sample

BROKEN = str(Path(__file__).parents[1] / "plugin/broken_engines.py")
TORCHRUN = ["-m", "torch.distributed.run"]


def torchrun(ranks: int) -> list[str]:
    return [*TORCHRUN, "--standalone", f"--nproc-per-node={ranks}"]


def test_the_attached_world_keeps_the_contract(tmp_path: Path) -> None:
    """As far as ranks can that cannot die; after whatever hangs, the same processes run the next case; and a sweep shows what simulated ranks show."""
    status, output = launch([*torchrun(4), "attached_checks.py"], tmp_path)
    assert status == 0, output
    assert output.count("passed check_") >= 20


@pytest.mark.usefixtures("silence")
def test_two_hosts_show_what_simulated_ranks_show(tmp_path: Path) -> None:
    """As one host does. Verdicts, known findings and the end of each rank; the two agents' ranks take one another's clocks for strange."""
    meeting = ["--nnodes=2", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    file = tmp_path / "two.json"
    agents = [([*TORCHRUN, *meeting, f"--node-rank={node}", "attached_sample.py", str(file), "4"], {}) for node in range(2)]
    for status, output in launch_all(agents, tmp_path):
        assert status == 0, output
    seen = json.loads(file.read_text("utf-8"))
    assert len(seen) > 20
    assert seen == sample("simulated", 4)


def test_a_sweep_runs_on_the_ranks_of_a_launcher(tmp_path: Path) -> None:
    """This needs no option. Only rank 0 prints, and it reports which cases ran on simulated ranks."""
    status, output = launch([*torchrun(2), "-m", "ckpt_harness", "sweep", "--op", "save", "--ranks", "1", "--workload", "objects"], tmp_path)
    assert status == 0, output
    assert output.count("who learned what") == 1
    assert re.search(r"\d+ of \d+ cases end a rank, which a launcher would not survive", output)


def test_a_violation_ends_all_ranks_alike(tmp_path: Path) -> None:
    """Rank 0 tells of it and how to replay it; the other says nothing."""
    command = ["-m", "ckpt_harness", "replay", "writer.finish@0=raise", "--engine", f"{BROKEN}:SECRETIVE"]
    (status, output), other = launch_ranks(command, tmp_path, 2)
    assert status == 1, output
    assert "VIOLATED" in output
    assert "torchrun --nproc-per-node 2 -m ckpt_harness replay writer.finish@0=raise" in output
    assert other == (1, "")


def test_a_usage_error_ends_all_ranks_alike(tmp_path: Path) -> None:
    """The reason is reported once."""
    (status, output), other = launch_ranks(["-m", "ckpt_harness", "replay", "writer.write_data@1=kill"], tmp_path, 2)
    assert (status, other) == (2, (2, ""))
    assert "kill ends a rank, and a launcher ends all ranks then" in output


SCENARIOS = """
import pytest
from hypothesis import given, settings, strategies as st
from ckpt_harness import Case, FaultPlan

@settings(max_examples=5, deadline=None)
@given(rank=st.sampled_from([0, 1]))
@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_holds(ckpt_rig, rank):
    result = ckpt_rig.check(Case(FaultPlan.parse(f"writer.write_data@{rank}=raise(OSError:EIO)")))
    assert result.case.world == "attached"

@settings(max_examples=5, deadline=None)
@given(site=st.sampled_from(["finish", "prepare_global_plan"]))
@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_breaks(ckpt_rig, site):
    ckpt_rig.check(Case(FaultPlan.parse(f"writer.{site}@0=raise"), engine=BROKEN + ":SECRETIVE"))

@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_runs_elsewhere(ckpt_rig):
    assert ckpt_rig.run(Case(ranks=3)).case.world == "simulated"

def test_has_no_mark(ckpt_rig):
    assert ckpt_rig.run(Case()).case.world == "simulated"

def body():
    import torch.distributed as dist
    dist.barrier()

@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_body(ckpt_world):
    assert ckpt_world.run(body).outcomes == ("returned", "returned")

@pytest.mark.ckpt_runs_in("simulated", "processes")
@pytest.mark.ckpt_ranks(3)
def test_body_of_too_many(ckpt_world):
    ckpt_world.run(body)
"""


def test_pytest_runs_on_rank_0_and_is_served_by_the_others(tmp_path: Path) -> None:
    """Hypothesis draws and shrinks there; one report, one replay line, and the same end for all ranks."""
    (tmp_path / "test_claims.py").write_text(f"BROKEN = {BROKEN!r}\n{SCENARIOS}", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nckpt_attach = true\n", encoding="utf-8")
    status, output = launch([*torchrun(2), "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)], tmp_path)
    assert status == 1, output
    assert len(re.findall(r"^=+ 1 failed, 4 passed, 1 skipped .*=+$", output, re.MULTILINE)) == 1, output
    assert len(re.findall(r"torchrun --nproc-per-node 2 -m ckpt_harness replay writer\.\w+@0=raise", output)) == 1, output
    assert "1 cases ran on simulated ranks of rank 0: 3 ranks, but the launcher started 2" in output
    assert len(re.findall(r"exitcode  : 1 ", output)) == 2, output


def test_a_session_that_is_not_attached_runs_on_every_rank(tmp_path: Path) -> None:
    """Tests of others mean what they mean without the plugin."""
    (tmp_path / "test_own.py").write_text("import os\ndef test_rank():\n    print('ran on', os.environ['RANK'])\n", encoding="utf-8")
    endings = launch_ranks(["-m", "pytest", "-s", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)], tmp_path, 2)
    for rank, (status, output) in enumerate(endings):
        assert status == 0, output
        assert f"ran on {rank}" in output


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_rank_ends_the_others(tmp_path: Path, lost: int) -> None:
    """Though the launcher does not, and their group would wait an hour."""
    endings = launch_ranks(["attached_loss.py", str(lost)], tmp_path, 2)
    assert endings[lost][0] == -9
    status, output = endings[1 - lost]
    expected, words = (3, "rank 0 has ended unexpectedly") if lost == 0 else (1, "rank 1 of the launcher is lost")
    assert status == expected, output
    assert words in output


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none")
@pytest.mark.parametrize("operation", ["save", "load", "async_save"])
def test_tensors_on_gpus_are_saved_and_loaded(tmp_path: Path, operation: str) -> None:
    """In a group of gloo and NCCL, with every claim judged."""
    plan = "reader.read_data@1=raise" if operation == "load" else "writer.write_data@1=raise"
    status, output = launch([*torchrun(2), "-m", "ckpt_harness", "replay", plan, "--op", operation, "--workload", "cuda"], tmp_path)
    assert status == 0, output


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none")
def test_tensors_on_gpus_are_staged_through_pinned_memory(tmp_path: Path) -> None:
    """DCP's stager pins what it copies where there is an accelerator."""
    status, output = launch([*torchrun(2), "attached_staging.py"], tmp_path)
    assert status == 0, output
