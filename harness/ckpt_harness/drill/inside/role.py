"""Which rank a process is, from its environment; and which processes are no ranks.

- A process with ``RANK`` in its environment is that rank. Its own children inherit the variables, and are known by a mark that a rank leaves in its
  environment: a child of a rank is no rank.
- A process without ``RANK`` is rank 0 of a job of one, until one of its children turns out to be a rank: then the process is a launcher. The drill,
  which sees all processes, decides that.
- A forked child is a child, whatever its environment says.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping

MARK = "CKPT_HARNESS_DRILL_WITHIN"
"""Environment variable that a rank leaves for its children: the variables by which it became a rank."""
_CLAIM = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def role_of(environment: MutableMapping[str, str]) -> str:
    """The role of a process that has just started, and leaves the mark for its children.

    Args:
        environment: the environment; changed.

    Returns:
        ``"3"`` for rank 3, ``"3child"`` for a child of rank 3, ``"plain"`` for a process that no launcher has numbered.

    Example:
        >>> environment = {"RANK": "1", "WORLD_SIZE": "2"}
        >>> role_of(environment), role_of(environment)
        ('1', '1child')
        >>> role_of({})
        'plain'
    """
    claim = [environment.get(name) for name in _CLAIM]
    marked = environment.get(MARK)
    inherited = json.loads(marked) if marked else None
    number = claim[0]
    if number is not None and number.isdecimal() and claim != inherited:
        environment[MARK] = json.dumps(claim)
        return str(int(number))
    if inherited is None:
        environment[MARK] = json.dumps(claim)
        return "plain"
    return child_of(str(inherited[0] or "plain"))


def child_of(role: str) -> str:
    """The role of a child.

    Example:
        >>> child_of("0"), child_of("0child")
        ('0child', '0child')
    """
    return role if role.endswith("child") else f"{role}child"


def here() -> str:
    """The role of this process, which has just started."""
    return role_of(os.environ)
