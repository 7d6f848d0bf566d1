"""The corpus: files that a reader understands, that several processes can share, and that are put aside when their job holds."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ckpt_harness.campaigns.fuzz.corpus import HEALED, Corpus, Remembered, read, versions
from ckpt_harness.errors import UsageError
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import Broken, JobRecord
from ckpt_harness.judging.verdict import Verdict

JOB = Job.parse("save a; save a; load latest", faults="save[2]/writer.finish@0=raise", ranks=3, seed=4)
RECORD = JobRecord(JOB, Verdict.VIOLATED, (Broken("pairing", "save", reason="mixed"), Broken("agreement")), happened=("", "rank 0 raised X", ""))


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_begins_with_the_line_that_replays_it(tmp_path: Path) -> None:
    """A reader finds the line for the shell, the broken claims, the versions, and the program."""
    Corpus(tmp_path / "new").add(Remembered.of(RECORD), RECORD.happened)
    [path] = (tmp_path / "new").iterdir()
    lines = path.read_text().splitlines()
    assert lines[0] == JOB.replay_line()
    assert lines[2:6] == ["broken: agreement", "broken: pairing of save", f"first seen: {versions()}", ""]
    assert "    # -> rank 0 raised X" in lines


def test_what_was_kept_is_read_back(tmp_path: Path) -> None:
    """Job, claims and versions."""
    Corpus(tmp_path).add(Remembered.of(RECORD))
    assert list(Corpus(tmp_path)) == [Remembered(JOB, ("agreement", "pairing of save"), versions())]


def test_the_first_to_see_a_failure_is_remembered(tmp_path: Path) -> None:
    """A file that exists is not written again."""
    corpus = Corpus(tmp_path)
    corpus.add(Remembered(JOB, ("pairing",), "torch 1.0"))
    corpus.add(Remembered(JOB, ("pairing",), "torch 9.9"))
    assert [remembered.first_seen for remembered in corpus] == ["torch 1.0"]


def test_a_job_that_holds_is_put_aside(tmp_path: Path) -> None:
    """It moves to a directory within, whatever the name of its file, and does not come again. A second process finds that done."""
    corpus, other = Corpus(tmp_path), Corpus(tmp_path)
    corpus.add(Remembered(JOB, ("pairing",)))
    [path] = tmp_path.iterdir()
    path.rename(tmp_path / "renamed.job")
    [remembered] = other
    corpus.heal(remembered)
    other.heal(remembered)
    assert _files(tmp_path) == [f"{HEALED}/renamed.job"]
    assert list(corpus) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no job that can run: '' is no replay line"),
        (b"nonsense", "'nonsense' is no replay line"),
        (b"ckpt-harness job 'fly a' --ranks 2", "unknown operation 'fly'"),
        (b"ckpt-harness job 'save a' --ranks 2 --engine nonsense", "unknown engine 'nonsense'"),
        (b"ckpt-harness job 'save a' --ranks 2 --faults 'save[1]/writer.finish@7=raise'", "7"),
        (b"\xff\xfe\0", "cannot be read: 'utf-8' codec"),
        (b"x" * 2_000_000, "holds no job that can run"),
    ],
)
def test_a_bad_file_gives_one_line_and_stops_nothing(tmp_path: Path, content: bytes, message: str) -> None:
    """The other files are read; the bad file stays where it is."""
    corpus = Corpus(tmp_path)
    corpus.add(Remembered(JOB, ("pairing",)))
    (tmp_path / "bad.job").write_bytes(content)
    assert [remembered.job for remembered in corpus] == [JOB]
    [line] = corpus.unreadable
    assert "'bad.job'" in line or "/bad.job'" in line
    assert message in line
    assert len(line) < 200
    assert "\n" not in line
    assert (tmp_path / "bad.job").exists()


def test_a_directory_that_is_named_like_a_job_is_a_bad_file(tmp_path: Path) -> None:
    """It gives one line, too."""
    (tmp_path / "folder.job").mkdir()
    corpus = Corpus(tmp_path)
    assert list(corpus) == []
    assert "Is a directory" in corpus.unreadable[0]


def test_other_files_are_none_of_a_corpus(tmp_path: Path) -> None:
    """Notes and unfinished files are left alone."""
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / ".half-1.tmp").write_text("ckpt-harness job")
    corpus = Corpus(tmp_path)
    assert list(corpus) == []
    assert corpus.unreadable == []


def test_a_corpus_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """At once, in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; valid: a directory"):
        Corpus(tmp_path / "file")


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a file is written: neither half a file nor a temporary file stays."""

    def interrupted(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Corpus(tmp_path).add(Remembered(JOB, ("pairing",)))
    assert _files(tmp_path) == []


def test_a_corpus_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    """The message has the directory and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"corpus '.*' cannot be written: Not a directory"):
        Corpus(tmp_path / "file" / "inside").add(Remembered(JOB, ("pairing",)))


def test_many_processes_at_once_keep_every_job_whole(tmp_path: Path) -> None:
    """Writers and readers of the same directory see whole files only."""
    jobs = [Job.parse("save a; load a", seed=seed) for seed in range(20)]

    def write() -> None:
        for job in jobs:
            Corpus(tmp_path).add(Remembered(job, ("pairing",), "v"))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    while any(writer.is_alive() for writer in writers):
        corpus = Corpus(tmp_path)
        assert all(remembered.first_seen == "v" for remembered in corpus)
        seen += corpus.unreadable
    for writer in writers:
        writer.join(60)
    assert seen == []
    assert {read(path).job for path in tmp_path.glob("*.job")} == {*jobs}
    assert len(_files(tmp_path)) == len(jobs)
