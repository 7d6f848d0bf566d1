"""What is owed after a strike, each claim a pure function over :class:`~ckpt_harness.drill.evidence.Try`.

An oracle returns the reasons why its claim is broken, none if it holds; None where the evidence says nothing about it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from ckpt_harness.drill.checkpoints import in_order, version, without_numbers
from ckpt_harness.drill.evidence import Checkpoint, Deaths, Point, Reference, Start, Try
from ckpt_harness.drill.inside.agent import shown
from ckpt_harness.errors import cut

Reasons = tuple[str, ...]
NameOf = Callable[[str], str]
"""The checkpoint that a file belongs to; "" if it belongs to none."""

DEATHS = ("kill-job", "kill-rank", "term", "hang")
"""Effects after which the job has to be started again."""


def restarts(evidence: Try) -> Reasons | None:
    """The command, started again, ends well: without a crash loop, and in time."""
    if not evidence.starts:
        return None
    last = evidence.starts[-1]
    if last.ended_well:
        return ()
    if last.late:
        return (f"start {len(evidence.starts)} had not ended after {evidence.limit:.0f} s{_waiting(last)}",)
    number = len(evidence.starts)
    return (f"{number} start{'s' * (number != 1)} in a row ended with status {last.status}{_said(last)}",)


def _waiting(start: Start) -> str:
    return f": {start.waiting}" if start.waiting else ""


def _said(start: Start) -> str:
    raised = sorted({error for error in start.raised.values() if error})
    lines = start.printed.splitlines()
    last = next((line for line in reversed(lines) if any(f"{error}" in line for error in raised)), lines[-1] if lines else "")
    return f": {cut(last.strip(), 120)}" if last.strip() else ""


def resume(evidence: Try, name_of: NameOf) -> Reasons | None:
    """Each start goes on from the newest checkpoint that was whole: not an older one, not one that is not whole, and all ranks and parts from the same."""
    if not evidence.reference.knows_checkpoints or not evidence.starts:
        return None
    found: list[str] = []
    for number, start in enumerate(evidence.starts, 1):
        reasons = _resumed_wrongly(evidence, start, name_of, first=number == 1)
        found += [reason if number == 1 else f"start {number}: {reason}" for reason in reasons]
    return tuple(found)


def _resumed_wrongly(evidence: Try, start: Start, name_of: NameOf, *, first: bool) -> Iterable[str]:
    loaded = {role: parts for role in evidence.reference.ranks if (parts := loaded_parts(start, role, name_of))}
    whole = in_order(start.found)
    owed = _owed(evidence, whole, first=first)
    if not loaded:
        settles = len(whole) > 1 or not first or (whole and version(whole[0].name) in settled(evidence.reference, evidence.point))
        if whole and settles and start.ended_well and not _is_done(evidence.reference, whole):
            yield f"nothing was loaded, although {whole[0].name} was whole"
        return
    named = {version(found.name): found.name for found in reversed(start.found)}
    for role, parts in loaded.items():
        if len(parts) > 1:
            yield f"rank {role} loaded parts of {_all(parts, named)}"
    versions = set().union(*loaded.values())
    if len(versions) > 1 and all(len(parts) == 1 for parts in loaded.values()):
        yield "ranks loaded different checkpoints: " + ", ".join(f"rank {role} {_all(parts, named)}" for role, parts in loaded.items())
    for loads in sorted(versions):
        torn = next((found for found in start.found if version(found.name) == loads and not found.whole), None)
        if torn is not None:
            yield f"{torn.name} was loaded, which was not whole: {torn.why_not}"
        elif owed and loads not in owed:
            yield f"{_all([loads], named)} was loaded, although {whole[0].name} was newer and whole"


def _all(versions: Iterable[str], named: Mapping[str, str]) -> str:
    """The checkpoints of some versions, by name."""
    return " and ".join(named.get(found, found) for found in sorted(versions))


def _is_done(reference: Reference, whole: list[Checkpoint]) -> bool:
    """Whether the last checkpoint of the undisturbed run is there: a trainer may see that nothing is left to do."""
    return bool(reference.final) and whole[0].name == reference.final


def _owed(evidence: Try, whole: list[Checkpoint], *, first: bool) -> set[str]:
    """The versions that a start may go on from: the newest whole one; and the one before, while the save of the newest had not come to its end.

    Between the commit of a checkpoint and the last change that belongs to its save, such as a pointer to it, either of both is right.
    """
    versions = list(dict.fromkeys(version(checkpoint.name) for checkpoint in whole))
    if len(versions) < 2 or (first and versions[0] in settled(evidence.reference, evidence.point)):
        return set(versions[:1])
    return set(versions[:2])


def settled(reference: Reference, point: Point) -> set[str]:
    """The versions whose save had come to its end at a point: in the undisturbed run, a newer version had been touched.

    Args:
        reference: the undisturbed run.
        point: the point.
    """
    known = {version(name) for name in reference.whole_once}
    touched: list[str] = []
    for seen in reference.points:
        touches = _version_of(seen.path, known)
        if touches and touches not in touched:
            touched.append(touches)
        if seen.name == point.name:
            break
    return set(touched[:-1])


def _version_of(path: str, known: set[str]) -> str:
    """The version that a file belongs to, of the known versions; "" if none."""
    for length in range(1, path.count("/") + 2):
        prefix = "/".join(path.split("/")[:length])
        if version(prefix) in known:
            return version(prefix)
    return ""


def loaded_parts(start: Start, role: str, name_of: NameOf) -> set[str]:
    """The versions from which a rank loaded its parts before it saved anything.

    A file that is read in several checkpoints is looked at, as by a search for the newest: of such files the last read counts, and only where a rank
    reads no others.

    Args:
        start: the start.
        role: the rank.
        name_of: the checkpoint that a file belongs to.
    """
    saved = next((number for number, point in enumerate(start.points) if point.role == role and _saves(point, name_of)), len(start.points))
    reads = [(name, read.path[len(name) :]) for read in start.reads if read.role == role and read.after <= saved and (name := name_of(read.path))]
    data = [(name, inside) for name, inside in reads if inside != "/.metadata"]
    parts: dict[str, list[str]] = defaultdict(list)
    for name, inside in data or reads:  # metadata is read for a look; data, to load
        parts[without_numbers(inside)].append(version(name))
    loaded = {versions[0] for versions in parts.values() if len(set(versions)) == 1}
    if loaded or not parts:
        return loaded
    return {list(parts.values())[-1][-1]}


def _saves(point: Point, name_of: NameOf) -> bool:
    """Whether a point changes a checkpoint."""
    if point.site.startswith("writer."):
        return True
    return point.moment in ("opened", "after") and point.site not in ("file.mkdir", "file.remove", "file.rmdir") and bool(name_of(point.path))


def equal(evidence: Try) -> Reasons | None:
    """What the job produces in the end is what it produces undisturbed."""
    return evidence.differences


def retention(evidence: Try) -> Reasons | None:
    """Once there is a whole checkpoint, there is one at every point; also while the command is started again."""
    if not evidence.reference.knows_checkpoints:
        return None
    lost = tuple(f"started again, no whole checkpoint was left after {name}" for name in evidence.lost[:1])
    if not evidence.had_whole:
        return lost or None
    if any(checkpoint.whole for checkpoint in evidence.left):
        return lost
    left = "; ".join(f"{checkpoint.name}: {checkpoint.why_not}" for checkpoint in evidence.left[:3])
    return (f"no whole checkpoint was there ({left or 'no checkpoint at all'}), although there had been one", *lost)


def removed_the_newest(reference: Reference) -> str:
    """The newest checkpoint that the undisturbed run removed although it kept an older one; "" if there is none.

    That is no breach of a claim: a trainer may keep its best checkpoint, which need not be the newest.

    Args:
        reference: the undisturbed run.
    """
    newest = in_order(tuple(Checkpoint(name, whole=True) for name in reference.whole_once))
    if not newest or not reference.final or newest[0].name == reference.final or not any(letter.isdigit() for letter in newest[0].name):
        return ""
    return newest[0].name


def debris(deaths: Deaths) -> Reasons:
    """Ten deaths leave no more behind than two."""
    more = len(deaths.after_ten) - len(deaths.after_two)
    if more <= 0:
        return ()
    new = [name for name in deaths.after_ten if name not in deaths.after_two]
    return (f"{len(deaths.after_two)} files after two deaths, {len(deaths.after_ten)} after ten, such as {new[0] if new else ''}",)


def ended(evidence: Try) -> Reasons | None:
    """After the death of a rank, by the strike or by an error, the others end within the grace."""
    struck = evidence.struck
    if struck is None or not struck.struck or evidence.effect in ("term", "hang", "kill-job"):
        return None
    if not struck.late:
        return ()
    cause = f"rank {evidence.point.role} died" if evidence.effect == "kill-rank" else "the error"
    return (f"the job had not ended {evidence.grace:.0f} s after {cause}{_waiting(struck)}",)


def noticed(evidence: Try) -> Reasons | None:
    """A save that failed was noticed: its future was looked at, or the command failed, or a later save made up for it."""
    struck = evidence.struck
    if struck is None or not struck.struck or evidence.effect in DEATHS:
        return None
    if not struck.ended_well:
        return ()
    found = [f"{failed} failed, and nobody looked at its future" for failed in struck.unobserved]
    final = evidence.reference.final
    if not found and final and evidence.reference.knows_checkpoints and final not in {left.name for left in evidence.left if left.whole}:
        found.append(f"the command ended with status 0, without its last checkpoint {final}")
    return tuple(found)


def agreed(evidence: Try) -> Reasons | None:
    """After an error all ranks decide alike: to go on, or to end."""
    struck = evidence.struck
    if struck is None or not struck.struck or evidence.effect in DEATHS or len(evidence.reference.ranks) < 2:
        return None
    found = []
    raised = struck.raised
    if struck.ended_well and set(raised) == set(evidence.reference.ranks) and len({bool(error) for error in raised.values()}) > 1:
        found.append(", ".join(f"rank {role} {f'ended with {error}' if error else 'went on to the end'}" for role, error in sorted(raised.items())))
    if struck.ended_well and not found:
        found += _wrote_differently(evidence, struck.points)
    return tuple(found)


def _wrote_differently(evidence: Try, points: Iterable[Point]) -> Iterable[str]:
    """Ranks that wrote parts of the same checkpoints undisturbed, and after the error do not."""
    reference = _written(evidence.reference.points, evidence.reference)
    now = _written(points, evidence.reference)
    groups: dict[frozenset[str], list[str]] = defaultdict(list)
    for role, versions in reference.items():
        groups[frozenset(versions)].append(role)
    struck = _struck(evidence)
    for roles in groups.values():
        lacks = {role: tuple(sorted(reference[role] - now.get(role, set()) - struck, key=_natural)) for role in roles}
        if len(set(lacks.values())) > 1:
            yield ", ".join(f"rank {role} {'wrote no part of ' + ', '.join(missing) if missing else 'wrote all'}" for role, missing in sorted(lacks.items()))


def _struck(evidence: Try) -> set[str]:
    """The versions that the struck operation may have been about: that of its file; at a call of a storage, those that are written before and after it."""
    known = {version(name) for name in evidence.reference.whole_once}
    own = _version_of(evidence.point.path, known)
    if own:
        return {own}
    points = evidence.reference.points
    at = next((number for number, seen in enumerate(points) if seen.name == evidence.point.name), len(points))
    before = next((found for seen in reversed(points[:at]) if (found := _version_of(seen.path, known))), "")
    after = next((found for seen in points[at:] if (found := _version_of(seen.path, known))), "")
    return {before, after}


def _natural(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (0, text)


def _written(points: Iterable[Point], reference: Reference) -> Mapping[str, set[str]]:
    """Rank -> the versions that it wrote a file of."""
    known = {version(name) for name in reference.whole_once}
    found: dict[str, set[str]] = {}
    for point in points:
        if point.site in ("file.write", "torch.save", "safetensors.save_file") and point.moment == "after":
            touched = _version_of(shown(point.path), known)
            if touched:
                found.setdefault(point.role, set()).add(touched)
    return found


def judged(evidence: Try, name_of: NameOf) -> dict[str, Reasons | None]:
    """What every oracle says of a try, by name."""
    return {
        "restarts": restarts(evidence),
        "resume": resume(evidence, name_of),
        "equal": equal(evidence),
        "retention": retention(evidence),
        "ended": ended(evidence),
        "noticed": noticed(evidence),
        "agreed": agreed(evidence),
    }


ORACLES = ("restarts", "resume", "equal", "retention", "ended", "noticed", "agreed")
"""All oracles, in the order of the report."""
