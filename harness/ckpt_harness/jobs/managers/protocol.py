"""What a job asks of a manager of checkpoints: a handful of methods, most of which a trainer's own manager has already.

A manager decides how and where each step is saved, which step is the latest, and which steps are removed. A job calls it in place of an engine, on every
rank, and strikes the calls of DCP that it makes beneath.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

State = dict[str, Any]
"""What is saved: names to tensors, other values, ``Stateful`` objects, and dictionaries of these."""


class Manager(Protocol):
    """Keeps the checkpoints of a trainer, each under the number of its step.

    All ranks make a manager when they begin, and again when the job restarts: what a manager remembers beyond that lies in its directory. Every method but
    :meth:`path` is called by all ranks, in the same order, and may use collectives of the default process group.

    A manager that has no async saves leaves out :meth:`async_save` and :meth:`wait`; a manager that removes by itself what it does not keep leaves out
    :meth:`prune`. A manager may have one more method, ``close()``, which is called before its ranks end.
    """

    def save(self, state: State, step: int) -> None:
        """Saves a step, and waits for the end of the save. A step that was saved before is saved again.

        Returns once the step is committed: on all ranks, :meth:`latest` then names this step or a later one, until it is removed.

        Raises:
            BaseException: the step may not be saved: every rank raises, whichever of them has failed. An earlier async save has failed that nobody has
                waited for.
        """

    def async_save(self, state: State, step: int) -> Future[Any]:
        """Begins to save a step. Returns as soon as the caller may change the state, which does not change what is saved.

        Returns:
            A future that ends when the save does: with its error, on all ranks, if the step may not be saved.

        Raises:
            BaseException: the save could not begin: every rank raises. An earlier async save has failed that nobody has waited for.
        """

    def wait(self) -> None:
        """Waits until no save is under way.

        Raises:
            BaseException: the error of an async save that has failed. Each failure is raised once: by this method, or by the next call of another.
        """

    def latest(self) -> int | None:
        """Returns the newest step that is committed, the same on all ranks; None if there is none."""

    def load(self, state: State, step: int) -> None:
        """Loads a step into ``state``, which has the structure of what was saved.

        Raises:
            BaseException: the state may not be loaded: every rank raises.
        """

    def prune(self, keep: int) -> None:
        """Removes committed steps but the newest, and what failed saves have left that is older than these.

        Args:
            keep: how many steps stay, at least 1.
        """

    def path(self, step: int) -> str | Path:
        """Returns where the checkpoint of a step lies, whether or not there is one. Called outside of ranks, too, so it must not use collectives."""


MakeManager = Callable[[Path], Manager]
"""Makes the manager of a rank, such as its class. The argument is the directory of the job, which may not exist yet."""

REQUIRED = ("save", "latest", "load", "path")
"""The methods that every manager has."""
OPTIONAL: dict[str, tuple[str, ...]] = {"async_save": ("async", "wait"), "wait": ("async", "wait"), "prune": ("prune",)}
"""The methods that a manager may leave out -> first words of the operations that then cannot be done."""
