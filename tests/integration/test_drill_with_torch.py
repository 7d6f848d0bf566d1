"""The drill with programs that use torch: the sites of DCP, torch.save, and the ranks of torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import drill_programs

from ckpt_harness.drill.checkpoints import DcpCheckpoints
from ckpt_harness.drill.evidence import Point
from ckpt_harness.drill.launchers.real import RealLauncher
from ckpt_harness.drill.oracles import loaded_parts
from ckpt_harness.drill.settings import Settings
from ckpt_harness.drill.starting import Starter, workshop
from ckpt_harness.drill.watch import Watch

LIMIT = 240


def test_a_program_that_saves_with_dcp(tmp_path: Path) -> None:
    """Sites and files are points; what a death leaves is told from its metadata; the next start goes on from the checkpoint that is whole."""
    (tmp_path / "program.py").write_text(drill_programs.DCP, "utf-8")
    state = str(tmp_path / "run")
    seen: list[str] = []

    def strike(point: Point, watch: Watch) -> str:
        seen.append(point.name)
        return watch.strike("kill-job") if point.name == "save[2]/writer.finish@0#1" else "go"

    with workshop(tmp_path) as root:
        whole = DcpCheckpoints()
        starter = Starter(Settings([sys.executable, str(tmp_path / "program.py"), state], state), RealLauncher(), whole, root)
        place = starter.place(Path(state))
        struck = starter.start(place, strike, limit=LIMIT)
        assert (struck.struck, struck.unseen) == (True, ())
        left = [(found.name, found.whole, found.why_not) for found in whole.look(place.state)]
        assert left == [("step-1", True, ""), ("step-2", False, "no .metadata")]
        assert {
            "save[1]/writer.write_data@0#1",
            "save[1]/writer.write_data@0#1!after",
            "file.rename(step-1/.metadata)@0#1",
            "torch.save(last.pt)@0#1",
            "torch.save(last.pt)@0#1!half",
            "torch.save(last.pt)@0#1!after",
        } <= set(seen)
        start = starter.start(place, limit=LIMIT)
        assert start.ended_well, start.printed
        assert loaded_parts(start, "0", whole.name_of) == {"1"}
        assert all(found.whole for found in whole.look(place.state))
        (place.state / "step-2" / "__0_0.distcp").write_bytes(b"short")
        torn = whole.look(place.state)[1]
        assert (torn.name, torn.whole) == ("step-2", False)
        assert torn.why_not.startswith("__0_0.distcp has 5 bytes instead of ")


def test_the_ranks_of_torchrun(tmp_path: Path) -> None:
    """They are known by their numbers; torchrun itself is none of them, and starts both anew where it may, after the death of one."""
    (tmp_path / "program.py").write_text(drill_programs.RANKS, "utf-8")
    state = str(tmp_path / "run")
    seen: list[str] = []

    def strike(point: Point, watch: Watch) -> str:
        seen.append(point.name)
        if point.name == "file.write(1)@1#1!after" and seen.count(point.name) == 1:
            return watch.strike("kill-rank")
        if seen.count("file.write(1)@1#1!after") == 2 and seen.count("file.write(0)@0#1!after") == 2:
            return watch.strike("kill-job")
        return "go"

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    with workshop(tmp_path) as root:
        settings = Settings([*torchrun, str(tmp_path / "program.py"), state], state, grace=LIMIT)
        starter = Starter(settings, RealLauncher(), DcpCheckpoints(), root)
        place = starter.place(Path(state))
        start = starter.start(place, strike, limit=LIMIT)
        assert {point.role for point in start.points} == {"0", "1"}
        assert not start.late
        assert {path.name: path.read_text("utf-8") for path in place.state.iterdir()} == {"0": "1", "1": "1"}
