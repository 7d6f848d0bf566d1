"""What a drill has seen, as plain data: all that the oracles know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Point:
    """A moment of a process of the job at which something can happen.

    Attributes:
        name: its name, such as ``file.rename(latest)@0#3!after``.
        role: the process: a rank such as ``0``, or ``0child``.
        site: the operation, such as ``file.rename`` or ``writer.finish``.
        path: the file, relative to the state directory; "" at sites of DCP.
        moment: ``before``, ``opened``, ``half`` or ``after``.
        shape: what the state directory looked like, with numbers left out; see :func:`ckpt_harness.drill.points.shape_of`.
    """

    name: str
    role: str
    site: str
    path: str
    moment: str
    shape: str = ""


@dataclass(frozen=True)
class Read:
    """A file that a process opened to read.

    Attributes:
        role: the process.
        path: the file, relative to the state directory.
        after: how many points of the start came before.
    """

    role: str
    path: str
    after: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in the state directory, whole or not.

    Attributes:
        name: its path, relative to the state directory.
        whole: whether it is complete.
        time: when its newest file was changed, in nanoseconds.
        why_not: what is missing, if it is not whole.
    """

    name: str
    whole: bool
    time: int = 0
    why_not: str = ""


@dataclass(frozen=True)
class Start:
    """One start of the command, until its end.

    Attributes:
        status: the exit status of the command, negative for a signal; None if the drill ended it.
        seconds: how long it ran.
        late: whether the drill had to end it: after a death, or because it ran too long.
        struck: whether the drill let something happen in it.
        points: what its ranks did, in order.
        reads: what its processes read, in order.
        raised: rank -> the class of the exception that ended it, "" if none did; a rank that was killed is missing.
        waits: rank -> where it waited when the drill ended it.
        unobserved: async saves that failed while nobody looked at their future, as ``rank 0: save[2]``.
        found: the checkpoints in the state directory when the start began.
        printed: the end of what it printed.
        unseen: what could not be seen.
    """

    status: int | None
    seconds: float = 0.0
    late: bool = False
    struck: bool = False
    points: tuple[Point, ...] = ()
    reads: tuple[Read, ...] = ()
    raised: Mapping[str, str] = field(default_factory=dict)
    waits: Mapping[str, str] = field(default_factory=dict)
    unobserved: tuple[str, ...] = ()
    found: tuple[Checkpoint, ...] = ()
    printed: str = ""
    unseen: tuple[str, ...] = ()

    @property
    def waiting(self) -> str:
        """Where its ranks waited when the drill ended it, in words; "" if nobody knows."""
        return "; ".join(f"rank {rank} waited {place}" for rank, place in self.waits.items())

    @property
    def ended_well(self) -> bool:
        """Whether the command ended by itself, with status 0."""
        return self.status == 0 and not self.late


@dataclass(frozen=True)
class Reference:
    """What the undisturbed run did.

    Attributes:
        seconds: how long it took.
        points: what its ranks did, in order.
        ranks: the ranks that reported something.
        final: the newest whole checkpoint that it left, by name; "" if none is known.
        whole_once: names of the checkpoints that were whole at some point.
        knows_checkpoints: whether anything says what a whole checkpoint is.
    """

    seconds: float
    points: tuple[Point, ...] = ()
    ranks: tuple[str, ...] = ()
    final: str = ""
    whole_once: tuple[str, ...] = ()
    knows_checkpoints: bool = True


@dataclass(frozen=True)
class Try:
    """One effect at one point, and what came of it.

    Attributes:
        point: the point.
        effect: what happened there.
        reference: the undisturbed run.
        struck: the start in which it happened; None if it is the undisturbed run itself, whose state was copied at the point.
        had_whole: whether a whole checkpoint was there before.
        left: the checkpoints that were there after the death, or after the end of the struck start.
        starts: the starts after it.
        limit: seconds that each may take.
        grace: seconds that survivors have.
        differences: how the result differs from that of the undisturbed run; None if no start ended well.
        lost: the points of the starts after which no whole checkpoint was left, although there had been one.
    """

    point: Point
    effect: str
    reference: Reference
    struck: Start | None
    had_whole: bool
    left: tuple[Checkpoint, ...]
    starts: tuple[Start, ...]
    limit: float
    grace: float
    differences: tuple[str, ...] | None
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deaths:
    """The same death several times in a row, and what it leaves.

    Attributes:
        point: where.
        after_two: the files in the state directory after two deaths and an undisturbed start.
        after_ten: the same after ten deaths.
    """

    point: Point
    after_two: tuple[str, ...]
    after_ten: tuple[str, ...]
