"""Whatever can go wrong at whatever site becomes a short script that compiles, or is refused in one line."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_harness._torch import OWN_STAGER_IS_CLOSED
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import UsageError
from ckpt_harness.export.script import LONGEST, check, write
from ckpt_harness.faults.effects import EFFECTS, Raise
from ckpt_harness.faults.error_specs import SWEPT
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES, OperationKind, Site

pytestmark = pytest.mark.usefixtures("silence")

INJECTABLE = [site for site in SITES.values() if site.side != "executor" and site.layer == "calls"]
NEVER_CALLED = {"load_planner.resolve_bytes", "pg.barrier", "writer.synchronize_staging"} | (set() if OWN_STAGER_IS_CLOSED else {"stager.close"})
"""Sites that the engines at hand do not call."""
EACH_ERROR = {"writer.write_data", "writer.finish", "reader.read_data", "state.state_dict"}
STAGING = {"stager.stage.future": "background"} | dict.fromkeys(("stager.stage", "stager.synchronize_staging", "stager.close"), "engine")
"""Site -> the staging that calls it."""


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def _exported(case: Case, rig: Rig) -> str:
    check(case)
    return write(rig.run(dataclasses.replace(case, retry=False)), case, rig.register)


def _plans(site: Site) -> Iterator[FaultPlan]:
    """One of each kind of effect that is legal at the site; an error on all ranks, and after the call; where it may matter, all kinds of errors."""
    ranks = "coordinator" if site.callers == "coordinator" else "1"
    for name, kind in EFFECTS.items():
        if kind.legal_at(site) and not kind.needs_processes:
            yield FaultPlan.parse(f"{site.name}@{ranks}={name}")
    if Raise.legal_at(site):
        yield FaultPlan.parse(f"{site.name}@{ranks}!after=raise")
        if site.callers == "every rank":
            yield FaultPlan.parse(f"{site.name}@all=raise")
    if site.name in EACH_ERROR:
        yield from (FaultPlan.parse(f"{site.name}@{ranks}=raise({error})") for error in SWEPT)


@pytest.mark.parametrize("site", INJECTABLE, ids=[site.name for site in INJECTABLE])
def test_every_effect_at_a_site_becomes_a_short_script(site: Site, rig: Rig) -> None:
    """It compiles, says the plan, and needs no more lines than one reads in a minute; what no case shows is refused, and why."""
    operation: OperationKind = "load" if site.operations == ("load",) else "async_save" if site.operations == ("async_save",) else "save"
    texts = {}
    for plan in _plans(site):
        try:
            staged = {"staging": STAGING[site.name], "workload": "stateful"} if site.name in STAGING else {}
            texts[str(plan)] = _exported(Case(plan, operation, **staged), rig)
        except UsageError as error:
            assert site.name in NEVER_CALLED, error  # noqa: PT017  (which of two claims holds depends on the site)
    assert bool(texts) == (site.name not in NEVER_CALLED)
    for plan_text, text in texts.items():
        compile(text, plan_text, "exec")
        assert plan_text in text
        assert "ckpt_harness." not in text
        assert text.count("\n") <= LONGEST, plan_text


@pytest.mark.parametrize("site", ["writer.write_data.future", "reader.read_data.future"])
@pytest.mark.parametrize("effect", ["failfuture", "failfuture(wait,SystemExit)", "nevercomplete"])
def test_a_script_hands_over_a_real_future(site: str, effect: str, rig: Rig) -> None:
    """A storage that fails returns a failed future, and no future with another method."""
    text = _exported(Case(FaultPlan.parse(f"{site}@1={effect}"), "save" if site.startswith("writer") else "load"), rig)
    assert "result = torch.futures.Future()" in text
    assert "result.wait =" not in text


SAMPLE = [
    ("writer.write_data@1=raise(unpicklable)", {}),
    ("writer.write_data@0,2=raise(huge); save_planner.finish_plan@1=delay(2)", {"ranks": 3}),
    ("save_planner.resolve_data@1#2=raise(local)", {"coordinator": 1}),
    ("writer.write_data.future@all=failfuture(value,caused)", {}),
    ("pg.gather@1#2!after=raise", {"ranks": 3}),
    ("state.state_dict@1=hang", {}),
    ("load_planner.load_bytes@1=skip", {"operation": "load"}),
    ("reader.read_metadata@all#1x*=raise(unloadable)", {"operation": "load"}),
    ("writer.stage@1=raise(OSError:ENOSPC)", {"operation": "async_save"}),
    ("writer.write_data@1=stop(2)", {"world": "processes"}),
    ("writer.finish@0=exit", {"world": "processes"}),
    ("writer.write_data@0=raise(queue.Empty)", {"ranks": 1, "way": "alone"}),
    ("save_planner.create_global_plan@coordinator=wrong(short)", {"engine": "filesystem-threads"}),
    ("stager.stage.future@1=delay(2)", {"operation": "async_save", "staging": "background", "workload": "stateful"}),
    ("state.state_dict@1=raise", {"operation": "async_save", "staging": "blocking", "workload": "stateful"}),
    ("", {"ranks": 3, "way": "no_collectives"}),
    ("async_save[1]/writer.prepare_local_plan@1!after=delay(2)", {"operation": "async_save", "overlap": "shared"}),
    ("", {"ranks": 3}),
]


def test_scripts_pass_the_linter(rig: Rig, tmp_path: Path) -> None:
    """As anybody runs it who has configured nothing."""
    for number, (plan, options) in enumerate(SAMPLE):
        (tmp_path / f"script_{number}.py").write_text(_exported(Case(FaultPlan.parse(plan), **options), rig), "utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", str(tmp_path)]
    if shutil.which("ruff", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("ruff is not installed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout


def test_the_same_case_gives_the_same_script(tmp_path: Path) -> None:
    """To the letter, wherever it runs."""
    case = Case(FaultPlan.parse("writer.write_data@2=raise(OSError:EIO)"), ranks=3)
    texts = []
    for place in (tmp_path / "here", tmp_path / "there"):
        place.mkdir()
        with Rig(place) as rig:
            texts.append(_exported(case, rig))
    assert texts[0] == texts[1]
