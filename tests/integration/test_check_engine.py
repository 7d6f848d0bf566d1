"""``check_engine`` tries everything on an engine, and reports which claims hold."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from ckpt_harness import check_engine
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cli import main
from ckpt_harness.conformance import check
from ckpt_harness.engines import names
from ckpt_harness.engines.filesystem import FILESYSTEM
from ckpt_harness.engines.names import GROUP, find_engine, named
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import Capability

pytestmark = pytest.mark.usefixtures("silence")

_ENGINE = """
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability

class Engine(FileSystemEngine):
    def __init__(self, *more):
        super().__init__("mine", "of mine", sync_files=False)
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.COMMIT_MARKER, *more})

HONEST, BOASTING = Engine(), Engine(Capability.DETECTS_LIES)
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of two engines. Only saves of objects are tried, since everything takes minutes."""
    (tmp_path / "mine.py").write_text(_ENGINE)
    monkeypatch.setattr(check, "_sweeps", lambda name, _, sizes: [Sweep(("save",), sizes, engine=name, workload="stateful")])
    return f"{tmp_path / 'mine.py'}:"


def test_an_engine_whose_claims_hold_has_no_new_violation(engine: str) -> None:
    """Findings of DCP are reported as known; a capability that does not hold and is not claimed is no violation."""
    report = check_engine(f"{engine}HONEST", ranks=(1,))
    verdicts = {claim.capability: claim.verdict for claim in report.claims}
    assert report.ok, str(report)
    assert verdicts[Capability.COLLECTIVES] == verdicts[Capability.COMMIT_MARKER] == "holds"
    assert verdicts[Capability.DETECTS_LIES] == "not claimed"
    assert verdicts[Capability.CHECKSUMS] == "not claimed"
    assert verdicts[Capability.DURABLE_COMMIT] == "not tried"
    assert "DCP-006" in report.known
    assert "DCP-037" in report.known  # a load that asks for less than its checkpoint holds is among what is tried


def test_a_claim_that_does_not_hold_is_a_violation(engine: str, tmp_path: Path) -> None:
    """All violations are reported at once, each cause once with how often it was seen and its replay line; the JSON file has a violation for every site."""
    file = tmp_path / "report.json"
    result = CliRunner().invoke(main, shlex.split(f"check {engine}BOASTING --ranks 1 --jobs 1 --json {file}"))
    assert result.exit_code == 1, result.output
    assert "detects lies: VIOLATED" in result.output
    lines = [line.strip() for line in result.output.splitlines() if line.strip().startswith("ckpt-harness replay")]
    written = json.loads(file.read_text("utf-8"))
    headings = [f"{number}. {cause['heading']}" for number, cause in enumerate(written["causes"], 1)]
    assert [line for line in result.output.splitlines() if re.match(r"[0-9]+\. ", line)] == headings
    assert len(set(lines)) == len(lines) == len(headings)
    assert sum(cause["count"] for cause in written["causes"]) >= len(written["wrong"]) > len(headings)
    again = CliRunner().invoke(main, shlex.split(lines[0])[1:])
    assert again.exit_code == 1, again.output


def test_an_engine_is_found_by_the_name_that_its_package_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entry point; the name of a built-in engine stays with the built-in engine."""
    mine = [
        importlib.metadata.EntryPoint("mine", "ckpt_harness.engines.filesystem:FILESYSTEM", GROUP),
        importlib.metadata.EntryPoint("broken", "no_such_module:ENGINE", GROUP),
        importlib.metadata.EntryPoint("fsspec-file", "ckpt_harness.engines.filesystem:FILESYSTEM", GROUP),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: mine if group == GROUP else [])
    monkeypatch.setattr(names, "_installed", names._installed.__wrapped__)  # as in a process that has not looked for engines yet
    assert find_engine("mine") is FILESYSTEM
    assert find_engine("fsspec-file") is not FILESYSTEM
    assert named()["broken"] == "no_such_module:ENGINE"
    with pytest.raises(UsageError, match="nearest: .*mine"):
        find_engine("mime")
    output = CliRunner().invoke(main, ["engines"], terminal_width=300, env={"COLUMNS": "300"}).output
    lines = [line.strip() for line in output.splitlines()]
    assert any(line.startswith("broken ") and "cannot run here" in line and "No module named 'no_such_module'" in line for line in lines)
    assert "any coordinator, collectives" in lines[next(number for number, line in enumerate(lines) if line.startswith("filesystem ")) + 1]


def test_an_object_that_its_name_does_not_lead_to_is_refused() -> None:
    """Replay lines would lead to another engine, or to no engine."""
    with pytest.raises(UsageError, match=r"the name 'filesystem' leads to another engine; name the engine module:object"):
        check_engine(type(FILESYSTEM)("filesystem", "another of the same name"))
    with pytest.raises(UsageError, match="unknown engine 'none'"):
        check_engine("none")


def test_check_engine_needs_no_pytest() -> None:
    """It is for scripts, too."""
    import ast

    import ckpt_harness.conformance.check as module

    imported = {alias.name for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))) if isinstance(node, ast.Import) for alias in node.names}
    assert not {"pytest", "hypothesis"} & imported
