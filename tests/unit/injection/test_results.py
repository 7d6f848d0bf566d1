"""Results that stand in for the real ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from injector_doubles import World, injector_of


@pytest.mark.parametrize(
    ("site", "arguments", "expected"),
    [("finish", (1, 2), None), ("prepare_local_plan", ("plan",), "plan"), ("prepare_global_plan", (["a", "b"],), ["a", "b"])],
)
def test_skip_reports_success_and_does_nothing(world: World, site: str, arguments: tuple[Any, ...], expected: Any) -> None:
    """A method that transforms its argument returns the argument unchanged."""
    injector = injector_of(f"writer.{site}@0=skip")
    assert injector.call(f"writer.{site}", lambda *_: pytest.fail("called"), *arguments) == expected
    assert injector.fired


def test_skipped_data_looks_written_and_read(world: World) -> None:
    """The result is a completed future of torch with no entries."""
    written = injector_of("writer.write_data@0=skip").call("writer.write_data", lambda: None)
    read = injector_of("reader.read_data@0=skip").call("reader.read_data", lambda: None)
    assert type(written) is type(read) is torch.futures.Future
    assert (written.wait(), written.value(), written.done()) == ([], [], True)
    assert (read.wait(), read.value(), read.done()) == (None, None, True)


@pytest.mark.parametrize(("kind", "plans"), [("none", None), ("short", ["a"]), ("duplicate", ["a", "a", "b"])])
def test_a_wrong_result_differs_from_the_real_one(world: World, kind: str, plans: list[str] | None) -> None:
    """The call acts; of a pair (plans, metadata), the metadata stays."""
    listed = injector_of(f"writer.prepare_global_plan@0=wrong({kind})")
    assert listed.call("writer.prepare_global_plan", lambda: ["a", "b"]) == plans
    pair = injector_of(f"save_planner.create_global_plan@0=wrong({kind})").call("save_planner.create_global_plan", lambda: (["a", "b"], "meta"))
    assert pair == (None if kind == "none" else (plans, "meta"))
