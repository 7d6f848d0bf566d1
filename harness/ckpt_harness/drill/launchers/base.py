"""What every launcher offers: a start of the user's command, with its processes and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Running(Protocol):
    """A command that has been started. All its processes belong to it, also those that its processes have started."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when :meth:`ended` has something new to say."""

    def ended(self) -> int | None:
        """The exit status of the command, negative for a signal; None while it runs."""

    def processes(self) -> list[int]:
        """The living processes of the command."""

    def freeze(self) -> None:
        """Stops all processes, and returns when none runs."""

    def thaw(self) -> None:
        """Lets all processes go on."""

    def kill(self) -> None:
        """Kills all processes, without notice."""

    def close(self) -> None:
        """Kills what is left. Afterwards no process of the command is there."""


class Launcher(Protocol):
    """Starts the user's command."""

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Running:
        """Starts a command.

        Args:
            words: the command.
            environment: its environment.
            log: the file that receives what it prints.

        Raises:
            UsageError: the command cannot be started.
        """

    def close(self) -> None:
        """Ends what the launcher keeps between starts."""
