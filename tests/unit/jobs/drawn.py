"""Operations and jobs that hypothesis draws, legal by construction or not."""

from __future__ import annotations

from hypothesis import strategies as st

from ckpt_harness.faults.calling import EXECUTORS, STAGINGS
from ckpt_harness.jobs import operations as ops
from ckpt_harness.jobs.operations import Operation

PLACES = st.sampled_from(["a", "b", "step-10", "A_1.x"])
WORDS = st.sampled_from(["default", "caching", "mine.py:PLANNER"])
SMALL = st.integers(0, 4)

DRAWN: st.SearchStrategy[Operation] = st.one_of(
    st.builds(ops.Save, PLACES, coordinator=SMALL, planner=WORDS),
    st.builds(ops.AsyncSave, PLACES, planner=WORDS, staging=st.sampled_from(list(STAGINGS)), executor=st.sampled_from(EXECUTORS)),
    st.builds(ops.Wait, st.just("") | PLACES),
    st.builds(ops.Load, st.just(ops.LATEST) | PLACES, ranks=SMALL, entries=st.sampled_from(ops.ENTRIES), coordinator=SMALL, planner=WORDS),
    st.just(ops.Retry()),
    st.just(ops.Continue()),
    st.builds(ops.Restart, SMALL, way=st.just("") | WORDS, engine=st.just("") | WORDS),
    st.just(ops.Heal()),
    st.builds(ops.Prune, st.integers(1, ops.LARGEST)),
    st.builds(ops.Change, WORDS | st.sampled_from(ops.ASPECTS)),
    st.builds(ops.Renew, st.sampled_from(ops.RENEWABLE)),
)
"""Single operations of every kind."""
