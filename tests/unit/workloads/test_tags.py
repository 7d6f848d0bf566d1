"""Tags: every element of a checkpoint identifies its save, rank, entry and index."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness.workloads.tags import LIMITS, LOWEST, Tag

TAGS = st.builds(Tag, **{name: st.integers(LOWEST[name], limit - 1) for name, limit in LIMITS.items()})


@given(TAGS)
def test_a_tag_survives_a_float(tag: Tag) -> None:
    """Every tag is a whole number below 2**53, so a float64 holds it exactly."""
    assert Tag.decode(float(tag.encode())) == tag


@given(TAGS, TAGS)
def test_different_elements_differ(one: Tag, other: Tag) -> None:
    """No two tags share a code."""
    assert (one == other) == (one.encode() == other.encode())


@pytest.mark.parametrize("noise", [math.nan, math.inf, -math.inf, -1.0, 0.5, 0.0, 1.0, 4096.0, float((1 << 43) - 1), float(1 << 53), 1e300])
def test_noise_is_no_tag(noise: float) -> None:
    """Values that no save wrote are recognised: NaN, fractions, negative numbers, numbers that are too small or too large: there is no save 0."""
    assert Tag.decode(noise) is None


@pytest.mark.parametrize("name", LIMITS)
def test_a_part_out_of_range_is_refused(name: str) -> None:
    """An error is raised; the value does not overflow into the next part."""
    for value in (LOWEST[name] - 1, LIMITS[name]):
        with pytest.raises(ValueError, match=f"{name} {value} is out of range; valid: {LOWEST[name]} to {LIMITS[name] - 1}"):
            replace(Tag(1, 0, 0, 0), **{name: value}).encode()
