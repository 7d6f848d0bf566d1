"""``CKPT_HARNESS_PLAN`` injects for the life of a process that imports ``ckpt_harness``."""

from __future__ import annotations

from pathlib import Path

from launching import launch


def run(root: Path, plan: str, saves: int) -> tuple[int, str]:
    return launch(["-W", "ignore", "environment_case.py", str(saves)], root, CKPT_HARNESS_PLAN=plan)


def test_the_plan_of_the_environment_acts(tmp_path: Path) -> None:
    """In the named operation, although the script imported ``save`` first. After a fault that fired, nothing is printed at the end."""
    status, output = run(tmp_path, "save[2]/finish@coordinator=raise(OSError:EIO)", 3)
    assert status == 0
    assert [line.split()[0] for line in output.splitlines()] == ["saved", "failed", "saved"]
    assert "injected at writer.finish on rank 0" in output


def test_a_plan_that_never_acted_is_reported_in_one_line(tmp_path: Path) -> None:
    """With rank and plan, on stderr at the end of the process: such a run proves nothing."""
    _, output = run(tmp_path, "save[9]/finish@0=raise", 1)
    assert output.splitlines() == ["saved", "ckpt-harness: rank 0: no fault of CKPT_HARNESS_PLAN='save[9]/writer.finish@0=raise' fired"]
    _, output = run(tmp_path, "finish@0=raise", 0)
    assert output.splitlines() == [
        "ckpt-harness: rank 0: no fault of CKPT_HARNESS_PLAN='writer.finish@0=raise' fired (no save or load was seen)"
    ]


def test_a_rank_that_the_plan_leaves_alone_is_silent(tmp_path: Path) -> None:
    """Otherwise three of four ranks would report a plan for the fourth."""
    _, output = launch(["-W", "ignore", "environment_case.py", "1"], tmp_path, CKPT_HARNESS_PLAN="finish@3=raise", RANK="0")
    assert output.splitlines() == ["saved"]


def test_a_malformed_plan_ends_the_process(tmp_path: Path) -> None:
    """At the import, with an error that shows the variable, the plan and the mistake."""
    status, output = launch(["-c", "import ckpt_harness; print('continued')"], tmp_path, CKPT_HARNESS_PLAN="save[1]/write_date@0=raise")
    assert status != 0
    assert "continued" not in output
    assert "nearest: writer.write_data" in output.splitlines()[-1]
    assert output.splitlines()[-1].startswith("ckpt_harness.errors.PlanError: CKPT_HARNESS_PLAN='save[1]/write_date@0=raise': unknown site")


def test_a_bad_plan_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    """The error comes at once."""
    code = "import sys\ntry:\n    import ckpt_harness\nexcept ValueError:\n    print('torch' in sys.modules)"
    assert launch(["-c", code], tmp_path, CKPT_HARNESS_PLAN="nonsense") == (0, "False\n")
