"""The exception zoo: every member really has the property that it is kept for."""

from __future__ import annotations

import copyreg
import errno
import pickle
import sys
import types

import pytest

from ckpt_harness.errors import InjectedFault, PlanError
from ckpt_harness.faults import error_specs

MESSAGE = "injected at writer.write_data on rank 2"


def test_unpicklable_cannot_be_pickled() -> None:
    """``dumps`` fails."""
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pickle.dumps(error_specs.make("unpicklable", MESSAGE))


def test_unloadable_pickles_and_cannot_be_unpickled() -> None:
    """``dumps`` succeeds and ``loads`` fails."""
    data = pickle.dumps(error_specs.make("unloadable", MESSAGE))
    with pytest.raises(TypeError):
        pickle.loads(data)


def test_local_is_of_a_class_that_pickle_cannot_find() -> None:
    """Its class has no importable name."""
    error = error_specs.make("local", MESSAGE)
    assert "<locals>" in type(error).__qualname__
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(error)


def test_control_is_no_exception() -> None:
    """``except Exception`` lets it through, and it crosses ranks."""
    error = error_specs.make("control", MESSAGE)
    assert not isinstance(error, Exception)
    assert str(pickle.loads(pickle.dumps(error))) == MESSAGE


def test_caused_has_a_cause() -> None:
    """It was raised from another error."""
    cause = error_specs.make("caused", MESSAGE).__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.EIO


def test_huge_has_a_message_of_a_megabyte() -> None:
    """Exactly, and it starts with what it is about."""
    text = str(error_specs.make("huge", MESSAGE))
    assert (len(text), text.startswith(MESSAGE)) == (error_specs.HUGE, True)


def test_unicode_has_text_that_ascii_cannot_hold() -> None:
    """And it survives pickling."""
    error = error_specs.make("unicode", MESSAGE)
    assert not str(error).isascii()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("name", error_specs.ZOO)
def test_every_member_says_where_it_was_injected(name: str) -> None:
    """So that the right error can be distinguished from a wrong error."""
    assert MESSAGE in str(error_specs.make(name, MESSAGE))


@pytest.mark.parametrize("spec", ["InjectedFault", "ValueError", "SystemExit", "KeyboardInterrupt", "StopIteration", "OSError"])
def test_plain_errors_cross_ranks(spec: str) -> None:
    """An error by its own name is of that type, and comes back from pickle as it was."""
    error = error_specs.make(spec, MESSAGE)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (type(error).__name__, again.args) == (spec, (MESSAGE,))


def test_an_os_error_has_the_errno_asked_for() -> None:
    """With the system's words and the place."""
    error = error_specs.make("OSError:ENOSPC", MESSAGE)
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert MESSAGE in str(error)
    assert "No space left" in str(error)


def test_a_class_of_the_users_is_found_by_its_path() -> None:
    """``raise(my.module.Error)`` raises it."""
    assert type(error_specs.make("ckpt_harness.errors.InjectedFault", MESSAGE)) is InjectedFault


@pytest.mark.parametrize("spec", ["InjectedFault", "OSError:EIO", "ValueError", "somewhere.Else", *error_specs.SWEPT])
def test_an_error_that_can_be_raised_is_accepted(spec: str) -> None:
    """Syntax alone: a path is not imported before a world is there."""
    error_specs.check(spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("OSError:ENOPE", "unknown errno 'ENOPE'; nearest: ENO"),
        ("ValueError:EIO", "only OSError takes an errno"),
        ("OSError:", "unknown errno ''"),
        ("Nonsense", "unknown error 'Nonsense'"),
        ("print", "unknown error 'print'"),
        ("UnicodeDecodeError", "a builtin that takes a message"),
        ("", "unknown error ''"),
    ],
)
def test_an_error_that_cannot_be_raised_is_refused(spec: str, words: str) -> None:
    """With the value and the choices."""
    with pytest.raises(PlanError, match=words):
        error_specs.check(spec)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Missing", "cannot be imported"),
        ("NoError", "is not an exception class"),
        ("Demanding", "cannot be made from a message alone"),
    ],
)
def test_a_class_that_cannot_be_raised_is_refused_before_anything_runs(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there, no error, or a constructor that needs more arguments: known before the first rank starts."""
    module = types.ModuleType("users_errors")
    module.NoError = int
    module.Demanding = type("Demanding", (Exception,), {"__init__": lambda self, code, *, response: None})
    monkeypatch.setitem(sys.modules, "users_errors", module)
    with pytest.raises(PlanError, match=words):
        error_specs.check(f"users_errors.{name}", load=True)


def test_whether_an_error_crosses_is_found_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine may teach pickle a class of errors, and end that again."""
    assert not error_specs.crosses("unloadable")
    monkeypatch.setitem(copyreg.dispatch_table, error_specs.Unloadable, lambda error: (RuntimeError, error.args))
    assert error_specs.crosses("unloadable")
    monkeypatch.undo()
    assert not error_specs.crosses("unloadable")
