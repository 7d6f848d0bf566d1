"""The conformance kit on a correct storage, which passes, and on broken storages, which fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from third_party_storage import MARKER, ItemFileReader, ItemFileWriter

from ckpt_harness import StorageConformance
from ckpt_harness.conformance.engine import claimed
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError

HERE = Path(__file__).parent


class TestItemFiles(StorageConformance):
    """A correct storage passes everything."""

    capabilities = {"collectives", "commit marker"}  # noqa: RUF012  (as a user writes it)

    def make_writer(self, place):
        return ItemFileWriter(place)

    def make_reader(self, place):
        return ItemFileReader(place)


BROKEN = f"""
from pathlib import Path
from third_party_storage import CarelessReader, HastyWriter, ItemFileReader, ItemFileWriter, SwallowingWriter
from ckpt_harness import StorageConformance

class TestBroken(StorageConformance):
    {{more}}
    def make_writer(self, place): return {{writer}}(place)
    def make_reader(self, place): return {{reader}}(place)
    def committed(self, place): return (Path(place) / {MARKER!r}).exists()
"""


_EXCEPTIONS = "of_a_failure or which_rank_failed or no_partial or missing or try_again or bit_equal"
"""The tests about exceptions and missing files; the others take longer."""


def _failing(pytester, writer="ItemFileWriter", reader="ItemFileReader", more="", only=_EXCEPTIONS):
    """Names of the tests that a storage fails, of those that ``only`` selects, and the whole report."""
    pytester.syspathinsert(HERE)
    pytester.makepyfile(test_broken=BROKEN.format(writer=writer, reader=reader, more=more))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-rf", "-k", only, "--ckpt-matrix=hide")
    report = result.stdout.str()
    failed = [line.split("::")[-1].split(" - ")[0] for line in report.splitlines() if line.startswith("FAILED ")]
    return failed, report


def _tests(failed):
    return {name.partition("[")[0] for name in failed}


def test_a_writer_that_swallows_its_write_error_fails(pytester):
    """Every rank reports success of a save that one rank did not finish; each failure has its replay line, once."""
    failed, report = _failing(pytester, writer="SwallowingWriter")
    inner = "save_planner.resolve_data@1=raise(OSError:EIO)?"
    assert f"test_every_rank_learns_of_a_failure[save-2-{inner}]" in failed
    assert f"test_every_rank_reports_which_rank_failed_and_why[save-2-{inner}]" in failed
    assert all("resolve_data" in name for name in failed)
    assert report.count("ckpt-harness replay") == len(failed)
    assert "--engine test_broken.py:TestBroken.engine" in report


def test_a_writer_that_commits_before_it_writes_fails(pytester):
    """A commit marker beside data that was never written."""
    failed, _ = _failing(pytester, writer="HastyWriter")
    assert "test_no_partial_checkpoint_is_committed[save-3-writer.write_data@2=raise(OSError:EIO)]" in failed
    assert "test_no_partial_checkpoint_is_committed" in _tests(failed)


def test_a_reader_that_ignores_a_missing_file_fails(pytester):
    """A load reports success although elements were not filled; no other test fails."""
    failed, report = _failing(pytester, reader="CarelessReader")
    assert _tests(failed) == {"test_a_missing_file_is_noticed"}
    assert "a missing file is noticed; with " in report


def test_a_claim_of_checksums_is_tried(pytester):
    """One bit of each stored file is flipped at a time; a storage without checksums loads other values, and a line replays that."""
    failed, report = _failing(pytester, more="capabilities = {'collectives', 'checksums'}", only="damaged_file and flipped")
    assert failed == ["test_a_damaged_file_is_noticed[flipped]"]
    assert "damaged bytes are detected; with " in report
    assert "ckpt-harness damage --engine test_broken.py:TestBroken.engine --ranks 2" in report


def test_a_capability_that_holds_and_is_not_claimed_is_reported(pytester):
    """In the summary, if it held in every test of it; no test fails."""
    failed, report = _failing(pytester, more="capabilities = set()", only="no_partial and save-2")
    assert failed == []
    assert "TestBroken does not claim 'commit marker', though it held in all 7 tests that ask for it" in report


def test_a_finding_in_the_storages_own_register_is_an_expected_failure(pytester):
    """The file lies beside the class; violations that it does not describe still fail."""
    (pytester.path / "known.toml").write_text(_KNOWN)
    failed, report = _failing(pytester, writer="SwallowingWriter", more="register = 'known.toml'", only="of_a_failure and save-2")
    assert failed == []
    assert "1 xfailed" in report
    failed, _ = _failing(pytester, writer="SwallowingWriter", more="register = 'known.toml'", only="no_partial and save-2")
    assert len(failed) == 1


_KNOWN = """
[[finding]]
id = "MINE-1"
title = "An error while writing is taken for an end of the work"
engines = ["*TestBroken.engine"]
versions = ["2.13.0"]
operations = ["save"]
calls = ["together save default"]
sites = ["save_planner.resolve_data"]
effects = ["raise*"]
oracles = ["attribution"]
ranks = 2
about = "It is caught."
source = "third_party_storage.py"
reproducer = "none"
reports = []
newer = "not known"
replay = "ckpt-harness replay 'save_planner.resolve_data@1=raise(OSError:EIO)'"
signature = [{ victim = "returned", coordinator = "returned", other = "returned" }]
"""


def test_a_replay_line_finds_the_storage_by_the_file_of_its_class():
    """So the module need not be importable by name."""
    name = TestItemFiles.engine.name
    assert name.endswith("test_conformance.py:TestItemFiles.engine")
    assert find_engine(name) is TestItemFiles.engine


def test_an_unknown_capability_is_refused():
    """The message shows valid capabilities, and the command that prints all."""

    class Boastful(StorageConformance):
        capabilities = {"collectives", "telepathy"}  # noqa: RUF012  (likewise)

    message = r"Boastful\.capabilities: unknown capability 'telepathy'; valid: collectives, .*; all: `pydoc ckpt_harness\.faults\.protocol\.Capability`$"
    with pytest.raises(UsageError, match=message):
        claimed(Boastful)
