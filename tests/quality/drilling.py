"""Drills a trainer of two ranks that starts fast, as it is or with a bug planted in its source."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_harness.drill.campaign import Drill, Drilled
from ckpt_harness.drill.launchers.real import RealLauncher
from ckpt_harness.drill.settings import Settings

SOURCE = Path(__file__).parent / "drilled"


@dataclass(frozen=True)
class TrainerBug:
    """A bug that the author of a trainer might make.

    Attributes:
        name: what the buggy trainer does.
        caught_by: the oracle that must find the bug; no other may complain.
        old: the text of the trainer to replace; it occurs once.
        new: the new text.
        only: the points at which it shows.
        effect: what must happen there.
        steps: training steps, and how many lie between two saves.
    """

    name: str
    caught_by: str
    old: str
    new: str
    only: str
    effect: str = "kill-job"
    steps: tuple[int, int] = (6, 2)


def is_whole(place: Path) -> bool:
    """Whether a directory is a whole checkpoint of the trainer."""
    try:
        return (place / "done").exists() and all(json.loads((place / f"rank-{rank}.json").read_text("utf-8")) for rank in (0, 1))
    except (OSError, ValueError):
        return False


def planted(bug: TrainerBug | None, place: Path) -> Path:
    """Writes the trainer into a directory, with a bug. Returns its launcher."""
    source = (SOURCE / "trainer.py").read_text("utf-8")
    if bug is not None:
        assert source.count(bug.old) == 1, bug.name
        source = source.replace(bug.old, bug.new)
    (place / "trainer.py").write_text(source, "utf-8")
    launcher = place / "ranks.sh"
    launcher.write_text((SOURCE / "ranks.sh").read_text("utf-8").replace('"$PYTHON"', f'"{sys.executable}"'), "utf-8")
    launcher.chmod(0o755)
    return launcher


def drilled(place: Path, bug: TrainerBug | None = None, *, steps: tuple[int, int] = (6, 2), **options: Any) -> Drilled:
    """Drills the trainer.

    Args:
        place: an empty directory.
        bug: the bug to plant.
        steps: training steps, and how many lie between two saves.
        options: of :class:`Settings`.
    """
    launcher = planted(bug, place)
    state = str(place / "run")
    words = [str(launcher), state, *map(str, steps)]
    copies = place / "copies"
    copies.mkdir()
    campaign = Drill(Settings(words, state, result=f"{state}/result.json", whole=is_whole, **{"grace": 20.0, **options}), RealLauncher(), copies)
    found = campaign.begin()
    for _ in campaign.run(found, lambda _done, _all: None):
        pass
    assert not Path(state).exists(), "the user's own directory was touched"
    return found
