"""The register explains its findings and nothing else: a bug that resembles a finding is new."""

from __future__ import annotations

import pytest
from hunting import replayed
from neighbours import Neighbour
from neighbours_calls import CALLS
from neighbours_checkpoints import CHECKPOINTS
from neighbours_packages import PACKAGES

from ckpt_harness.engines import names
from ckpt_harness.findings.register import Register

pytestmark = pytest.mark.usefixtures("silence")

NEIGHBOURS = (*CALLS, *CHECKPOINTS, *PACKAGES)


def _each() -> list[object]:
    """A test parameter for each neighbour; those that start processes run one at a time."""
    return [
        pytest.param(neighbour, id=f"{neighbour.entry}: {neighbour.bug}", marks=pytest.mark.one_at_a_time if "processes" in neighbour.line else ())
        for neighbour in NEIGHBOURS
    ]


def test_every_entry_has_a_neighbour() -> None:
    """For each entry of the shipped register a bug is planted that resembles the finding."""
    assert {neighbour.entry for neighbour in NEIGHBOURS} == {entry.id for entry in Register.shipped().entries}


@pytest.mark.parametrize("neighbour", _each())
def test_a_bug_beside_an_entry_is_new(neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line shows a violation with the bug, by the named oracle, and none that counts without the bug."""
    line = f"ckpt-harness {neighbour.line}"
    if neighbour.stand_in:
        target = names.BUILT_IN["filesystem"]
        monkeypatch.setitem(names.THIRD_PARTY, neighbour.stand_in, names.ThirdParty(target, "torch", "torch"))
        line += f" --engine {neighbour.stand_in}"
    status, printed = replayed(line, neighbour.edits)
    assert status == 1, printed
    assert f"VIOLATED {neighbour.oracle}" in printed or f"VIOLATED{neighbour.oracle}" in printed, printed
    if neighbour.edits:  # otherwise the engine itself is the bug
        status, printed = replayed(line)
        assert status == 0, printed
