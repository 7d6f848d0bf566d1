"""Crashes of real saves: what is recorded, what is told, what is refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.pools.local import LocalPool
from ckpt_harness.campaigns.readers import shown
from ckpt_harness.campaigns.recording import Scene, record
from ckpt_harness.cli import main
from ckpt_harness.disk.journal import files_after
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.errors import UsageError

pytestmark = pytest.mark.usefixtures("silence")


class _Sideways(FileSystemEngine):
    """Writes a file that its file system never sees."""

    def save(self, state: object, writer: object, planner: object, place: str, call: object) -> None:
        super().save(state, writer, planner, place, call)  # type: ignore[arg-type]  # as they come
        Path(place, "beside").write_text("unseen")


SIDEWAYS = _Sideways("sideways", "writes past its file system")


def _run(arguments: str) -> Result:
    return CliRunner().invoke(main, shlex.split(arguments))


def test_the_same_scene_is_recorded_the_same_way(tmp_path: Path) -> None:
    """The order of ranks comes from the seed, and so does that of their operations."""
    found = []
    for name, seed in (("a", 3), ("b", 3), ("c", 5)):
        (tmp_path / name).mkdir()
        found.append([(op.rank, op.kind, op.path, op.offset) for op in record(Scene(ranks=3, seed=seed), tmp_path / name).ops])
    assert found[0] == found[1] != found[2]


def test_the_last_state_is_what_the_save_left(tmp_path: Path) -> None:
    """It loads as the new checkpoint; without its commit marker there is none."""
    scene = Scene(ranks=2)
    recording = record(scene, tmp_path)
    files = files_after(recording.ops)
    unmarked = {path: data for path, data in files.items() if "metadata" not in path}
    for number, (left, reads) in enumerate([(files, "new"), (unmarked, "nothing"), ({}, "nothing")]):
        (tmp_path / str(number)).mkdir()
        assert shown(scene, left, tmp_path / str(number)) == reads


def test_equal_states_are_judged_once() -> None:
    """Points have many more states than there are different ones."""
    found = crashes(Scene(ranks=2, overwrite=True), "posix")
    assert found.judged < sum(sum(point.shown.values()) for point in found.points)


def test_a_sample_is_said_to_be_one() -> None:
    """Where the limit is lower than what the model allows; the same seed finds the same."""
    found = crashes(Scene(ranks=3), "posix", limit=20)
    assert not found.exhaustive
    assert any(not point.exhaustive and point.possible > 20 for point in found.points)
    assert [point.shown for point in found.points] == [point.shown for point in crashes(Scene(ranks=3), "posix", limit=20).points]


def test_the_command_prints_points_ways_and_claims() -> None:
    """Everything that it finds is known, so it exits with 0."""
    result = _run("crash --overwrite --model kill --jobs 1")
    assert result.exit_code == 0, result.output
    assert "rank 0: unlink checkpoint/.metadata" in result.output
    assert "known (DCP-032): no crash leaves what reads as a checkpoint and is none" in " ".join(result.output.split())
    assert "every state that the model allows" in " ".join(result.output.split())


def test_what_is_not_known_fails_the_run(tmp_path: Path) -> None:
    """A register that knows nothing of it: exit status 1, and JSON says the same."""
    engine = tmp_path / "engine.py"
    engine.write_text("from ckpt_harness.engines.filesystem import FileSystemEngine\nMINE = FileSystemEngine('mine', 'of mine')\nMINE.kin = ''\n")
    result = _run(f"crash --overwrite --model kill --jobs 1 --engine {engine}:MINE --json {tmp_path / 'found.json'}")
    assert result.exit_code == 1, result.output
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert {(one["shown"], one["known"]) for one in found["violated"] if one["capability"] is None} == {("mixture", None)}
    assert found["points"][0] == {"after": 0, "op": None, "shown": {"old": 1}, "possible": 1, "exhaustive": True}


def test_several_processes_find_the_same() -> None:
    """States are spread over them."""
    one, two = (crashes(Scene(ranks=4), "posix", pool=LocalPool(jobs)) for jobs in (1, 2))
    assert [point.shown for point in one.points] == [point.shown for point in two.points]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--engine fsspec-memory", "and not in a directory; valid: engines on a file system"),
        ("--engine tests.integration.test_crash:SIDEWAYS", "writes past its file system: checkpoint/beside"),
        ("--workload nothing", "unknown workload 'nothing'"),
        ("--model ext4", "'ext4' is not one of 'kill', 'ordered', 'posix'"),
    ],
)
def test_what_cannot_be_told_is_refused(arguments: str, told: str) -> None:
    """With the reason, and exit status 2."""
    if "SIDEWAYS" in arguments:
        arguments = f"--engine {__file__}:SIDEWAYS"
    result = _run(f"crash --jobs 1 {arguments}")
    assert (result.exit_code, told in " ".join(result.output.split())) == (2, True), result.output


def test_an_engine_that_cannot_save_is_no_scene() -> None:
    """Nothing is recorded of it."""
    with pytest.raises(UsageError, match="unknown engine"):
        Scene(engine="none").check()
