"""What a world saw of a case is what its script shows with plain torch: one case for each piece that scripts are made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from plain_torch import not_shown, show

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.export import observed
from ckpt_harness.export.script import check, write
from ckpt_harness.faults.plan import FaultPlan

pytestmark = pytest.mark.usefixtures("silence")

TOLD = [
    # errors that cross ranks, and ones that do not; objects and tensors, one occurrence of several
    Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC); writer.write_data@0=raise(unicode)"), ranks=3),
    Case(FaultPlan.parse("save_planner.resolve_data@1#2=raise(unloadable)"), ranks=3, coordinator=2),
    Case(FaultPlan.parse("load_planner.commit_tensor@others=raise(SystemExit)"), "load"),
    Case(FaultPlan.parse("writer.write_data@0=raise(huge)"), ranks=1, way="alone"),
    # futures, lies, and what comes of them
    Case(FaultPlan.parse("writer.write_data.future@1=failfuture(value,control)")),
    Case(FaultPlan.parse("reader.read_data.future@0=failfuture(wait,control)"), "load"),
    Case(FaultPlan.parse("writer.write_data@1=skip")),
    Case(FaultPlan.parse("load_planner.load_bytes@1=skip"), "load"),
]
LOST = [
    # outside of what is guarded
    Case(FaultPlan.parse("state.state_dict@1!after=raise(MemoryError)"), "load"),
    Case(FaultPlan.parse("pg.broadcast@0#1=raise"), "async_save"),
    # ranks that die, are stopped, are late; those that hang are with the findings
    Case(FaultPlan.parse("reader.read_data@1=kill"), "load", ranks=3),
    Case(FaultPlan.parse("writer.prepare_local_plan@1=stop"), world="processes"),
    Case(FaultPlan.parse("pg.gather@1#2=exit"), world="processes"),
    Case(FaultPlan.parse("reader.set_up_storage_reader@1=delay(2)"), "load"),
]


def _mended(script: str) -> str:
    """The script with a fault that never strikes, which waits less for what does not come."""
    return script.replace("dist.get_rank() == 1", "dist.get_rank() == 7").replace("time.monotonic() + 30", "time.monotonic() + 10")


def test_a_script_of_two_saves_tells_whether_both_did_what_they_should(tmp_path: Path) -> None:
    """One rank has nobody whose messages it could take; where two are made to take each other's, they do not with a group for each save."""
    crossing = "async_save[1]/writer.set_up_storage_writer@1=delay; async_save[2]/writer.set_up_storage_writer@0=delay"
    cases = {
        "alone": Case(operation="async_save", ranks=1, overlap="shared"),
        "crossing": Case(FaultPlan.parse(crossing), "async_save", overlap="shared"),
    }
    with Rig() as rig:
        scripts = {name: write(rig.run(dataclasses.replace(case, retry=False)), case, rig.register) for name, case in cases.items()}
    apart = scripts["crossing"].replace("storage_writer=", "process_group=dist.new_group(), storage_writer=")
    shown = show({**scripts, "apart": apart}, tmp_path)

    status, said = shown.pop("apart")
    assert (status, said.splitlines()[-1]) == (1, "not as recorded")
    assert [line.partition(": ")[2] for line in said.splitlines()[:-1]] == ["returned"] * 4 + ["holds what was saved"] * 2
    assert not_shown(shown, ["wrong: ", "the claim holds"]) == {}
    assert shown["crossing"][1].splitlines()[-1] == observed.BROKEN_TOGETHER
    assert shown["alone"][1].splitlines()[-1] == observed.HOLDS


@pytest.mark.parametrize("cases", [TOLD, LOST], ids=["told", "lost"])  # each half in one go, since torch is slow to import
def test_scripts_show_what_the_worlds_saw(cases: list[Case], tmp_path: Path) -> None:
    """Each rank ends alike and storage holds a commit marker or none, or the exit status is 1; the last line says what is wrong, if anything is."""
    with Rig() as rig:
        for case in cases:
            check(case)
        scripts = {case.replay_line(): write(rig.run(dataclasses.replace(case, retry=False)), case, rig.register) for case in cases}
    shown = show({**scripts, "mended": _mended(next(iter(scripts.values())))}, tmp_path)

    status, said = shown.pop("mended")
    assert (status, said.splitlines()[-1]) == (1, "not as recorded")
    assert not_shown(shown, ["wrong: ", "the claim holds", "no claim is broken, but: "]) == {}
    for case in cases:
        assert len(shown[case.replay_line()][1].splitlines()) == case.ranks + 2, "a line a rank, what is stored, and what is wrong"
