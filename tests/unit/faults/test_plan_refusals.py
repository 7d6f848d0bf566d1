"""Every impossible plan is refused before anything runs, with the value and the valid choices, and never with a traceback of another kind."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.fault import SYMBOLIC
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import PHASES, SITES

REFUSED = [
    # where
    ("wirte_data@0=raise", "unknown site 'wirte_data'; did you mean 'write_data'"),
    ("writer.finnish@0=raise", "did you mean 'writer.finish'"),
    ("reset@0=raise", "ambiguous: writer.reset, reader.reset"),
    ("fs.write@0=truncate", "illegal at 'fs.write'; legal there: raise, .*nospace, shortwrite, tornwrite.*; truncate is legal at: fs.create_stream, fs.read"),
    ("writer.write_data@0=nospace", "nospace is legal at: fs.write"),
    ("disk@0=diskerror", "phase 'disk' belongs to saves and to loads: say save/disk or load/disk"),
    ("fs.write@0=diskerror(ENOWHERE)", "diskerror 'ENOWHERE'; valid: .*ENOSPC"),
    ("fs.write@0=nospace(-1)", "'-1' is not a whole number"),
    ("fs.write@0=nospace(1e3)", "'1e3' is not a whole number"),
    ("fs.write@0!after=bitflip", "cannot act after the call"),
    ("load/fs.write@0=diskerror", "fs.write is not called in 'load'"),
    # on whom
    ("write_data@=raise", "unknown ranks ''; valid: numbers such as 0,2, or coordinator, others, all"),
    ("write_data@-1=raise", "unknown ranks '-1'"),
    ("write_data@boss=raise", "unknown ranks 'boss'"),
    ("write_data@0,=raise", "unknown ranks '0,'"),
    ("finish@all=raise", "called by the coordinator alone; say writer.finish@coordinator"),
    ("finish@others=raise", "called by the coordinator alone"),
    ("finish@0,1=raise", "called by the coordinator alone"),
    # in which operation
    ("restore/write_data@0=raise", "unknown operation 'restore' in .*; operations: save, async_save, load"),
    ("save[0]/write_data@0=raise", "numbered from 1"),
    ("save[x]/write_data@0=raise", "operation number 'x' .* is not a number from 1"),
    ("load/write_data@0=raise", "unknown site 'write_data'|not called in 'load'"),
    ("load/writer.write_data@0=raise", "writer.write_data is not called in 'load'; it is in: save, async_save"),
    ("save/stage@0=raise", "not called in 'save'"),
    ("load/write@0=raise", "phase 'write' has no sites in load"),
    # when
    ("write_data@0#0=raise", "counted from 1"),
    ("write_data@0#1x0=raise", "strikes at least once"),
    ("write_data@0!after=skip", "cannot act after the call"),
    ("write_data.future@0!after=hang", "'!after' means nothing"),
    # what
    ("write_data@0=explode", "unknown effect 'explode'"),
    ("finish@0=failfuture", "illegal at 'writer.finish'"),
    ("write_data@0=raise(Nope)", "unknown error 'Nope'"),
    ("write_data@0=raise(OSError:ENOPE)", "unknown errno 'ENOPE'"),
    ("write_data@0=delay(-1)", "positive, finite"),
    ("write_data(*.distcp)@0=raise", "only sites of files and objects"),
    # all together
    ("write_data@0=raise; write_data@0=hang", "two faults on one occurrence"),
    ("write_data@all=raise; write_data@2=hang", "two faults on one occurrence"),
    ("write_data@0#1x*=raise; write_data@0#7=hang", "two faults on one occurrence"),
    ("write_data@0=raise; save[1]/write_data@0=hang", "two faults on one occurrence"),
    ("save/write_data@0=raise; save[2]/write_data@0=hang", "two faults on one occurrence"),
    ("nonsense", "cannot read fault 'nonsense'; the form is"),
    ("write_data@0", "the form is"),
    ("@0=raise", "the form is"),
    ("write_data@0#one=raise", "the form is"),
    ("write_data@0#1234567890=raise", "the form is"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED, ids=[text for text, _ in REFUSED])
def test_an_impossible_plan_is_refused(text: str, told: str) -> None:
    """When it is read: nothing has run."""
    with pytest.raises(PlanError, match=told):
        FaultPlan.parse(text)


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
    ("[1]", "needs site, ranks and effect"),
    ('[{"site": "writer.finish"}]', "needs site, ranks and effect"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "when": 1}]', "may have after, effect"),
    ('[{"site": "fs.write", "ranks": [0], "effect": "truncate"}]', "illegal"),
    ('[{"site": "writer.finnish", "ranks": [0], "effect": "raise"}]', "did you mean 'writer.finish'"),
    ('[{"site": 3, "ranks": [0], "effect": "raise"}]', "site 3 is of the wrong kind; valid: str"),
    ('[{"site": "writer.finish", "ranks": [], "effect": "raise"}]', "distinct, sorted"),
    ('[{"site": "writer.finish", "ranks": [1, 0], "effect": "raise"}]', "distinct, sorted"),
    ('[{"site": "writer.finish", "ranks": [1.5], "effect": "raise"}]', "rank 1.5 is of the wrong kind; valid: int"),
    ('[{"site": "writer.finish", "ranks": [true], "effect": "raise"}]', "rank True is of the wrong kind"),
    ('[{"site": "writer.finish", "ranks": {"0": 1}, "effect": "raise"}]', "valid: list or tuple"),
    ('[{"site": "writer.finish", "ranks": "boss", "effect": "raise"}]', "unknown ranks 'boss'"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "nth": Infinity}]', "nth inf is of the wrong kind"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "nth": 1000000000}]', "valid: up to 999999999"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "nth": ' + "9" * 5000 + "}]", "not JSON"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "times": "2"}]', "times '2' is of the wrong kind"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "after": "false"}]', "after 'false' is of the wrong kind; valid: bool"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "operation": "save"}]', "valid: dict"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "operation": {"kind": "save"}}]', "needs kind and index"),
    ('[{"site": "writer.finish", "ranks": [0], "effect": "raise", "operation": {"kind": "dump", "index": 1}}]', "unknown operation 'dump'"),
    ("[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("text", "told"), JSON_REFUSED, ids=[text[:90] for text, _ in JSON_REFUSED])
def test_impossible_json_is_refused(text: str, told: str) -> None:
    """Nothing is guessed: half a number, a word for a truth value, an unknown field."""
    with pytest.raises(PlanError, match=told):
        FaultPlan.from_json(text)


def test_only_text_is_parsed() -> None:
    """What is no text is refused as such."""
    with pytest.raises(PlanError, match="a plan is text, not int: 3"):
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
