"""What was observed of each engine call of a job that ran: how it ended, what lay at its place before and after, and which save a load owes."""

from __future__ import annotations

from collections.abc import Mapping

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.evidence import Reading, Seen, whole_calls
from ckpt_harness.jobs.records import Record
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.judging.evidence import Outcome


class Observed:
    """Answers questions about the engine calls of a job.

    Args:
        run: the job, which has ended.
    """

    def __init__(self, run: JobRun) -> None:
        self._bound = run.bound
        self._places = run.places
        self._records = run.records
        self._background = run.background

    def was_begun(self, call: BoundCall) -> bool:
        """Whether some rank has begun a call."""
        return self._records[call.index].prepared

    def record(self, call: BoundCall) -> Record:
        """Returns what was noted of a call."""
        return self._records[call.index]

    # -- how calls ended

    def outcomes(self, call: BoundCall) -> dict[int, Outcome]:
        """Returns how a call ended on each rank; of an async save, how the upload ended."""
        if call.index in self._background:
            return {rank: ending.outcome for rank, ending in sorted(self._background[call.index].endings.items())}
        return {rank: outcome for rank, outcome in sorted(self._records[call.index].outcomes.items()) if rank in call.ranks}

    def ended_alike(self, call: BoundCall) -> bool:
        """Whether a call has ended on all ranks, alike and in time."""
        outcomes = self.outcomes(call)
        kinds = {outcome.kind for outcome in outcomes.values()}
        in_time = len(call.ranks) == 1 or all(outcome.finished_at < GROUP_TIMEOUT for outcome in outcomes.values())
        return kinds in ({"returned"}, {"raised"}) and set(outcomes) == set(call.ranks) and in_time

    def futures(self, call: BoundCall) -> dict[int, Mapping[str, Outcome]]:
        """Returns how the futures of an async save ended on each rank."""
        endings = self._background[call.index].endings
        return {rank: ending.futures for rank, ending in endings.items() if ending.futures}

    def in_background(self, call: BoundCall) -> bool:
        """Whether a call is an async save that was begun."""
        return call.index in self._background

    # -- what loads owe

    def owed_by(self, load: BoundCall) -> BoundCall | None:
        """Returns the save whose values a load owes; None if the place holds no whole checkpoint, or nobody knows what it holds."""
        record = self._records[load.index]
        if record.place is None or record.before is None:
            return None
        seen = record.before.get(record.place, Seen())
        whole = whole_calls(self._readings(seen))
        if len(whole) != 1 or not seen.committed:
            return None
        return next(call for call in self._bound.calls.values() if call.call == whole[0])

    def is_loadable(self, load: BoundCall) -> bool:
        """Whether a load finds a whole checkpoint of the structure that it asks for."""
        owed = self.owed_by(load)
        return owed is not None and owed.structure == load.structure.in_whole

    def loaded(self, call: BoundCall) -> dict[int, tuple[str, ...]] | None:
        """Rank -> how what it holds after a load differs from what it is owed; None if nobody knows what the load owes."""
        if call.case.saves:
            return None
        owed = self.owed_by(call)
        if owed is None or owed.structure != call.structure.in_whole:
            return None
        return {rank: loaded.differences.get(owed.call, ("nothing of what it asked for",)) for rank, loaded in self._records[call.index].loaded.items()}

    # -- what lay at the places of saves

    def before(self, save: BoundCall) -> Seen:
        """Returns what a save found at its place."""
        record = self._records[save.index]
        return Seen() if record.before is None or record.place is None else record.before.get(record.place, Seen())

    def old(self, save: BoundCall) -> str | None:
        """Returns the save whose whole checkpoint a save found at its place; None if it found none."""
        before = self.before(save)
        whole = whole_calls(self._readings(before))
        return whole[0] if before.committed and len(whole) == 1 else None

    def overwrites(self, save: BoundCall) -> bool:
        """Whether a save found a checkpoint at its place, whole or broken. Where nobody could look, the save before it at this place has to tell."""
        if self._records[save.index].before is not None:
            return self.before(save).committed
        earlier = self._earlier(save)
        return bool(earlier) and all(outcome.kind == "returned" for outcome in self.outcomes(earlier[-1]).values())

    def replaces_more_ranks(self, save: BoundCall) -> bool:
        """Whether more ranks than those of a save have saved to its place before, so that files of theirs may stay as they are."""
        return any(len(other.ranks) > len(save.ranks) for other in self._earlier(save))

    def _earlier(self, save: BoundCall) -> list[BoundCall]:
        """The saves to the place of a save that began before it."""
        return [other for other in self._bound.calls.values() if other.index < save.index and self.was_begun(other) and _same_place(other, save)]

    def after(self, save: BoundCall) -> Mapping[str, Seen]:
        """Returns what was seen at all places once a save had ended: at the look behind it or, of an async save, behind the wait for it."""
        record = self._look_behind(save)
        return {} if record is None or record.after is None else record.after

    def readings_after(self, save: BoundCall) -> tuple[Reading, ...]:
        """Returns what fresh ranks got from the place of a save once it had ended."""
        return self._readings(self.after(save).get(self._records[save.index].place or "", Seen()))

    def is_in_view(self, save: BoundCall) -> bool:
        """Whether somebody looked at the place of a save between this save and the next, and between this save and the one before."""
        if self._records[save.index].before is None and self._earlier(save):
            return False
        look = self._look_behind(save)
        last = len(self._records) if look is None else look.index + 1
        between = [self._bound.calls[other] for other in range(save.index + 1, last) if other in self._bound.calls]
        return not any(_same_place(other, save) for other in between if self.was_begun(other))

    def _look_behind(self, save: BoundCall) -> Record | None:
        """The first operation, from the end of a save on, behind which somebody looked."""
        index = self._background[save.index].after if save.index in self._background else save.index
        return next((record for record in self._records[index:] if record.after is not None), None)

    def _readings(self, seen: Seen) -> tuple[Reading, ...]:
        return self._places.readings.get(seen.content, ())


def _same_place(other: BoundCall, call: BoundCall) -> bool:
    """Whether another call saves to the place of a save."""
    return other.case.saves and other.operation.place == call.operation.place
