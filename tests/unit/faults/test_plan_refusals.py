"""Every impossible plan is refused before anything runs, with the value and the valid choices, and never with a traceback of another kind."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.fault import SYMBOLIC
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import PHASES, SITES

REFUSED = [
    # where
    ("wirte_data@0=raise", "'wirte_data'", "unknown site 'wirte_data'; nearest: writer.write_data, .*; all: `ckpt-harness sites`"),
    ("writer.finnish@0=raise", "'writer.finnish'", "nearest: writer.finish"),
    ("reset@0=raise", "'reset'", "ambiguous; valid: writer.reset, reader.reset"),
    ("fs.write@0=truncate", "'truncate'", "illegal at fs.write; legal there: raise, .*nospace, shortwrite, tornwrite.*; see `ckpt-harness effects`"),
    ("writer.write_data@0=nospace", "'nospace'", "'nospace' is legal at: fs.write"),
    ("disk@0=diskerror", "'disk'", "phase 'disk' belongs to saves and to loads; valid: save/disk, load/disk, or the name of a site"),
    ("fs.write@0=diskerror(ENOWHERE)", "'ENOWHERE'", "unknown errno 'ENOWHERE'; nearest: E"),
    ("fs.write@0=nospace(-1)", "'-1'", "valid: a whole number from 0"),
    ("fs.write@0=nospace(1e3)", "'1e3'", "valid: a whole number from 0"),
    ("fs.write@0!after=bitflip", "'bitflip'", "cannot act after the call; valid: "),
    ("load/fs.write@0=diskerror", "'load/fs.write@0=diskerror'", "fs.write is not called in 'load'; valid: save, async_save"),
    # on whom
    ("write_data@=raise", "''", "unknown ranks ''; valid: numbers such as 0,2, or coordinator, others, all"),
    ("write_data@-1=raise", "'-1'", "unknown ranks"),
    ("write_data@boss=raise", "'boss'", "unknown ranks"),
    ("write_data@0,=raise", "'0,'", "unknown ranks"),
    ("finish@all=raise", "'writer.finish@all=raise'", "only the coordinator calls writer.finish; valid: writer.finish@coordinator"),
    ("finish@others=raise", "'writer.finish@others=raise'", "only the coordinator calls"),
    ("finish@0,1=raise", "'writer.finish@0,1=raise'", "only the coordinator calls"),
    # in which operation
    ("restore/write_data@0=raise", "'restore'", "unknown operation 'restore'; valid: save, async_save, load"),
    ("save[0]/write_data@0=raise", "save[0]", "valid: numbers from 1"),
    ("save[x]/write_data@0=raise", "'x'", "operation number 'x' of 'save'; valid: a whole number from 1"),
    ("load/write_data@0=raise", "write_data", "unknown site 'write_data'|not called in 'load'"),
    ("load/writer.write_data@0=raise", "'load/writer.write_data@0=raise'", "writer.write_data is not called in 'load'; valid: save, async_save"),
    ("save/stage@0=raise", "'save/writer.stage@0=raise'", "not called in 'save'; valid: async_save"),
    ("load/write@0=raise", "'write'", "phase 'write' has no sites in load; valid: setup, prepare, read"),
    # when
    ("write_data@0#0=raise", "#0", "occurrence 0; valid: 1 to"),
    ("write_data@0#1x0=raise", "x0", "strikes 0 times; valid: 1 to"),
    ("write_data@0!after=skip", "'skip'", "cannot act after the call; valid: raise, "),
    ("write_data.future@0!after=hang", "'!after'", "a future has no such moment; valid: without !after"),
    # what
    ("write_data@0=explode", "'explode'", "unknown effect 'explode'; .*`ckpt-harness effects`"),
    ("write_data@0=rais", "'rais'", "unknown effect 'rais'; nearest: raise"),
    ("write_data@0=raise(ValueError", "'raise(ValueError'", "has no closing parenthesis"),
    ("write_data@0=hang(1)", "'hang(1)'", "has 1 argument; valid: no arguments"),
    ("finish@0=failfuture", "'failfuture'", "illegal at writer.finish; legal there: raise"),
    ("write_data@0=raise(Nope)", "'Nope'", "unknown error 'Nope'; valid: a builtin that takes a message"),
    ("write_data@0=raise(OSError:ENOPE)", "'ENOPE'", "unknown errno 'ENOPE'; nearest: ENO"),
    ("write_data@0=raise(ValueError:EIO)", "'ValueError:EIO'", "only OSError takes an errno; valid: OSError:EIO"),
    ("write_data@0=delay(-1)", "-1.0", "valid: a positive, finite number of seconds"),
    ("write_data@0=delay(soon)", "'soon'", "argument 'soon' of delay; valid: a number"),
    ("write_data@0=stop(0)", "0.0", "valid: a positive number of seconds"),
    ("storage_meta@0=wrong(short)", "'wrong(short)'", "valid: wrong\\(none\\)"),
    ("read_data.future@0=failfuture(value)", "failfuture(value)", "valid: failfuture\\(wait\\)"),
    ("write_data.future@0=failfuture(later)", "'later'", "valid: wait, value"),
    ("http.put@0=status(200)", "200", "valid: 400 to 599"),
    ("http.put@0=throttle(0)", "0", "valid: 1 byte per second or more"),
    ("fs.write@0=bitflip(999999999999999)", "999999999999999", "valid: 0 to 1099511627776 bytes"),
    ("write_data(*.distcp)@0=raise", "*.distcp", "writer.write_data takes no file pattern; valid: sites of files and objects"),
    # all together
    ("write_data@0=raise; write_data@0=hang", "'writer.write_data@0=hang'", "two faults may strike the same call"),
    ("write_data@all=raise; write_data@2=hang", "'writer.write_data@2=hang'", "two faults may strike the same call"),
    ("write_data@0#1x*=raise; write_data@0#7=hang", "'writer.write_data@0#7=hang'", "two faults may strike the same call"),
    ("write_data@0=raise; save[1]/write_data@0=hang", "'save[1]/writer.write_data@0=hang'", "two faults may strike the same call"),
    ("save/write_data@0=raise; save[2]/write_data@0=hang", "'save[2]/writer.write_data@0=hang'", "two faults may strike the same call"),
    ("nonsense", "'nonsense'", "cannot read fault 'nonsense'; the form is"),
    ("write_data@0", "'write_data@0'", "the form is"),
    ("@0=raise", "'@0=raise'", "the form is"),
    ("write_data@0#one=raise", "'write_data@0#one=raise'", "the form is"),
    ("write_data@0#1234567890=raise", "'write_data@0#1234567890=raise'", "the form is"),
]

LONG = "x" * 3000
LONG_AND_REFUSED = [
    LONG,
    f"{LONG}@0=raise",
    f"{LONG}/write_data@0=raise",
    f"save[{LONG}]/write_data@0=raise",
    f"write_data@{LONG}=raise",
    f"write_data@0={LONG}",
    f"write_data@0=raise({LONG})",
    f"write_data@0=raise(OSError:{LONG})",
    f"write_data@0=raise({LONG}:EIO)",
    f"write_data@0=delay({LONG})",
    f"write_data@0=hang({LONG})",
    f"write_data@0=raise({LONG}",
    f"write_data({LONG})@0=raise",
    f"write_data.future@0=failfuture({LONG})",
    f"finish@0=wrong({LONG})",
    f"http.put@0=status(503,{LONG}!)",
    f"fs.write({LONG})@0=raise; fs.write({LONG})@0=hang",
    f"load/fs.write({LONG})@0=raise",
    f"fs.write({LONG})@0#0=raise",
    f"finish@{','.join(map(str, range(1000)))}=raise",
]


def _refusal(text: str) -> str:
    with pytest.raises(PlanError) as refused:
        FaultPlan.parse(text)
    return str(refused.value)


@pytest.mark.parametrize(("text", "value", "words"), REFUSED, ids=[text for text, _, _ in REFUSED])
def test_an_impossible_plan_is_refused(text: str, value: str, words: str) -> None:
    """When the plan is read, before anything runs: one short line with the value and the valid choices."""
    message = _refusal(text)
    assert re.search(words, message), message
    assert value in message
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize("text", LONG_AND_REFUSED, ids=[text.replace(LONG, "LONG")[:60] for text in LONG_AND_REFUSED])
def test_a_long_text_is_cut_in_its_refusal(text: str) -> None:
    """The message stays one line, and shows where the value begins."""
    message = _refusal(text)
    assert any(part in message for part in ("xxxxx", "0,1,2,3"))
    assert "..." in message
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("write_data@7=raise", "rank 7 is outside a world of 4; valid: 0 to 3"),
        ("finish@1=raise", "only a coordinator calls writer.finish, and rank 1 does not coordinate; valid: 0"),
        ("write_data@0=raise; write_data@coordinator=hang", "two faults may strike the same call of rank 0: "),
        ("write_data@0=raise(no.such.module.Error)", "error 'no.such.module.Error' cannot be imported: No module named 'no'"),
        ("write_data@0=raise(pathlib.Path)", "which is not an exception class"),
    ],
)
def test_a_plan_that_does_not_fit_the_world_is_refused(text: str, words: str) -> None:
    """When the plan is bound: one short line, too."""
    with pytest.raises(PlanError) as refused:
        FaultPlan.parse(text).bind(4)
    message = str(refused.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 200


ALLOWED_TOGETHER = [
    "write_data@0=raise; write_data@1=hang",
    "write_data@0#1=raise; write_data@0#2=hang",
    "write_data@0#1x2=raise; write_data@0#3x*=hang",
    "write_data@coordinator=raise; write_data@others=hang",
    "save[1]/write_data@0=raise; save[2]/write_data@0=hang",
    "save/write_data@0=raise; async_save/write_data@0=hang",
    "write_data@0=raise; write_data.future@0=hang",
    "writer.reset@0=raise; reader.reset@0=raise",
]


@pytest.mark.parametrize("text", ALLOWED_TOGETHER)
def test_faults_that_never_meet_may_stand_together(text: str) -> None:
    """Other rank, other occurrence, other operation, other site."""
    assert len(FaultPlan.parse(text).bind(4).faults) == 2


JSON_REFUSED = [
    ("{", "not JSON"),
    ("{}", "a list of faults"),
    ('"write_data@0=raise"', "a list of faults"),
    ("null", "a list of faults"),
    ("[1]", "an object with site, ranks, effect, and perhaps nth"),
    ('[{"site": "writer.finish"}]', "an object with site, ranks, effect, and perhaps nth"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "when": 1}]', "and perhaps nth, times, after"),
    ('[{"site": "fs.write", "ranks": [0], "effect": "truncate"}]', "illegal at fs.write"),
    ('[{"site": "writer.finnish", "ranks": [0], "effect": "raise"}]', "nearest: writer.finish"),
    ('[{"site": 3, "ranks": [0], "effect": "raise"}]', "site 3 has the wrong type; valid: str"),
    ('[{"site": "writer.finish", "ranks": [], "effect": "raise"}]', "valid: distinct, sorted numbers"),
    ('[{"site": "writer.finish", "ranks": [1, 0], "effect": "raise"}]', "valid: distinct, sorted numbers"),
    ('[{"site": "writer.finish", "ranks": [1.5], "effect": "raise"}]', "rank 1.5 has the wrong type; valid: int"),
    ('[{"site": "writer.finish", "ranks": [true], "effect": "raise"}]', "rank True has the wrong type"),
    ('[{"site": "writer.finish", "ranks": {"0": 1}, "effect": "raise"}]', "valid: list or tuple"),
    ('[{"site": "writer.finish", "ranks": "boss", "effect": "raise"}]', "unknown ranks 'boss'"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "nth": Infinity}]', "nth inf has the wrong type"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "nth": 1000000000}]', "valid: up to 999999999"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "nth": ' + "9" * 5000 + "}]", "not JSON"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "times": "2"}]', "times '2' has the wrong type"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "after": "false"}]', "after 'false' has the wrong type; valid: bool"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "operation": "save"}]', "valid: dict"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "operation": {"kind": "save"}}]', "valid: an object with kind and index"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "operation": {"kind": "dump", "index": 1}}]', "unknown operation 'dump'"),
    ("[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("text", "words"), JSON_REFUSED, ids=[text[:90] for text, _ in JSON_REFUSED])
def test_impossible_json_is_refused(text: str, words: str) -> None:
    """Nothing is guessed: half a number, a word for a truth value, an unknown field."""
    with pytest.raises(PlanError, match=words) as refused:
        FaultPlan.from_json(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_only_text_is_parsed() -> None:
    """A number is no plan."""
    with pytest.raises(PlanError, match="plan 3 has the type int; valid: text such as"):
        FaultPlan.parse(3)


WORDS = st.sampled_from(
    [
        *SITES,
        *PHASES,
        *SYMBOLIC,
        *"@ = ; # x * ! / . , ? ( ) [ ]".split(),
        *"save load 0 1 -1 999 !after raise hang failfuture wrong skip delay OSError:EIO nan 1e999 a.b".split(),
    ]
)
NEARLY_A_PLAN = st.builds(
    "{}{}@{}{}={}{}".format,
    st.sampled_from(["", "", "save/", "load[2]/", "async_save[0]/", "dump/"]),
    st.sampled_from([*SITES, *PHASES, "write_data", "reset"]),
    st.sampled_from([*SYMBOLIC, "0", "1,2", "3", "2,0"]),
    st.sampled_from(["", "", "#2", "#1x*", "#3x2", "#0", "!after", "#2!after"]),
    st.sampled_from(["raise", "raise(unpicklable)", "raise(a.b)", "hang", "failfuture(value)", "wrong(short)", "delay(1e-9)", "delay(1e99)"]),
    st.sampled_from(["", "?", "; finish@0=raise", ";;"]),
)
NONSENSE = st.one_of(st.text(max_size=40), st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=14).map("".join), NEARLY_A_PLAN)


@given(NONSENSE)
@example("write_data@0=raise(\ud800)")
@example("write_data@٣=raise")
@example("write_data@0=delay(٣)")
@example("write_data@0=raise(__class__)")
@example("write_data@0=raise(a.b)")
def test_nonsense_never_gets_past_parse(text: str) -> None:
    """Text is a plan that can be written out and bound or refused, or it is a PlanError."""
    with contextlib.suppress(PlanError):
        plan = FaultPlan.parse(text)
        assert FaultPlan.parse(str(plan)) == plan
        plan.bind(3)
    with contextlib.suppress(PlanError):
        assert all(isinstance(plan, FaultPlan) for plan in FaultPlan.expand(text))


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5))
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(["kind", "index", "x"]), SCALARS, max_size=3))
FIELDS = ["site", "ranks", "effect", "nth", "times", "after", "operation", "glob", "optional", "other"]
NEARLY = st.dictionaries(st.sampled_from(FIELDS[3:]), VALUES, max_size=4).map(
    lambda extra: {"site": "writer.write_data", "ranks": [0], "effect": "raise", **extra}
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner), max_leaves=12)


@given(st.one_of(ANYTHING, st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES), max_size=2), st.lists(NEARLY, max_size=2)))
def test_nonsense_never_gets_past_json(data: object) -> None:
    """Data is a plan that survives its own text, or it is a PlanError."""
    for given_as in (data, json.dumps(data)):
        with contextlib.suppress(PlanError):
            plan = FaultPlan.from_json(given_as)
            assert FaultPlan.parse(str(plan)) == plan
            plan.bind(3)
