"""An entry of the findings register: one known finding, and the cases that the finding is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ckpt_harness.findings.signatures import Signature, matches
from ckpt_harness.judging.verdict import Judgement

Moment = Literal["in plan", "in write", "in finish", "after success"]
MOMENTS: tuple[Moment, ...] = ("in plan", "in write", "in finish", "after success")
"""When a crash came: before any rank began to write, before the commit began, since then, and after the save had reported success."""


@dataclass(frozen=True)
class Entry:
    """A known finding.

    All patterns are shell patterns that must match a whole text.

    Attributes:
        id: a stable name, such as ``DCP-001``.
        title: the finding in one line.
        engines: patterns of engine names.
        versions: versions of torch that the finding was recorded for.
        operations: kinds of operation.
        calls: patterns of how the operation is called: way, kind of operation and kind of planner, such as ``groups save default``. The call of a
            save over an existing checkpoint ends with ``onto a checkpoint``.
        sites: patterns of the decisive fault's site. Empty for a finding that needs no fault; such a finding need not show in every case.
        within: patterns of the call that the engine sees fail: for a fault below the storage the storage call around it, such as ``writer.write_data``,
            else the site itself.
        no_site: why the finding has no site. Needed where ``sites`` is empty and neither ``crashes`` nor ``crossing`` says when the finding shows.
        effects: patterns of the decisive fault's effect.
        oracles: names of the oracles whose violations the finding explains.
        ranks: the number of ranks from which on the finding must show. A case with fewer ranks may show the finding.
        signatures: the ways in which the finding shows.
        about: what happens and why, in a few sentences.
        source: file and function of the code that is to blame.
        reproducer: file name of the stand-alone script.
        reports: public reports of the same fault.
        newer: what is known about newer releases, beside the runs of the script.
        replay: a command line that shows the finding.
        background: patterns of how an async save is done: executor, staging and overlap, such as ``process writer none``.
        reasons: patterns of what the oracle says was wrong, as ``ckpt-harness replay`` prints it. Each thing that was wrong must match one of them. For
            findings about what is stored or loaded, where the ends of the calls say little.
        crossing: whether the finding shows only where collectives of two async saves crossed on a shared process group.
        halfway: whether the finding shows only where some rank had begun to write, and not every rank finished its writing without a fault.
        in_place: whether the finding shows only where an interrupted save over a checkpoint has added no file of a new name (temporary files aside).
        another_coordinator: whether the finding shows only where another rank has coordinated an earlier save of the same ranks with the same kind of planner.
        sometimes: whether a case that meets all conditions may still not show the finding.
        workloads: patterns of the workload's name, for a finding about a kind of content.
        files: for faults of the disk, patterns of the name of the file that the fault struck.
        escaped: patterns of an error that escaped from a thread of the victim, such as ``thread 'uploader': *``. Where the process executor saves, nothing
            sees such an error, and none is asked for.
        code: methods of storage classes that are to blame, such as ``writer.write_data``, or ``save_planner`` or ``load_planner``. An engine that is known by
            the name of its kin has the finding only if its own class inherits or extends these methods (:mod:`ckpt_harness.engines.kin`).
        unless: names of capabilities. An engine that claims one of them claims that it does not have the finding.
        shipped: whether the entry is part of the register that ships with the harness. Its patterns of names are about engines that ship, too: another engine
            may have a name such as ``async-mine``.
        crashes: for a finding about crashes, patterns of what a crash may leave: kind of save, durability model, and what a reader gets, such as
            ``overwrite * mixture``; then when the crash came: ``in plan``, ``in write``, ``in finish`` (before any rank writes, before the commit, and
            since then), or ``after success``. Such a finding needs no fault of a plan and no signature.
        packages: for a finding about a third-party package, the packages that the finding was recorded for, as ``name==version``.
    """

    id: str
    title: str
    engines: tuple[str, ...]
    versions: tuple[str, ...]
    operations: tuple[str, ...]
    calls: tuple[str, ...]
    sites: tuple[str, ...]
    effects: tuple[str, ...]
    oracles: tuple[str, ...]
    ranks: int
    signatures: tuple[Signature, ...]
    about: str
    source: str
    reproducer: str
    reports: tuple[str, ...]
    replay: str
    newer: str = ""
    background: tuple[str, ...] = ("*",)
    reasons: tuple[str, ...] = ("*",)
    within: tuple[str, ...] = ("*",)
    no_site: str = ""
    crossing: bool = False
    halfway: bool = False
    in_place: bool = False
    another_coordinator: bool = False
    sometimes: bool = False
    crashes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ("*",)
    files: tuple[str, ...] = ("*",)
    escaped: tuple[str, ...] = ("*",)
    code: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    shipped: bool = False

    def explains(self, judgement: Judgement) -> bool:
        """Whether the finding is about such a violation, and about each thing that was wrong.

        Args:
            judgement: what an oracle says.
        """
        wrong = judgement.reasons or (judgement.reason,)
        return judgement.oracle in self.oracles and all(matches(self.reasons, reason) for reason in wrong)
