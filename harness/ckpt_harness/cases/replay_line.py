"""How a replay line is spelled: the one shell line that runs the same again, as every report, test and finding prints it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def spelled(command: str, *arguments: str, program: Sequence[str] = ("ckpt-harness",), **options: object) -> str:
    """A shell line for a command of the harness.

    Args:
        command: the command, such as ``replay``.
        arguments: its arguments.
        program: the words that start the harness.
        options: name of an option -> its value. True stands for a flag, and a tuple for an option that is given several times.
            An option whose value is None or False is left out.

    Example:
        >>> spelled("crash", engine="my engine.py:MINE", overwrite=True, seed=None)
        "ckpt-harness crash --engine 'my engine.py:MINE' --overwrite"
    """
    words = [*program, command, *arguments]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            for given in value if isinstance(value, tuple) else (value,):
                words += [option, str(given)]
    return shlex.join(words)
