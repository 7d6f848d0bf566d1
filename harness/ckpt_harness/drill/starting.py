"""Starts of the user's command, each on a copy of the state directory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckpt_harness.drill.checkpoints import Whole
from ckpt_harness.drill.evidence import Start
from ckpt_harness.drill.inside.begin import VARIABLE
from ckpt_harness.drill.launchers.base import Launcher
from ckpt_harness.drill.places import Substitution, copy_tree, remove_tree
from ckpt_harness.drill.points import shape_of
from ckpt_harness.drill.settings import Settings
from ckpt_harness.drill.start import DIRECTORY
from ckpt_harness.drill.watch import Desk, Respond, Watch, always_go


@dataclass(frozen=True)
class Place:
    """A copy of the state directory, and of the result if that lies elsewhere.

    Attributes:
        root: the directory of this copy.
        state: the copy of the state directory.
        result: the copy of the result; None without one.
    """

    root: Path
    state: Path
    result: Path | None


class Starter:
    """Starts the command on copies.

    Args:
        settings: the drill.
        launcher: starts the command.
        whole: knows the checkpoints.
        root: the directory for all that the drill writes.

    Attributes:
        ranked: whether a launcher numbers the ranks; None until the first start has ended.
    """

    def __init__(self, settings: Settings, launcher: Launcher, whole: Whole, root: Path) -> None:
        self._settings = settings
        self._launcher = launcher
        self._whole = whole
        self._root = root
        self._numbers = itertools.count(1)
        self.ranked: bool | None = None

    def place(self, state: Path) -> Place:
        """A new copy.

        Args:
            state: what to copy: the user's own state directory, or a copy of it.
        """
        root = self._root / f"copy-{next(self._numbers)}"
        (root / "state").mkdir(parents=True)
        copy = root / "state" / Path(os.path.abspath(self._settings.state)).name  # noqa: PTH100  (links stay as the user wrote them)
        copy_tree(state, copy)
        return Place(root, copy, self._result_in(root, copy))

    def _result_in(self, root: Path, copy: Path) -> Path | None:
        if self._settings.result is None:
            return None
        result = Path(os.path.abspath(self._settings.result))  # noqa: PTH100
        state = Path(os.path.abspath(self._settings.state))  # noqa: PTH100
        if result.is_relative_to(state):
            return copy / result.relative_to(state)
        (root / "result").mkdir()
        return root / "result" / result.name

    def start(self, place: Place, respond: Respond = always_go, *, limit: float, again: bool = False, shapes: bool = False) -> Start:
        """Starts the command and watches it until its end.

        Args:
            place: the copy to work on.
            respond: says what happens at a point.
            limit: seconds that it may take.
            again: whether this is a start after a strike.
            shapes: whether points note what the state directory looks like. Its ranks wait for the look, so only the run whose points are chosen from
                needs it.

        Raises:
            UsageError: the command cannot be started, or reaches the user's own state directory.
        """
        words, environment = self._command(place, again=again)
        found = self._whole.look(place.state)
        number = next(self._numbers)
        log, stacks = self._root / f"printed-{number}", self._root / f"stacks-{number}"
        stacks.mkdir()
        desk = Desk(self._root / f"desk-{number}")
        environment[VARIABLE] = json.dumps(
            {
                "socket": str(desk.address),
                "state": str(place.state),
                "original": os.path.abspath(self._settings.state),  # noqa: PTH100
                "stacks": str(stacks),
            }
        )
        try:
            running = self._launcher.start(words, environment, log)
            try:
                watch = Watch(
                    running,
                    desk,
                    original=self._settings.state,
                    respond=respond,
                    shape=(lambda: shape_of(place.state)) if shapes else str,
                    limit=limit,
                    grace=self._settings.grace,
                    stacks=stacks,
                    ranked=self.ranked,
                )
                start = watch.run(found, log)
            finally:
                running.close()
        finally:
            desk.close()
            shutil.rmtree(stacks, ignore_errors=True)
            log.unlink(missing_ok=True)
        if self.ranked is None:
            self.ranked = watch.ranked
        return start

    def _command(self, place: Place, *, again: bool) -> tuple[list[str], dict[str, str]]:
        """The words and the environment, with the copies' paths in the place of the user's."""
        words: Sequence[str] = self._settings.words
        if again and self._settings.restart_with is not None:
            words = self._settings.restart_with
        replaced = [Substitution(self._settings.state, str(place.state))]
        if place.result is not None and not place.result.is_relative_to(place.state):
            assert self._settings.result is not None
            replaced.insert(0, Substitution(self._settings.result, str(place.result)))
        environment = dict(os.environ)
        for substitution in replaced:
            words, environment = substitution.words(words), substitution.environment(environment)
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{DIRECTORY}{os.pathsep}{path}" if path else str(DIRECTORY)
        return list(words), environment


@contextlib.contextmanager
def workshop(work: Path | None) -> Iterator[Path]:
    """A directory for the copies, which is removed at the end.

    Args:
        work: where to make it; None for the system's directory for temporary files.
    """
    root = Path(tempfile.mkdtemp(prefix="ckpt-drill-", dir=work))
    try:
        yield root
    finally:
        remove_tree(root)
