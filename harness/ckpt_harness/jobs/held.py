"""What a place may hold, as a value: the checkpoint of a save, in whole; no committed checkpoint; or a committed checkpoint that is broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.evidence import Reading, Seen, whole_calls

Capabilities = frozenset[Capability]

_MARKER: Capabilities = frozenset({Capability.COMMIT_MARKER})
_ATOMIC: Capabilities = frozenset({Capability.ATOMIC_OVERWRITE})


@dataclass(frozen=True)
class Held:
    """What a place may hold. Several possibilities mean that the reports of the ranks do not tell which is true.

    Attributes:
        calls: the saves whose checkpoint the place may hold, in whole.
        nothing: whether the place may hold no committed checkpoint.
        broken: whether the place may hold a committed checkpoint that is not that of a save, in whole.
        needs: what an engine must claim for these to be the only possibilities. Without the claim, the place may hold anything.
        before: the saves whose checkpoint the place may hold, too, if the engine does not make that claim.

    Example:
        >>> print(Held(frozenset({"save[1]", "save[2]"}), nothing=True))
        save[1] or save[2] or no checkpoint
    """

    calls: frozenset[str] = frozenset()
    nothing: bool = False
    broken: bool = False
    needs: Capabilities = _MARKER
    before: frozenset[str] = frozenset()

    def __str__(self) -> str:
        words = [*sorted(self.calls), *["no checkpoint"] * self.nothing, *["a broken checkpoint"] * self.broken]
        return " or ".join(words)

    @property
    def certain(self) -> str | None:
        """The save whose checkpoint the place holds; None if that is not certain."""
        return None if self.nothing or self.broken or len(self.calls) != 1 else next(iter(self.calls))

    def for_engine(self, capabilities: Capabilities) -> Held:
        """Returns what the place may hold if the engine makes these claims."""
        if self.needs <= capabilities:
            return self
        return Held(self.calls | self.before, nothing=True, broken=True, needs=self.needs)

    def excludes(self, seen: Held) -> bool:
        """Whether what was seen is none of the possibilities."""
        return (seen.nothing and not self.nothing) or (seen.broken and not self.broken) or (bool(seen.calls) and seen.calls.isdisjoint(self.calls))

    # -- what operations do to a place

    def saved(self, call: str, lies: Capabilities) -> Held:
        """Returns what the place may hold after a save that has reported success on every rank.

        Args:
            call: the save.
            lies: what an engine must claim to notice the lies that its storage told it during the save.

        Example:
            >>> Held(nothing=True).saved("save[1]", frozenset()).certain
            'save[1]'
        """
        return Held(frozenset({call}), needs=_MARKER | lies, before=self.calls | self.before)

    def tried(self, call: str, lies: Capabilities) -> Held:
        """Returns what the place may hold while a save is under way, and after a save that has not reported success on every rank.

        The checkpoint of the save may be there, since a commit may act and its acknowledgement be lost. An old checkpoint is safe with engines only that
        claim ``atomic overwrite``.

        Example:
            >>> print(Held(nothing=True).tried("save[1]", frozenset()))
            save[1] or no checkpoint
        """
        replaces = bool(self.calls - {call} or self.broken)
        return dataclasses.replace(self, calls=self.calls | {call}, needs=self.needs | lies | (_ATOMIC if replaces else frozenset()))

    def one_of_two(self, call: str, lies: Capabilities) -> Held:
        """Returns what the place may hold after two saves to it at once, of which one has reported success."""
        return dataclasses.replace(self.tried(call, lies), nothing=False)

    def maybe_removed(self) -> Held:
        """Returns what the place may hold once older checkpoints may have been removed."""
        return dataclasses.replace(self, nothing=True)


NOTHING = Held(nothing=True)
"""What a place holds before anything is saved there."""


def observed(before: Held, seen: Seen, readings: Sequence[Reading] | None, *, markers: bool) -> Held:
    """Returns what a place holds, as far as what was seen there tells.

    Args:
        before: what the place could hold until then.
        seen: what was seen.
        readings: what fresh ranks got from the content; None or empty if nobody read it.
        markers: whether the engine has commit markers.
    """
    whole = frozenset(whole_calls(readings or ()))
    if whole and (seen.committed or not markers):
        return Held(whole & before.calls or whole)
    if not seen.committed:
        return NOTHING
    if not readings:
        return dataclasses.replace(before, nothing=False) if before.calls or before.broken else Held(broken=True, needs=before.needs)
    return Held(broken=True, needs=before.needs)
