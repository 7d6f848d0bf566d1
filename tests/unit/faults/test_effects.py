"""Effects: their text, and where each is legal."""

from __future__ import annotations

import pytest

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects import (
    EFFECTS,
    Delay,
    Effect,
    FailFuture,
    Hang,
    Kill,
    NeverComplete,
    Raise,
    Skip,
    WrongResult,
    check_legal,
    parse_effect,
)
from ckpt_harness.faults.sites import SITES, Site

USABLE = list(SITES.values())
FUTURES = [site for site in USABLE if site.is_future]

TEXTS = [
    (Raise(), "raise"),
    (Raise("ValueError"), "raise(ValueError)"),
    (Raise("OSError:ENOSPC"), "raise(OSError:ENOSPC)"),
    (Raise("my.module.Error"), "raise(my.module.Error)"),
    (FailFuture(), "failfuture"),
    (FailFuture("value"), "failfuture(value)"),
    (FailFuture("wait", "OSError:EIO"), "failfuture(wait,OSError:EIO)"),
    (NeverComplete(), "nevercomplete"),
    (Delay(), "delay"),
    (Delay(2.5), "delay(2.5)"),
    (Delay(1800), "delay(1800)"),
    (Delay(0.1 + 0.2), "delay(0.30000000000000004)"),
    (Delay(1e-7), "delay(1e-07)"),
    (Hang(), "hang"),
    (Kill(), "kill"),
    (Skip(), "skip"),
    (WrongResult(), "wrong"),
    (WrongResult("short"), "wrong(short)"),
    (WrongResult("gap"), "wrong(gap)"),
]


@pytest.mark.parametrize(("effect", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_the_text_of_an_effect_parses_back(effect: Effect, text: str) -> None:
    """The shortest text that says it, and back."""
    assert str(effect) == text
    assert parse_effect(text) == effect


@pytest.mark.parametrize("text", [" raise ( ValueError ) ", "raise(ValueError)"])
def test_blanks_do_not_matter(text: str) -> None:
    """Plans are written by hand."""
    assert parse_effect(text) == Raise("ValueError")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rais", "unknown effect 'rais'; nearest: raise"),
        ("@", "unknown effect '@'; valid: raise, failfuture, nevercomplete, ...; all: `ckpt-harness effects`"),
        ("raise(ValueError", "has no closing parenthesis; valid: raise\\(...\\)"),
        ("raise(ValueError,OSError)", "has 2 arguments; valid: error"),
        ("hang(1)", "has 1 argument; valid: no arguments"),
        ("delay(soon)", "argument 'soon' of delay; valid: a number"),
        ("delay(0)", "valid: a positive, finite number"),
        ("delay(-1)", "valid: a positive, finite number"),
        ("delay(nan)", "valid: a positive, finite number"),
        ("delay(inf)", "valid: a positive, finite number"),
        ("failfuture(later)", "valid: wait, value"),
        ("wrong(long)", "valid: none, short, duplicate, gap, overlap, shift"),
        ("raise(Nonsense)", "unknown error 'Nonsense'"),
    ],
)
def test_a_text_that_is_no_effect_is_refused(text: str, words: str) -> None:
    """With the value and the choices."""
    with pytest.raises(PlanError, match=words):
        parse_effect(text)


@pytest.mark.parametrize("site", USABLE, ids=lambda site: site.name)
def test_every_site_has_an_effect_that_fails_it(site: Site) -> None:
    """A call can raise; of a future, it is the future that fails; and a request is refused."""
    asked = "status" if site.layer == "network" else "failfuture" if site.is_future else "raise"
    assert [name for name in ("raise", "failfuture", "status") if EFFECTS[name].legal_at(site)] == [asked]
    assert NeverComplete.legal_at(site) == site.is_future


@pytest.mark.parametrize("site", USABLE, ids=lambda site: site.name)
def test_every_site_can_be_late_or_last(site: Site) -> None:
    """A rank can be slow, stuck or dead anywhere; a store can be slow or stuck."""
    assert all(kind.legal_at(site) for kind in (Delay, Hang))
    assert Kill.legal_at(site) == (site.layer != "network")


def test_nobody_can_skip_what_must_give_something_back() -> None:
    """Skip means something only where an idle success looks like something."""
    for name in ("reader.read_metadata", "save_planner.create_local_plan", "save_planner.create_global_plan", "writer.write_data.future"):
        assert not Skip.legal_at(SITES[name])
    for name in ("writer.write_data", "writer.finish", "writer.prepare_global_plan", "load_planner.finish_plan"):
        assert Skip.legal_at(SITES[name])


@pytest.mark.parametrize(
    ("effect", "site", "after", "words"),
    [
        (Raise(), "writer.write_data.future", False, "illegal at writer.write_data.future; legal there: failfuture, nevercomplete"),
        (FailFuture(), "writer.finish", False, "illegal at writer.finish; legal there: raise, delay, hang, kill"),
        (Skip(), "pg.gather", False, "illegal at pg.gather"),
        (WrongResult(), "writer.finish", False, "illegal at writer.finish"),
        (WrongResult("short"), "writer.storage_meta", False, r"valid: wrong\(none\)"),
        (WrongResult("gap"), "load_planner.create_local_plan", False, r"valid: wrong\(none\)"),
        (FailFuture("value"), "reader.read_data.future", False, r"valid: failfuture\(wait\)"),
        (Skip(), "writer.finish", True, "cannot act after the call; valid: raise, delay, hang, kill"),
        (Hang(), "writer.write_data.future", True, "'!after' at writer.write_data.future"),
    ],
)
def test_an_effect_that_means_nothing_there_is_refused(effect: Effect, site: str, after: bool, words: str) -> None:
    """With the choices, for the site and for the effect."""
    with pytest.raises(PlanError, match=words):
        check_legal(effect, SITES[site], after=after)


@pytest.mark.parametrize("kind", EFFECTS.values(), ids=EFFECTS)
def test_every_effect_explains_itself(kind: type[Effect]) -> None:
    """The table of effects has a line for each, and each is legal somewhere."""
    assert kind.about
    assert any(kind.legal_at(site) for site in USABLE)
