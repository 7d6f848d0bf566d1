"""The durability models, on journals written by hand: what they allow, and what they do not."""

from __future__ import annotations

import pytest

from ckpt_harness.disk.durability import MODELS, Model, states_after
from ckpt_harness.disk.inode import BLOCK
from ckpt_harness.disk.journal import DiskOp, Kind

A, B = b"a" * 10, b"b" * 10


def _op(kind: Kind, path: str, data: bytes = b"", *, to: str = "", offset: int = 0) -> DiskOp:
    return DiskOp(0, kind, path, offset, data, to)


def _left(model: Model, *ops: DiskOp, before: dict[str, bytes] | None = None) -> list[dict[str, bytes]]:
    found = states_after(ops, before or {}, model, limit=100_000)
    assert found.exhaustive
    return [state.files for state in found.found]


WRITTEN = (_op("create", "f"), _op("write", "f", A))
REPLACED = (_op("create", "t"), _op("write", "t", B), _op("rename", "t", to="f"))


@pytest.mark.parametrize("model", MODELS)
def test_what_nothing_was_done_to_survives(model: Model) -> None:
    """What was there before the journal began is durable."""
    assert _left(model, before={"f": A}) == [{"f": A}]


@pytest.mark.parametrize("model", MODELS)
def test_the_state_in_which_all_survived_comes_first(model: Model) -> None:
    """So that the shortest way to what a reader gets loses as little as possible."""
    assert _left(model, *WRITTEN)[0] == {"f": A}


def test_data_loss_without_sync() -> None:
    """Power cut: what was written and not synced may be gone, with its file or without."""
    for model in ("ordered", "posix"):
        assert {} in _left(model, *WRITTEN)
        assert {"f": b""} in _left(model, *WRITTEN)
    assert _left("kill", *WRITTEN) == [{"f": A}]


def test_a_synced_file_survives() -> None:
    """Its bytes in any case; its name in the model of ext4, and in that of POSIX once the directory was synced."""
    synced = (*WRITTEN, _op("fsync", "f"))
    assert _left("ordered", *synced) == [{"f": A}]
    assert _left("posix", *synced) == [{"f": A}, {}]
    assert _left("posix", *synced, _op("fsync", ".")) == [{"f": A}]


def test_bytes_written_after_the_sync_are_not_covered_by_it() -> None:
    """As with metadata that is synced while its bytes are still in a buffer."""
    ops = (_op("create", "f"), _op("fsync", "f"), _op("write", "f", A))
    assert _left("ordered", *ops) == [{"f": A}, {"f": b""}, {"f": bytes(10)}]
    assert {"f": b""} in _left("posix", *ops, _op("fsync", "."))


def test_a_rename_may_survive_what_it_renames() -> None:
    """Without a sync of the file, the new name may stand for an empty file; with one, it stands for the old content or the new."""
    assert {"f": b""} in _left("ordered", *REPLACED, before={"f": A})
    assert {"f": b""} in _left("posix", *REPLACED, before={"f": A})
    safe = (*REPLACED[:2], _op("fsync", "t"), REPLACED[2])
    for model in ("ordered", "posix"):
        assert {one["f"] for one in _left(model, *safe, before={"f": A})} == {A, B}
        assert [one["f"] for one in _left(model, *safe, _op("fsync", "."), before={"f": A})] == [B]


def test_directories_change_in_order_on_ext4_and_in_any_order_elsewhere() -> None:
    """Two new files: the second alone survives in the weaker model only."""
    ops = (_op("create", "a"), _op("create", "b"))
    assert {frozenset(one) for one in _left("ordered", *ops)} == {frozenset("ab"), frozenset("a"), frozenset()}
    assert {frozenset(one) for one in _left("posix", *ops)} == {frozenset("ab"), frozenset("a"), frozenset("b"), frozenset()}


def test_any_fsync_makes_earlier_changes_of_directories_durable_on_ext4() -> None:
    """The journal of the file system is written in order."""
    ops = (_op("create", "a"), _op("create", "b"), _op("fsync", "b"))
    assert _left("ordered", *ops) == [{"a": b"", "b": b""}]


def test_an_overwrite_in_place_may_leave_the_old_file_the_new_one_or_none_of_its_bytes() -> None:
    """A truncation is a change too, and may be lost; the new length may be there before the new bytes are."""
    ops = (_op("create", "f"), _op("write", "f", B))
    for model in ("ordered", "posix"):
        assert {one["f"] for one in _left(model, *ops, before={"f": A})} == {A, B, b"", bytes(10)}


def test_blocks_survive_each_for_itself() -> None:
    """Without truncation: old and new blocks mix in the weaker model."""
    old, new = b"o" * 2 * BLOCK, b"n" * 2 * BLOCK
    left = {one["f"] for one in _left("posix", _op("write", "f", new), before={"f": old})}
    assert left == {new, old, new[:BLOCK] + old[BLOCK:], old[:BLOCK] + new[BLOCK:]}


def test_files_grow_block_by_block_on_ext4() -> None:
    """A file is cut at a block or has its length, and each block has its bytes, or zeros."""
    data = bytes(range(256)) * 40
    left = {one["f"] for one in _left("ordered", _op("create", "f"), _op("fsync", "f"), _op("write", "f", data))}
    assert left >= {data, data[: 2 * BLOCK], data[:BLOCK], b""}
    assert {len(one) for one in left} == {0, BLOCK, 2 * BLOCK, len(data)}
    blocks = {(at, one[at : at + BLOCK]) for one in left for at in range(0, len(one), BLOCK)}
    assert blocks == {(at, block) for at in range(0, len(data), BLOCK) for block in (data[at : at + BLOCK], bytes(len(data[at : at + BLOCK])))}


def test_files_go_with_a_directory_that_was_never_made_durable() -> None:
    """Syncing a directory makes its entries durable, and not its own name."""
    ops = (_op("mkdir", "d"), _op("create", "d/f"), _op("fsync", "d"))
    assert {} in _left("posix", *ops)
    assert _left("posix", *ops, _op("fsync", ".")) == [{"d/f": b""}]


def test_a_directory_is_renamed_as_a_whole_or_not_at_all() -> None:
    """Its files, made durable under the old name, are there under one of both."""
    ops = (_op("mkdir", "t"), _op("create", "t/f"), _op("write", "t/f", A), _op("fsync", "t/f"), _op("fsync", "t"), _op("fsync", "."))
    for model in ("ordered", "posix"):
        assert _left(model, *ops, _op("rename", "t", to="d")) == [{"d/f": A}, {"t/f": A}]


def test_a_kill_may_cut_the_write_that_is_under_way() -> None:
    """At a block; what acted before is all there."""
    data = b"x" * (2 * BLOCK + 5)
    found = states_after(WRITTEN, {}, "kill", under_way=_op("write", "f", data, offset=10))
    assert [len(state.files["f"]) for state in found.found] == [10, BLOCK, 2 * BLOCK]


def test_many_states_are_sampled_and_said_to_be() -> None:
    """The same seed draws the same sample, with both extremes in it; another draws another."""
    ops = [_op("create", f"f{number}") for number in range(12)]
    first = states_after(ops, {}, "posix", limit=50, seed=1)
    assert (first.exhaustive, first.possible, len(first.found)) == (False, 4096, 50)
    assert first == states_after(ops, {}, "posix", limit=50, seed=1) != states_after(ops, {}, "posix", limit=50, seed=2)
    assert {len(state.files) for state in first.found} >= {12, 11, 1, 0}


def test_what_was_lost_is_told() -> None:
    """In words, for each state that lost something."""
    states = states_after((*WRITTEN, _op("fsync", "f"), _op("rename", "f", to="g")), {}, "posix", limit=100).found
    assert {state.lost for state in states if state.files == {"f": A}} == {("rank 0: rename f -> g",)}
    assert states[0].lost == ()


def test_a_directory_that_was_renamed_is_synced_under_its_new_name() -> None:
    """Then its files are durable there, though they were made under the old one."""
    made = (_op("mkdir", "t"), _op("create", "t/f"), _op("write", "t/f", A), _op("fsync", "t/f"))
    assert _left("posix", *made, _op("rename", "t", to="d"), _op("fsync", "d"), _op("fsync", ".")) == [{"d/f": A}]
