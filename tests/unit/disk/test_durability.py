"""The durability models on hand-written journals: which states they allow, and which they exclude."""

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
def test_untouched_files_survive(model: Model) -> None:
    """Files that existed before the journal began are durable."""
    assert _left(model, before={"f": A}) == [{"f": A}]


@pytest.mark.parametrize("model", MODELS)
def test_the_state_in_which_all_survived_comes_first(model: Model) -> None:
    """So the example for each result of a load loses as little as possible."""
    assert _left(model, *WRITTEN)[0] == {"f": A}


def test_data_loss_without_sync() -> None:
    """After a power cut, data that was not synced may be lost, and its file too."""
    for model in ("ordered", "posix"):
        assert {} in _left(model, *WRITTEN)
        assert {"f": b""} in _left(model, *WRITTEN)
    assert _left("kill", *WRITTEN) == [{"f": A}]


def test_a_synced_file_survives() -> None:
    """Its bytes survive in any case. Its name survives in the model `ordered`, and in the model `posix` once the directory was synced."""
    synced = (*WRITTEN, _op("fsync", "f"))
    assert _left("ordered", *synced) == [{"f": A}]
    assert _left("posix", *synced) == [{"f": A}, {}]
    assert _left("posix", *synced, _op("fsync", ".")) == [{"f": A}]


def test_fsync_does_not_cover_later_writes() -> None:
    """An example is metadata that is synced while its bytes are still in a buffer."""
    ops = (_op("create", "f"), _op("fsync", "f"), _op("write", "f", A))
    assert _left("ordered", *ops) == [{"f": A}, {"f": b""}, {"f": bytes(10)}]
    assert {"f": b""} in _left("posix", *ops, _op("fsync", "."))


def test_a_rename_may_survive_without_the_content_of_its_file() -> None:
    """Without fsync of the file, the new name may refer to an empty file; with fsync, it refers to the old or the new content."""
    assert {"f": b""} in _left("ordered", *REPLACED, before={"f": A})
    assert {"f": b""} in _left("posix", *REPLACED, before={"f": A})
    safe = (*REPLACED[:2], _op("fsync", "t"), REPLACED[2])
    for model in ("ordered", "posix"):
        assert {files["f"] for files in _left(model, *safe, before={"f": A})} == {A, B}
        assert [files["f"] for files in _left(model, *safe, _op("fsync", "."), before={"f": A})] == [B]


def test_directories_change_in_order_on_ext4_and_in_any_order_elsewhere() -> None:
    """Of two new files, the second can survive alone only in the model `posix`."""
    ops = (_op("create", "a"), _op("create", "b"))
    assert {frozenset(files) for files in _left("ordered", *ops)} == {frozenset("ab"), frozenset("a"), frozenset()}
    assert {frozenset(files) for files in _left("posix", *ops)} == {frozenset("ab"), frozenset("a"), frozenset("b"), frozenset()}


def test_any_fsync_makes_earlier_changes_of_directories_durable_on_ext4() -> None:
    """ext4 writes its own journal in order."""
    ops = (_op("create", "a"), _op("create", "b"), _op("fsync", "b"))
    assert _left("ordered", *ops) == [{"a": b"", "b": b""}]


def test_an_overwrite_in_place_may_leave_the_old_file_the_new_one_or_none_of_its_bytes() -> None:
    """A truncation may be lost too, and the new length may be durable before the new bytes."""
    ops = (_op("create", "f"), _op("write", "f", B))
    for model in ("ordered", "posix"):
        assert {files["f"] for files in _left(model, *ops, before={"f": A})} == {A, B, b"", bytes(10)}


def test_blocks_survive_independently() -> None:
    """In the model `posix`, an overwrite without truncation may leave a mix of old and new blocks."""
    old, new = b"o" * 2 * BLOCK, b"n" * 2 * BLOCK
    left = {files["f"] for files in _left("posix", _op("write", "f", new), before={"f": old})}
    assert left == {new, old, new[:BLOCK] + old[BLOCK:], old[:BLOCK] + new[BLOCK:]}


def test_files_grow_block_by_block_on_ext4() -> None:
    """A file ends at a block or at its full length, and each block has its bytes or zeros."""
    data = bytes(range(256)) * 40
    left = {files["f"] for files in _left("ordered", _op("create", "f"), _op("fsync", "f"), _op("write", "f", data))}
    assert left >= {data, data[: 2 * BLOCK], data[:BLOCK], b""}
    assert {len(content) for content in left} == {0, BLOCK, 2 * BLOCK, len(data)}
    blocks = {(at, content[at : at + BLOCK]) for content in left for at in range(0, len(content), BLOCK)}
    assert blocks == {(at, block) for at in range(0, len(data), BLOCK) for block in (data[at : at + BLOCK], bytes(len(data[at : at + BLOCK])))}


def test_files_are_lost_with_a_directory_that_is_not_durable() -> None:
    """Fsync of a directory makes its entries durable, but not its own name."""
    ops = (_op("mkdir", "d"), _op("create", "d/f"), _op("fsync", "d"))
    assert {} in _left("posix", *ops)
    assert _left("posix", *ops, _op("fsync", ".")) == [{"d/f": b""}]


def test_a_directory_is_renamed_as_a_whole_or_not_at_all() -> None:
    """Files that were made durable under the old name exist under the old or the new name."""
    ops = (_op("mkdir", "t"), _op("create", "t/f"), _op("write", "t/f", A), _op("fsync", "t/f"), _op("fsync", "t"), _op("fsync", "."))
    for model in ("ordered", "posix"):
        assert _left(model, *ops, _op("rename", "t", to="d")) == [{"d/f": A}, {"t/f": A}]


def test_a_kill_may_cut_off_a_write_in_progress() -> None:
    """The write ends at a block; all earlier operations survive."""
    data = b"x" * (2 * BLOCK + 5)
    found = states_after(WRITTEN, {}, "kill", under_way=_op("write", "f", data, offset=10))
    assert [len(state.files["f"]) for state in found.found] == [10, BLOCK, 2 * BLOCK]


def test_many_states_are_sampled() -> None:
    """The result says that it is a sample. The same seed draws the same sample, with both extremes; another seed draws another."""
    ops = [_op("create", f"f{number}") for number in range(12)]
    first = states_after(ops, {}, "posix", limit=50, seed=1)
    assert (first.exhaustive, first.possible, len(first.found)) == (False, 4096, 50)
    assert first == states_after(ops, {}, "posix", limit=50, seed=1) != states_after(ops, {}, "posix", limit=50, seed=2)
    assert {len(state.files) for state in first.found} >= {12, 11, 1, 0}


def test_lost_operations_are_described() -> None:
    """Each state that lost something has a description."""
    states = states_after((*WRITTEN, _op("fsync", "f"), _op("rename", "f", to="g")), {}, "posix", limit=100).found
    assert {state.lost for state in states if state.files == {"f": A}} == {("rank 0: rename f -> g",)}
    assert states[0].lost == ()


def test_a_renamed_directory_is_synced_under_its_new_name() -> None:
    """Its files are then durable there, although they were created under the old name."""
    made = (_op("mkdir", "t"), _op("create", "t/f"), _op("write", "t/f", A), _op("fsync", "t/f"))
    assert _left("posix", *made, _op("rename", "t", to="d"), _op("fsync", "d"), _op("fsync", ".")) == [{"d/f": A}]
