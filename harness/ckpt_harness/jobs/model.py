"""The reference model of a job: what each place may hold at each moment, which place a restart may resume from, and what each call owes.

The model goes by what ranks *reported*, as the user of an engine has to:

- A save that reported success on every rank owes its checkpoint, in whole, until another save begins at the same place or ``prune`` may remove it.
- A save that did not report success on every rank owes nothing. Its checkpoint may be there all the same, in whole.
- The checkpoint that such a save was to replace is safe with engines only that claim ``atomic overwrite``, or if no rank had begun to write.
- A save whose storage lied to it owes its checkpoint with engines only that claim to notice the lie.
- Of two saves to one place at once, either may be the last.
- What is seen at a place, while no rank runs, replaces what the model knew of the place.
- A call owes nothing exact once ranks of its life may be out of step: see :class:`ckpt_harness.jobs.calls.Trouble`. A restart makes new ranks.

Where several things are possible, the model holds all of them. Not modelled: what a manager stores beside checkpoints, and time.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.calls import Made, Trouble, calls_of
from ckpt_harness.jobs.evidence import Done, JobEvidence, Reading
from ckpt_harness.jobs.held import NOTHING, Held, observed
from ckpt_harness.jobs.operations import Continue, Prune, Save, Wait
from ckpt_harness.jobs.steps import step_of
from ckpt_harness.judging.capabilities import WRITES
from ckpt_harness.judging.expectation import Ending, Expectation


@dataclass(frozen=True)
class Surprise:
    """What was seen at a place contradicts the model.

    Attributes:
        index: the index of the operation after which it was seen.
        place: the place.
        held: what the place had to hold.
        seen: what it held.
        call: the last save to the place.
    """

    index: int
    place: str
    held: Held
    seen: Held
    call: str

    def __str__(self) -> str:
        return f"place {self.place} holds {self.seen}; it must hold {self.held}"


class Model:
    """The reference model of a job.

    Args:
        evidence: what was observed.

    Attributes:
        evidence: the same.
        calls: the engine calls that were made, by name, in the order in which they began.
        surprises: where a place held what it could not hold, in order.
    """

    def __init__(self, evidence: JobEvidence) -> None:
        self.evidence = evidence
        self.calls: dict[str, Made] = calls_of(evidence)
        self.surprises: list[Surprise] = []
        self._now: dict[str, Held] = {}
        self._past: dict[str, list[tuple[int, Held]]] = defaultdict(list)  # place -> (index of an operation, what the place may hold after it)
        self._saves: dict[str, list[Made]] = defaultdict(list)  # place -> the saves to it, in the order in which they began
        self._ends: dict[int, list[Made]] = defaultdict(list)
        self._in_background: dict[int, list[Made]] = defaultdict(list)  # number of a life -> its async saves
        self._of_life: dict[int, list[Made]] = defaultdict(list)  # number of a life -> the calls of its ranks
        self._first: dict[tuple[int, Trouble], int] = {}  # number of a life, and a trouble -> the index of the first call that had it
        for made in self.calls.values():
            if made.in_background:
                self._ends[made.ended].append(made)
                self._in_background[made.done.life].append(made)
            if not made.on_fresh_ranks:
                self._of_life[made.done.life].append(made)
                # An async save that had to succeed troubles its neighbours no more than they trouble it, so that calls beside it are judged too.
                since = made.ended if made.in_background and made.must_succeed else made.begun
                trouble = (made.done.life, self._trouble(made))
                self._first[trouble] = min(since, self._first.get(trouble, since))
        for done in evidence.done:
            if not done.skipped:
                self._follow(done)
            self._look(done)

    def _trouble(self, made: Made) -> Trouble:
        """What a call may have broken. Where a rank goes on alone behind a failure, an error of the next call may pass for one of this call."""
        if self.evidence.managed and not made.returned and self._goes_on_alone(made):
            return Trouble.OPEN
        return made.trouble

    # -- what a place may hold

    def held_before(self, place: str, index: int) -> Held:
        """Returns what a place may hold just before an operation, if the engine makes every claim.

        Args:
            place: the place.
            index: the index of the operation.
        """
        return next((held for after, held in reversed(self._past[place]) if after < index), NOTHING)

    def held_after(self, place: str, index: int) -> Held:
        """Returns what a place may hold just after an operation, if the engine makes every claim; arguments as of :meth:`held_before`."""
        return self.held_before(place, index + 1)

    def may_hold(self, place: str, index: int) -> Held:
        """Returns what a place may hold just before an operation, with the claims that the engine makes; arguments as of :meth:`held_before`."""
        return self.held_before(place, index).for_engine(self.evidence.capabilities)

    def saves_to(self, place: str, index: int) -> list[Made]:
        """Returns the saves to a place that began before an operation; arguments as of :meth:`held_before`."""
        return [made for made in self._saves[place] if made.begun < index]

    def readings(self, place: str, done: Done) -> Sequence[Reading] | None:
        """Returns what fresh ranks got from what lay at a place after an operation; None if nobody read it."""
        seen = (done.seen or {}).get(place)
        return None if seen is None else self.evidence.readings.get(seen.content)

    def seen_after(self, place: str, done: Done) -> Held | None:
        """Returns what a place was seen to hold after an operation; None where nobody could look, or the content was not read."""
        seen = (done.seen or {}).get(place)
        if seen is None or (seen.committed and seen.content not in self.evidence.readings):
            return None
        return observed(self.held_after(place, done.index), seen, self.evidence.readings.get(seen.content), markers=self._markers)

    def left_by(self, made: Made) -> list[Surprise]:
        """Returns what a save has left that contradicts its report, at the first look behind its end."""
        look = next((done.index for done in self.evidence.done[made.ended :] if done.seen is not None), -1)
        return [surprise for surprise in self.surprises if surprise.call == made.call and surprise.index == look and not surprise.seen.broken]

    def was_broken(self, place: str, index: int) -> bool:
        """Whether fresh ranks have read, before an operation, what lay at a place, and found it broken; arguments as of :meth:`held_before`."""
        done = next((done for done in reversed(self.evidence.done[:index]) if done.seen is not None), None)
        if done is None or any(made.begun > done.index for made in self.saves_to(place, index)):
            return False
        held = self.seen_after(place, done)
        return held is not None and held.broken

    # -- what a restart may find

    def may_resume(self, index: int) -> frozenset[str | None]:
        """Returns the places that may hold the newest whole checkpoint just before an operation; None stands for no such place.

        Args:
            index: the index of the operation.
        """
        held = {place: self.may_hold(place, index) for place in self._past}
        busy = {made.done.place for saves in self._in_background.values() for made in saves if made.begun < index <= made.ended}
        certain = {place: self.calls[call] for place, now in held.items() if place not in busy and (call := now.certain) in self.calls}
        if self.evidence.managed:  # a manager may pass over what a save has committed that reported a failure
            certain = {place: made for place, made in certain.items() if made.returned}
        found: set[str | None] = set() if certain else {None}
        for place in held:
            newest = self.newest_save(place, index)
            if newest and not any(self.is_newer(other, newest, index) for where, other in certain.items() if where != place):
                found.add(place)
        return frozenset(found)

    def newest_save(self, place: str, index: int) -> Made | None:
        """Returns the newest save whose checkpoint a place may hold just before an operation, whole or broken; None if it holds none.

        Args:
            place: the place.
            index: the index of the operation.
        """
        held, saves = self.may_hold(place, index), self.saves_to(place, index)
        if not held.broken:
            saves = [made for made in saves if made.call in held.calls]
        return saves[-1] if saves else None

    def places(self) -> tuple[str, ...]:
        """Returns all places that held anything at any moment."""
        return tuple(self._past)

    def is_newer(self, first: Made, second: Made, index: int) -> bool:
        """Whether the checkpoint of one save is certainly newer than that of another.

        With a manager, the save of the later step is newer; a save that went back to an earlier step may count as newer, too. Without a manager, a place
        that was saved again counts as newer, too, and saves that were under way at once may end in either order.

        Args:
            first: a save.
            second: another.
            index: the index of the operation before which they are compared.
        """
        if self.evidence.managed:
            return step_of(first.done.place) > step_of(second.done.place) and first.begun > second.begun
        again = self.saves_to(second.done.place, index)
        return first.begun > second.ended and all(first.begun > made.begun for made in again)

    def under_way(self, index: int) -> bool:
        """Whether an async save is under way, or may be, during an operation.

        Args:
            index: the index of the operation.
        """
        return any(made.begun < index <= made.ended for saves in self._in_background.values() for made in saves)

    # -- what a call owes

    def owes(self, made: Made) -> tuple[Expectation, ...]:
        """Returns how an engine call has to end after the operations before it.

        Args:
            made: the call.
        """
        if self.is_open(made):
            return tuple(_open(expectation, agreement=False) for expectation in made.owed)
        if not made.is_save and not self._must_load(made):
            return tuple(_open(expectation, agreement=expectation.agreement and expectation.ending is not Ending.STALLS) for expectation in made.owed)
        owed = made.owed
        if self.recovers(made):  # the oracle ``recovery`` judges whether it succeeds
            owed = tuple(dataclasses.replace(expectation, ending=Ending.UNDETERMINED) for expectation in owed)
        if self._goes_on_alone(made):
            owed = tuple(expectation if expectation.exact else dataclasses.replace(expectation, agreement=False) for expectation in owed)
        return owed

    def is_open(self, made: Made) -> bool:
        """Whether nobody can say how a call ends, since an earlier call of the same life may have left the ranks out of step."""
        if made.on_fresh_ranks:
            return False
        under_way = [other for other in self._in_background[made.done.life] if other.begun < made.begun <= other.ended]
        if self.evidence.managed and not all(other.must_succeed for other in under_way):
            return True  # a manager may report the failure of an async save at the next call
        return self.may_be_out_of_step(made.done)

    def may_be_out_of_step(self, done: Done) -> bool:
        """Whether an earlier call of the same life may have left the ranks out of step."""
        return self._first.get((done.life, Trouble.OPEN), done.index) < done.index

    def recovers(self, made: Made) -> bool:
        """Whether a call must succeed, with the objects that an earlier call of the same life has failed with.

        Calls that are under way at once may hinder each other, whatever has failed before: that is no question of recovery.
        """
        if made.on_fresh_ranks or not made.must_succeed or self.is_open(made) or not (made.is_save or self._must_load(made)):
            return False
        beside = self._of_life[made.done.life] if made.in_background else self._in_background[made.done.life]
        failed = self._first.get((made.done.life, Trouble.CLEAN), made.begun) < made.begun
        return failed and not any(made.is_beside(other) for other in beside)

    def _must_load(self, made: Made) -> bool:
        """Whether a load must succeed, if nothing strikes it: its place holds a checkpoint of its own kind for certain."""
        places = {made.done.latest.get(rank, made.done.place) if made.done.latest else made.done.place for rank in made.done.ranks}
        if len(places) != 1:
            return False
        (place,) = places
        saved = self.calls.get(self.may_hold(place, made.begun).certain or "") if place else None
        return saved is not None and self._fits(saved, made)

    def _fits(self, saved: Made, load: Made) -> bool:
        """Whether a load asks for what was saved, in the way in which it was saved."""
        ways = {life.number: life.way for life in self.evidence.job.lives}
        alike = getattr(saved.operation, "planner", "") == getattr(load.operation, "planner", "")
        return alike and saved.structure == load.structure and ways.get(saved.done.life) == ways.get(load.done.life)

    def _goes_on_alone(self, made: Made) -> bool:
        """Whether a rank may begin its next call, or may have begun this one, before other ranks have ended the call before."""
        operations = self.evidence.job.operations
        return any(isinstance(operation, Continue) for operation in (*operations[made.begun - 1 : made.begun], *operations[made.begun + 1 : made.begun + 2]))

    # -- following the job

    @property
    def _markers(self) -> bool:
        return Capability.COMMIT_MARKER in self.evidence.capabilities

    def _follow(self, done: Done) -> None:
        """Notes what an operation does to the places."""
        made = self.calls.get(done.call)
        if made is not None and made.is_save:
            self._saves[done.place].append(made)
            self._set(done.index, done.place, self._begun(made))
        for ending in self._ends[done.index]:
            self._set(done.index, ending.done.place, self._ended(ending))
        if self._may_remove(done):
            for place, held in list(self._now.items()):
                if made is None or place != done.place or self._is_behind(place):
                    self._set(done.index, place, held.maybe_removed())

    def _begun(self, made: Made) -> Held:
        """What the place of a save may hold once the save has begun; for a save that does not go on in the background, once it has ended."""
        held = self._now.get(made.done.place, NOTHING)
        if made.in_background:
            return held.tried(made.call, made.lies)
        return self._ended(made)

    def _ended(self, made: Made) -> Held:
        """What the place of a save may hold once the save has ended."""
        held = self._now.get(made.done.place, NOTHING)
        if not made.returned:
            return held.tried(made.call, made.lies) if self._may_have_written(made) else held
        beside = [other for other in self._saves[made.done.place] if other.is_beside(made)]
        return held.one_of_two(made.call, made.lies) if beside else held.saved(made.call, made.lies)

    def _may_have_written(self, made: Made) -> bool:
        single = self.evidence.single.get(made.call)
        return single is None or any(event.site in WRITES and event.operation == made.call for event in single.history)

    def _is_behind(self, place: str) -> bool:
        """Whether a manager has saved a later step than that of a place, and so may take it for old as soon as it is saved."""
        return self.evidence.managed and any(saves and step_of(other) > step_of(place) for other, saves in self._saves.items())

    def _may_remove(self, done: Done) -> bool:
        """Whether older checkpoints may be removed by an operation, or beside it; the oracle ``retention`` judges which."""
        operation = self.evidence.job.repeated[done.index]
        saves = isinstance(operation, (Save, Wait)) or bool(done.call and self.calls[done.call].is_save) or bool(self._ends[done.index])
        return self.evidence.managed or isinstance(operation, Prune) or (Capability.RETENTION in self.evidence.capabilities and saves)

    def _look(self, done: Done) -> None:
        """Compares what was seen at each place with what it may hold, and goes on from what was seen."""
        for place, seen in (done.seen or {}).items():
            held = self._now.get(place, NOTHING)
            found = observed(held, seen, self.evidence.readings.get(seen.content), markers=self._markers)
            if held.excludes(found):
                saves = self._saves[place]
                self.surprises.append(Surprise(done.index, place, held, found, saves[-1].call if saves else ""))
            for made in self._saves[place]:
                if made.in_background and made.begun <= done.index < made.ended:
                    found = found.tried(made.call, made.lies)  # what was seen may be gone a moment later
            if place in self._now or found != NOTHING:
                self._set(done.index, place, found)

    def _set(self, index: int, place: str, held: Held) -> None:
        if self._now.get(place) == held:
            return
        self._now[place] = held
        self._past[place].append((index, held))


def _open(expectation: Expectation, *, agreement: bool) -> Expectation:
    """What an operation owes that may end in any way."""
    return dataclasses.replace(expectation, ending=Ending.UNDETERMINED, step="", failures={}, must_fire=frozenset(), agreement=agreement)
