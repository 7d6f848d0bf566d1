"""A drill from beginning to end: two undisturbed runs, then every chosen point with every effect, each followed by starts until one ends well.

For the death of the whole job no run is needed: in the second undisturbed run, all processes are stopped at each point, the state directory is copied,
and they go on. The copies are what such a death would have left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ckpt_harness.drill import oracles
from ckpt_harness.drill.checkpoints import AskedCheckpoints, DcpCheckpoints, Whole, in_order, without_numbers
from ckpt_harness.drill.evidence import Checkpoint, Deaths, Point, Reference, Start, Try
from ckpt_harness.drill.inside.agent import shown
from ckpt_harness.drill.launchers.base import Launcher
from ckpt_harness.drill.places import copy_tree, digest, files_of, remove_tree
from ckpt_harness.drill.points import Choice, choose
from ckpt_harness.drill.results import differences
from ckpt_harness.drill.settings import ERRORS, MINIMUM, Settings
from ckpt_harness.drill.starting import Place, Starter
from ckpt_harness.drill.watch import Respond, Watch, always_go
from ckpt_harness.errors import EngineError, UsageError, cut

Progress = Callable[[int, int], None]
_DEATHS = 10
"""Deaths in a row after which debris is compared with that of two."""
_LOSING = ("file.remove", "file.rename", "file.truncate")
"""Operations by which a checkpoint may be lost."""
_ATTEMPTS = 3
"""Runs in which a point may come: ranks that race for a file need not do the same twice."""
_MOST_DEBRIS = 3
"""Kinds of debris for which deaths are repeated."""


@dataclass(frozen=True)
class Outcome:
    """What the oracles say of one effect at one point.

    Attributes:
        evidence: what was seen.
        reasons: oracle -> the reasons why its claim is broken; None where it says nothing.
        reached: whether the point was reached.
    """

    evidence: Try
    reasons: dict[str, oracles.Reasons | None]
    reached: bool = True

    @property
    def violated(self) -> bool:
        """Whether any claim is broken."""
        return any(self.reasons.values())


@dataclass
class Drilled:
    """What a drill has found so far.

    Attributes:
        reference: the undisturbed run.
        choice: the points that are tried, and what was left out.
        outcomes: what came of them.
        debris: deaths in a row that left more and more.
        unseen: what the drill could not see.
        runs: how often the command was started.
        done: whether all was tried.
    """

    reference: Reference
    choice: Choice
    outcomes: list[Outcome] = field(default_factory=list)
    debris: list[tuple[Deaths, oracles.Reasons]] = field(default_factory=list)
    unseen: tuple[str, ...] = ()
    runs: int = 0
    done: bool = False

    @property
    def violated(self) -> list[Outcome]:
        """The outcomes that break a claim."""
        return [outcome for outcome in self.outcomes if outcome.violated]

    @property
    def unreached(self) -> list[Outcome]:
        """The outcomes whose point was not reached."""
        return [outcome for outcome in self.outcomes if not outcome.reached]


@dataclass(frozen=True)
class _Shot:
    """The state directory at a point of the undisturbed run."""

    point: Point
    tree: Path
    digest: str
    checkpoints: tuple[Checkpoint, ...] = ()
    had_whole: bool = False


@dataclass(frozen=True)
class _Aftermath:
    """What came of starts after a strike."""

    starts: tuple[Start, ...]
    differences: tuple[str, ...] | None
    files: tuple[str, ...]
    lost: tuple[str, ...] = ()


class _Loss:
    """Looks, wherever a start removes or replaces something, whether a whole checkpoint is left.

    Args:
        whole: knows the checkpoints.
        state: the state directory of the start.

    Attributes:
        at: the points after which none was left, although there had been one.
    """

    def __init__(self, whole: Whole, state: Path) -> None:
        self.at: list[str] = []
        self._whole = whole
        self._state = state
        self._had_whole = self._has_whole()

    def look(self, point: Point, watch: Watch) -> str:
        """Looks at a point, while the ranks are stopped: what is looked at must not change meanwhile."""
        if point.moment == "after" and point.site in _LOSING:
            watch.running.freeze()
            has_whole = self._has_whole()
            watch.running.thaw()
            if self._had_whole and not has_whole:
                self.at.append(point.name)
            self._had_whole = self._had_whole or has_whole
        return "go"

    def _has_whole(self) -> bool:
        return any(checkpoint.whole for checkpoint in self._whole.look(self._state))


class Drill:
    """Runs a drill.

    Args:
        settings: the drill.
        launcher: starts the command.
        root: an empty directory for the copies.
    """

    def __init__(self, settings: Settings, launcher: Launcher, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._whole: Whole = DcpCheckpoints() if settings.whole is None else AskedCheckpoints(settings.whole)
        self._starter = Starter(settings, launcher, self._whole, root)
        self._initial = root / "initial"
        copy_tree(Path(settings.state), self._initial)
        self._aftermaths: dict[str, _Aftermath] = {}
        self._runs = 0
        self._limit = float("inf")
        self._final = ""
        self._final_files: tuple[str, ...] = ()
        self._shots: dict[str, _Shot] = {}
        self._expected: Path | None = None

    # -- undisturbed

    def begin(self) -> Drilled:
        """Runs the command twice undisturbed, and chooses the points.

        Raises:
            EngineError: the command fails undisturbed, or is not deterministic, or nothing of it can be seen.
        """
        place = self._starter.place(self._initial)
        first = self._start(place, shapes=True)
        self._check(first)
        self._limit = max(MINIMUM, self._settings.patience * first.seconds)
        second_place = self._starter.place(self._initial)
        shots, second = self._photograph(second_place, first)
        choice = self._chosen(first.points, shots)
        whole = in_order(self._whole.look(place.state))
        self._final = final = whole[0].name if whole else ""
        self._expected = place.result if place.result is not None else place.state / final if final else None
        self._compare(place, second_place, final)
        names = {checkpoint.name for shot in shots.values() for checkpoint in shot.checkpoints if checkpoint.whole} | {found.name for found in whole}
        self._shots = shots
        self._final_files = _files(place.state)
        reference = Reference(
            seconds=first.seconds,
            points=first.points,
            ranks=tuple(sorted({point.role for point in first.points if point.role.isdecimal()}, key=int)),
            final=final,
            whole_once=tuple(sorted(names)),
            knows_checkpoints=bool(names),
        )
        unseen = tuple(dict.fromkeys((*first.unseen, *second.unseen)))
        return Drilled(reference, choice, unseen=unseen, runs=self._runs)

    def _start(self, place: Place, respond: Respond = always_go, *, again: bool = False, shapes: bool = False) -> Start:
        self._runs += 1
        return self._starter.start(place, respond, limit=self._limit, again=again, shapes=shapes)

    def _check(self, start: Start) -> None:
        """Refuses a command that cannot be drilled."""
        if not start.ended_well:
            lines = start.printed.splitlines()
            said = f": {cut(lines[-1].strip(), 160)}" if lines else ""
            raise EngineError(f"the command fails undisturbed, with status {start.status}{said}")
        if "any Python process of the command" in start.unseen:
            raise EngineError("no Python process of the command reported anything: it drops PYTHONPATH, or is no Python program")
        if not start.points:
            raise EngineError(f"the command changes nothing in {self._settings.state} that the drill can see, so that there are no points")

    def _chosen(self, points: tuple[Point, ...], shots: dict[str, _Shot]) -> Choice:
        """The points to try: of those that come in both undisturbed runs. Ranks that race for a file need not do the same twice."""
        settings = self._settings
        wanted = self._wanted(points)
        always = [point for point in points if point.name in shots or point.name not in wanted]
        several = len({point.role for point in points if point.role.isdecimal()}) > 1
        fit = [point for point in always if any(_applies(effect, point, several=several) for effect in settings.effects)]
        named = {point.name for point in choose(points, every_equal=True, only=settings.only).points}
        if not any(point.name in named for point in fit):
            raise UsageError(
                f"{', '.join(settings.effects)} cannot strike at these points: an error strikes before an operation; the death of a rank needs several ranks"
            )
        choice = choose(
            fit, every_equal=settings.every_equal, every=settings.every, sample=settings.sample, seed=settings.seed, only=settings.only
        )
        chosen = tuple(point for point in choice.points if point.name in shots)
        missing = len(points) - len(always) + len(choice.points) - len(chosen)
        more = {"not in every undisturbed run": missing, "where no effect of --effects can strike": len(always) - len(fit)}
        return Choice(chosen, {**choice.left_out, **{why: count for why, count in more.items() if count}})

    def _wanted(self, points: tuple[Point, ...]) -> set[str]:
        """The names of points at which the state directory is copied: those that may be tried, and one of each kind, to know what was there before."""
        tried = choose(points, every_equal=self._settings.every_equal, only=self._settings.only)
        return {point.name for point in (*tried.points, *choose(points).points)}

    def _photograph(self, place: Place, first: Start) -> tuple[dict[str, _Shot], Start]:
        """Runs the command once more, and copies the state directory at each point of interest."""
        wanted = self._wanted(first.points)
        taken: list[_Shot] = []
        trees: dict[str, Path] = {}

        def take(point: Point, watch: Watch) -> str:
            if point.name in wanted:
                wanted.discard(point.name)
                watch.running.freeze()
                tree = self._root / f"shot-{len(taken)}"
                copy_tree(place.state, tree)
                watch.running.thaw()
                _cut_to_half(tree, point)
                held = digest(tree)
                if held in trees:
                    remove_tree(tree)
                taken.append(_Shot(point, trees.setdefault(held, tree), held))
            return "go"

        start = self._start(place, take)
        looked: dict[str, tuple[Checkpoint, ...]] = {}
        shots: dict[str, _Shot] = {}
        had_whole = False
        self._whole.look(place.state)  # so that the kinds of checkpoints are known before the first is looked at
        for shot in taken:
            if shot.digest not in looked:
                looked[shot.digest] = self._whole.look(shot.tree)
            found = looked[shot.digest]
            shots[shot.point.name] = replace(shot, checkpoints=found, had_whole=had_whole)
            had_whole = had_whole or any(checkpoint.whole for checkpoint in found)
        return shots, start

    def _compare(self, first: Place, second: Place, final: str) -> None:
        """Refuses a command whose undisturbed runs differ."""
        if self._expected is None:
            return
        if not self._expected.exists():
            raise EngineError(f"the command does not write --result {self._settings.result}")
        found = second.result if second.result is not None else second.state / final
        assert found is not None
        different = differences(self._expected, found, self._settings.tolerance)
        if different:
            raise EngineError(f"the command is not deterministic: two undisturbed runs differ: {different[0]}")

    # -- points

    def pairs(self, choice: Choice, reference: Reference) -> list[tuple[Point, str]]:
        """What is tried: points with effects, in order."""
        return [
            (point, effect)
            for point in choice.points
            for effect in self._settings.effects
            if _applies(effect, point, several=len(reference.ranks) > 1)
        ]

    def run(self, drilled: Drilled, progress: Progress) -> Iterator[Outcome]:
        """Tries every chosen point with every effect, and repeats deaths that leave something behind.

        Args:
            drilled: what :meth:`begin` returned; outcomes are added as they come.
            progress: is called after each of them.
        """
        pairs = self.pairs(drilled.choice, drilled.reference)
        for number, (point, effect) in enumerate(pairs):
            progress(number, len(pairs))
            outcome = self._try(point, effect, drilled.reference)
            drilled.outcomes.append(outcome)
            drilled.runs = self._runs
            yield outcome
        progress(len(pairs), len(pairs))
        if "kill-job" in self._settings.effects:
            self._repeat_deaths(drilled)
        drilled.runs = self._runs
        drilled.done = True

    def _try(self, point: Point, effect: str, reference: Reference) -> Outcome:
        shot = self._shots.get(point.name)
        if effect == "kill-job":
            if shot is None:
                return Outcome(self._evidence(point, effect, reference, None, False, (), None), {}, reached=False)
            aftermath = self._start_again(shot.tree, shot.digest)
            return self._judge(self._evidence(point, effect, reference, None, shot.had_whole, shot.checkpoints, aftermath))
        for _ in range(_ATTEMPTS):
            place = self._starter.place(self._initial)
            struck = self._strike(place, point, effect)
            if struck.struck:
                break
            remove_tree(place.root)
        left = self._whole.look(place.state)
        had_whole = shot is not None and shot.had_whole
        if not struck.struck:
            return Outcome(self._evidence(point, effect, reference, struck, had_whole, left, None), {}, reached=False)
        if effect in ERRORS and struck.ended_well:
            aftermath = _Aftermath((), self._differences(place), _files(place.state))
        else:
            aftermath = self._start_again(place.state, digest(place.state))
        remove_tree(place.root)
        return self._judge(self._evidence(point, effect, reference, struck, had_whole, left, aftermath))

    def _strike(self, place: Place, point: Point, effect: str) -> Start:
        def strike(here: Point, watch: Watch) -> str:
            if here.name != point.name or watch.struck:
                return "go"
            _cut_to_half(place.state, here)
            return watch.strike(effect)

        return self._start(place, strike)

    def _start_again(self, state: Path, held: str) -> _Aftermath:
        """Starts the command on a copy until it ends well. The same content is tried once."""
        if held not in self._aftermaths:
            place = self._starter.place(state)
            starts: list[Start] = []
            loss = _Loss(self._whole, place.state)
            while len(starts) < self._settings.restarts and not (starts and starts[-1].ended_well):
                starts.append(self._start(place, loss.look, again=True))
            well = starts[-1].ended_well
            found = self._differences(place) if well else None
            self._aftermaths[held] = _Aftermath(tuple(starts), found, _files(place.state) if well else (), tuple(loss.at))
            remove_tree(place.root)
        return self._aftermaths[held]

    def _differences(self, place: Place) -> tuple[str, ...] | None:
        """How the result of an end that looks well differs from the undisturbed one."""
        if self._expected is None:
            return None
        if place.result is not None:
            return differences(self._expected, place.result, self._settings.tolerance)
        whole = in_order(self._whole.look(place.state))
        newest = whole[0].name if whole else ""
        if newest != self._final:
            return (f"the newest whole checkpoint is {newest or 'none'} instead of {self._final}",)
        return differences(self._expected, place.state / newest, self._settings.tolerance)

    def _evidence(
        self,
        point: Point,
        effect: str,
        reference: Reference,
        struck: Start | None,
        had_whole: bool,
        left: tuple[Checkpoint, ...],
        aftermath: _Aftermath | None,
    ) -> Try:
        return Try(
            point=point,
            effect=effect,
            reference=reference,
            struck=struck,
            had_whole=had_whole,
            left=left,
            starts=aftermath.starts if aftermath else (),
            limit=self._limit,
            grace=self._settings.grace,
            differences=aftermath.differences if aftermath else None,
            lost=aftermath.lost if aftermath else (),
        )

    def _judge(self, evidence: Try) -> Outcome:
        return Outcome(evidence, dict(oracles.judged(evidence, self._whole.name_of)))

    # -- debris

    def _repeat_deaths(self, drilled: Drilled) -> None:
        """Repeats a death that leaves something behind in the end: one point for each kind of what is left."""
        kinds: dict[tuple[str, ...], Point] = {}
        for outcome in drilled.outcomes:
            shot = self._shots.get(outcome.evidence.point.name)
            if outcome.evidence.effect == "kill-job" and shot is not None and shot.digest in self._aftermaths:
                more = set(self._aftermaths[shot.digest].files) - set(self._final_files)
                if more:
                    kinds.setdefault(tuple(sorted({without_numbers(name) for name in more})), outcome.evidence.point)
        for point in list(kinds.values())[:_MOST_DEBRIS]:
            deaths = self._deaths(point)
            if deaths is not None:
                drilled.debris.append((deaths, oracles.debris(deaths)))

    def _deaths(self, point: Point) -> Deaths | None:
        """Lets the job die ten times in a row. None if it comes to its end, or does not end well afterwards."""
        place = self._starter.place(self._initial)
        after: dict[int, tuple[str, ...]] = {}

        def strike(here: Point, watch: Watch) -> str:
            return watch.strike("kill-job") if not watch.struck and _alike(here, point) else "go"

        for number in range(1, _DEATHS + 1):
            if not self._start(place, strike, again=number > 1).struck:
                return None
            if number in (2, _DEATHS):
                end = self._starter.place(place.state)
                if not self._start(end, again=True).ended_well:
                    return None
                after[number] = _files(end.state)
                remove_tree(end.root)
        return Deaths(point, after[2], after[_DEATHS])


def _applies(effect: str, point: Point, *, several: bool) -> bool:
    """Whether an effect makes sense at a point."""
    if effect == "kill-job":
        return True
    if not point.role.isdecimal():
        return False
    if effect == "kill-rank":
        return several  # the death of the only rank is that of the job
    if effect in ERRORS:
        return point.moment == "before"
    return point.moment != "half"


def _alike(here: Point, point: Point) -> bool:
    """Whether two points are the same moment of a save, of whatever checkpoint."""
    return (here.role, here.site, here.moment, without_numbers(shown(here.path))) == (
        point.role,
        point.site,
        point.moment,
        without_numbers(shown(point.path)),
    )


def _cut_to_half(state: Path, point: Point) -> None:
    """Leaves a prefix of the file that is being written."""
    file = state / point.path
    if point.moment == "half" and file.is_file():
        times = file.stat()
        with file.open("r+b") as opened:
            opened.truncate(times.st_size // 2)


def _files(state: Path) -> tuple[str, ...]:
    """The files of a state directory, by name."""
    return tuple(sorted(path.relative_to(state).as_posix() for path in files_of(state)))
