"""What engines print is caught case by case, at the level of descriptors."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckpt_harness.cases import printed


def test_the_examples_are_true() -> None:
    """Each docstring's example gives what it says."""
    assert doctest.testmod(printed).failed == 0


def test_everything_that_a_process_prints_is_caught(capfd: pytest.CaptureFixture[str]) -> None:
    """Python's streams, descriptors and children, in their order; nothing reaches the streams of the command."""
    before = sys.stdout, sys.stderr
    with printed.caught():
        print("to stdout")
        print("to stderr", file=sys.stderr)
        os.write(1, b"to descriptor 1\n")
        os.write(2, b"to descriptor 2\n")
        subprocess.run(["echo", "from a child"], check=True, timeout=60)
        lines = printed.so_far().splitlines()
        print("the report", file=printed.stdout())
        print("the progress", file=printed.stderr())
    assert lines == ["to stdout", "to stderr", "to descriptor 1", "to descriptor 2", "from a child"]
    assert (sys.stdout, sys.stderr) == before
    assert tuple(capfd.readouterr()) == ("the report\n", "the progress\n")
    print("as ever")
    assert capfd.readouterr().out == "as ever\n"


def test_a_case_begins_with_nothing_printed() -> None:
    """What an earlier case printed is forgotten."""
    with printed.caught():
        print("earlier")
        printed.begin()
        print("now")
        assert printed.so_far() == "now"


def test_nothing_is_caught_unless_a_command_asks_for_it(capfd: pytest.CaptureFixture[str]) -> None:
    """In a test suite, the test runner catches what is printed."""
    printed.begin()
    print("for the test runner")
    assert printed.so_far() == ""
    assert capfd.readouterr().out == "for the test runner\n"


def test_an_error_shows_what_was_printed_before(capfd: pytest.CaptureFixture[str]) -> None:
    """It may say why the error came."""
    def fail() -> None:
        print("no credentials")
        raise RuntimeError

    with pytest.raises(RuntimeError), printed.caught():
        fail()
    assert tuple(capfd.readouterr()) == ("", "no credentials\n")


def test_the_ends_of_a_long_output_are_kept() -> None:
    """A case that prints without end does not fill the memory, nor the report."""
    with printed.caught():
        for number in range(100_000):
            os.write(1, f"line {number}\n".encode())
        text = printed.so_far()
    assert len(text) < 10_000
    lines = printed.shown(text)
    assert lines[:2] == ["printed:", "  | line 0"]
    assert lines[-1] == "  | line 99999"
    assert len(lines) == 22
    assert any("left out" in line for line in lines)


def test_a_progress_bar_is_one_line() -> None:
    """Its last state, as on a terminal."""
    with printed.caught():
        print("\r 10 %\r 50 %\r100 %")
        assert printed.so_far() == "100 %"


def test_stdin_is_empty() -> None:
    """A debugger, whose prompt nobody would see, ends at once."""
    with printed.caught():
        assert os.read(0, 10) == b""


def test_a_file_named_stdout_is_the_streams_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """``--json /dev/stdout`` writes where stdout leads, and other files are themselves."""
    with printed.caught():
        printed.uncaught(Path("/dev/stdout")).write_text("lines\n", "ascii")
        printed.uncaught(Path("/dev/stderr")).write_text("complaints\n", "ascii")
        assert printed.uncaught(tmp_path) == tmp_path
        assert printed.so_far() == ""
    assert tuple(capfd.readouterr()) == ("lines\n", "complaints\n")
