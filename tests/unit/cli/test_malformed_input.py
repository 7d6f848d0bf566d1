"""Malformed input: plans, options, engines, registers, JSON. Each gets one line and exit status 2, and nothing runs."""

# ruff: noqa: E501, RUF001  (a table reads best with few lines; digits of other scripts are part of it)
from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ckpt_harness.cli import main
from ckpt_harness.errors import PlanError
from ckpt_harness.faults.plan import FaultPlan

pytestmark = pytest.mark.usefixtures("silence")

_BAD = "tests/unit/cli/bad_engines.py"
_LONGEST = 420
"""Characters of a line: a message of at most 400, and its label."""

_FAULTS = [
    "x", "=", "@", "@=", "write", "write@0", "@0=raise", "writer.write_data@=raise", "writer.write_data@0=", "writer.write_data@0=raise=raise",
    "writer.write_data@0=explode", "writer.write_data@0=raise(", "writer.write_data@0=raise(NoSuchError)", "writer.write_data@0=raise(OSError:EWHAT)",
    "writer.write_data@0=raise(ValueError:EIO)", "writer.write_data@0=raise(a,b)", "writer.write_data@0=raise(no.such.Error)",
    "writer.write_data@0=raise(os.getcwd)", "writer.write_data@0=raise(os.sep)", "writer.write_data@0=raise(os.NoSuch)",
    "writer.write_data@0=raise(UnicodeDecodeError)", "writer.write_data@0=raise(int)", "writer.write_data@0=raise(print)",
    "writer.write_data@0=raise(bad_errors.Leaver)", "writer.write_data@0=raise(bad_errors.TakesTwo)", "writer.write_data@0=raise(bad_errors.Odd)",
    "writer.write_data@0=raise(leaves.Error)", "writer.write_data@0=raise(breaks.Error)", "writer.write_data@0=raise(torn.Error)",
    "writer.write_data@0=raise(holds_nul.Error)", "writer.write_data@0=delay(x)",
    "writer.write_data@0=delay(-1)", "writer.write_data@0=delay(0)", "writer.write_data@0=delay(nan)", "writer.write_data@0=delay(inf)",
    "writer.write_data@0=delay(1_0)", "writer.write_data@0=delay(٣)", "writer.write_data@0=delay(1,2)", "writer.write_data@0=hang(1)",
    "writer.write_data@0=kill(1)", "writer.write_data@0=bitflip(1)", "writer.write_data@0=status(500)", "writer.write_data@0=nevercomplete",
    "writer.write_data@٠=raise", "writer.write_data@0#٢=raise", "writer.write_data@0,٢=raise", "writer.write_data@5=raise", "writer.write_data@-1=raise",
    "writer.write_data@boss=raise", "writer.write_data@0,x=raise", "writer.write_data@0,,1=raise", "writer.write_data@1.5=raise",
    "writer.write_data@1000000000=raise", "writer.write_data@99999999999999999999=raise", "writer.write_data@0#0=raise", "writer.write_data@0#x=raise",
    "writer.write_data@0#-1=raise", "writer.write_data@0#999999999=raise", "writer.write_data@0#1000000000=raise", "writer.write_data@0#1x0=raise",
    "writer.write_data@0#1x999999999=raise", "writer.write_data@0#1xx=raise", "writer.write_data@0#=raise", "writer.write_data@0!before=raise",
    "writer.write_data@0!=raise", "writer.write_data@0?=raise", "writer.write_data@0=raise??", "writer.finish@1=raise", "writer.finish@all=raise",
    "writer.finish@others=raise", "load/writer.write_data@0=raise", "copy/writer.write_data@0=raise",
    "save[0]/writer.write_data@0=raise", "save[x]/writer.write_data@0=raise", "save[]/writer.write_data@0=raise",
    "save[1000000000]/writer.write_data@0=raise", "save[٢]/writer.write_data@0=raise", "save[1/writer.write_data@0=raise", "/writer.write_data@0=raise",
    "write_dat@0=raise", "writer.@0=raise", ".write_data@0=raise", "writer..write_data@0=raise", "Writer.write_data@0=raise", "fs@0=raise",
    "writer.write_data(x)@0=raise", "writer.write_data()@0=raise", "fs.write(x@0=diskerror", "fs.write(a(b))@0=diskerror",
    "fs.write@0=bitflip(-1)", "fs.write@0=bitflip(x)", "fs.write@0=bitflip(999999999999999)", "fs.write@0=nospace(٣)",
    "fs.write@0=diskerror(EWHAT)", "writer.write_data@0=raise; writer.write_data@0=raise",
    "writer.write_data@0=raise; writer.write_data@all=hang", "writer.write_data@0=stop", "writer.write_data@0=exit(1)",
    "writer.write_data.future@0=raise", "http.get@0=status(99)", "http.put@0=status(x)", "http.put@0=reset",
    "executor.start@0=raise", "\0", "writer.write_data@0=raise\0", "🙂@0=raise", "writer.write_data@🙂=raise",
    "(" * 500, "[" * 500, "x" * 5000, "; ;x", "writer.write_data@0=raise(" + "x" * 3000 + ")", "writer.write_data@" + "0," * 2000 + "=raise",
]  # fmt: skip

_ENGINES = [
    "", ":", ":x", "x:", "::", ":::", "tape", "no.such:ENGINE", "no/such.py:ENGINE", ".py:x", "os:getcwd", "os:sep", "os:path", "os:no_such", "os:path.no_such",
    "os:path..join", "os:.", "json:JSONDecoder", "sys:maxsize", "builtins:None", "builtins:print", "builtins:ValueError", "builtins:True", ".x:y", "..:y",
    "a b:c", "x\0y:z", "x\0y.py:z", "🙂:x", "x" * 3000, "x" * 3000 + ":y", "/:x", "/tmp:x", "leaves:ENGINE", "breaks:ENGINE", "torn:ENGINE", "holds_nul:ENGINE",
    "leaves.py:ENGINE", "breaks.py:ENGINE", "torn.py:ENGINE", "holds_nul.py:ENGINE", "not_utf8.py:ENGINE", "lazy:ENGINE", "exits_by_property:HOLDER.engine",
    *(f"{_BAD}:{name}" for name in (
        "NUMBER", "NOTHING", "TEXT", "function", "Plain", "Leaver", "OfClass", "NO_SUCH", "NO_CAPABILITIES", "TEXTS", "MISSPELLED", "ONE_TEXT", "NO_PROTOCOL", "NO_NAME",
        "NO_ABOUT", "NO_USUAL", "NO_PLANNERS", "NO_HOLDING", "NO_METHOD", "NO_HOOK",
    )),
]  # fmt: skip

_OPTIONS = [
    *(("sweep", "--ranks", value) for value in ("", ",", "2,", "2,2", "0", "-1", "x", "2,x", "1.5", "٢", "²", "1025", "9" * 30, "1_0", "2 3", "2,3,2")),
    *(("sweep", "--op", value) for value in ("", "copy", "save,copy", "save,,load", "save,save", "SAVE", "save load")),
    *(("sweep", "--coordinator", value) for value in ("", "first", "-1", "٠", "0,1", "9" * 30)),
    *((command, "--jobs", value) for command in ("sweep", "crash", "check x") for value in ("0", "-1", "x", "", "٢", "1_0")),
    *(("sweep", f"--{name}", value) for name in ("zoo", "way", "onto", "overlap", "staging", "executor", "world") for value in ("", "no such", "١")),
    *(("sweep", name, "x") for name in ("--seed", "--workload", "--planner", "--no-such", "--pairs=")),
    *(("replay ''", f"--{name}", value) for name in ("ranks", "coordinator", "seed") for value in ("", "x", "1.5", "٢", "1_0", "9" * 40)),
    *(("replay ''", f"--{name}", value) for name in ("op", "way", "world", "workload", "planner") for value in ("", "no such")),
    ("replay ''", "--coordinator", "2"), ("replay ''", "--ranks", "0"), ("replay ''", "--ranks", "1025"), ("replay", "--ranks", "2"),
    *(("crash", f"--{name}", value) for name in ("ranks", "limit") for value in ("0", "-1", "x", "٢", "")),
    ("crash", "--ranks", "65"), ("crash", "--model", "luck"), ("crash", "--workload", "huge"), ("crash", "--engine", "huggingface"), ("crash", "--engine", "fsspec-memory"),
    *(("damage", "--ranks", value) for value in ("0", "65", "x", "٢")),
    ("damage", "--engine", "fsspec-memory"),
    *(("check x", "--every", value) for value in ("0", "-1", "x", "٢", "")), *(("check x", "--ranks", value) for value in ("0", "2,2", "x")),
    *((command, "--json", value) for command in ("sweep", "crash", "check x") for value in ("", ".", "/", "/no/such/file", "/proc/no_such")),
    *((command, "--write", value) for command in ("findings", "track-record") for value in ("", "/", "/no/such/file")),
    ("engines", "--write", "x"), ("engines", "no_such_report", "other"), ("dance", "x", "y"), ("sites", "x", "y"), ("effects", "--x", "y"), ("--no-such", "x", "y"),
]  # fmt: skip

_REGISTERS = [
    "[", "[" * 5000, "a = " + "[" * 5000, "x = 1", "finding = 1", "finding = [1]", "finding = []\nx = 1", "[[finding]]", "[finding]", "\0", "\ufeffx", "[[finding]]\nid = 5",
    "[[finding]]\nid = 'X-1'", "[[finding]]\nid = ''", "[[finding]]\nno_such = 1", "a = 99999999999999999999999", "a = 1979-13-45", "a = " + "9" * 5000,
    "[[finding]]\n[[finding]]", "[[findings]]\nid = 'X-1'", "a.b.c = 1", "[[finding.signature]]\nx = 1",
]  # fmt: skip

_JSON = [
    "", "x", "[", "[" * 5000, "{}", "5", "null", '"x"', "[1]", "[null]", "[[]]", "[{}]", "9" * 5000, '[{"site": "writer.finish"}]',
    *(json.dumps([{"site": "fs.write", "ranks": [0], "effect": "diskerror", "glob": glob}]) for glob in ("a(b", "a)b", "a;b", "a\nb", "a\0b", "(", ";", "a\rb")),
    *(json.dumps([{"site": "fs.write", "ranks": [0], "effect": "diskerror", "glob": glob}]) for glob in (5, [], {}, True)),
    *(json.dumps([{"site": "writer.finish", "ranks": [0], "effect": "raise", name: value}])
      for name, value in itertools.chain(
          (("nth", value) for value in (0, -1, 1.5, "1", True, [], 10**9, 10**30, 999_999_999)),
          (("times", value) for value in (0, -1, 1.5, "1", True, [], 10**9, 999_999_999)),
          (("after", value) for value in (1, "yes", None)), (("optional", value) for value in (1, "yes", None)),
          (("operation", value) for value in ({}, "save", {"kind": "copy", "index": 1}, {"kind": "save", "index": 0}, {"kind": "save"}, 5)),
          (("ranks", value) for value in ([], [-1], ["0"], [0.5], "boss", 0, [0, 0], [1, 0], None, [True], [10**9], {})),
          (("effect", value) for value in ("", "explode", 5, None, "raise(", ["raise"])), (("site", value) for value in ("", "finish_", 5, None)),
          (("glob", value) for value in ("x", "")), (("other", value) for value in (1,)),
      )),
]  # fmt: skip


_REPORTS = (b"", b"{", b"[]", b"null", b"7", b"{}", b'{"engine": "mine"}', b"\xff", b"[" * 100_000)


def _rows(tmp_path: Path) -> Iterator[list[str]]:
    for plan in _FAULTS:
        yield ["replay", plan]
    for engine in _ENGINES:
        yield ["replay", "", "--engine", engine]
    for command, option, value in _OPTIONS:
        words = [word.strip("'") for word in command.split()]
        yield [*words, option, value]
    for number, text in enumerate(_REGISTERS):
        file = tmp_path / f"{number}.toml"
        file.write_text(text, encoding="utf-8")
        yield ["findings", "--register", str(file)]
    for number, content in enumerate(_REPORTS):
        report = tmp_path / f"{number}.json"
        report.write_bytes(content)
        yield ["engines", "--write", str(tmp_path / "page.md"), str(report)]
    not_utf8 = tmp_path / "not_utf8.toml"
    not_utf8.write_bytes(b"\xff\xfe")
    for path in (str(not_utf8), "", "/no/such.toml", "/"):
        yield ["findings", "--register", path]


def _modules(folder: Path) -> None:
    (folder / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    (folder / "breaks.py").write_text("raise BaseException('broken on purpose')\n")
    (folder / "torn.py").write_text("def (\n")
    (folder / "holds_nul.py").write_bytes(b"x = 1\0\n")
    (folder / "not_utf8.py").write_bytes(b"x = '\xff'\n")
    (folder / "lazy.py").write_text("def __getattr__(name):\n    raise SystemExit(0)\n")
    (folder / "exits_by_property.py").write_text("class Holder:\n    @property\n    def engine(self):\n        raise SystemExit(0)\nHOLDER = Holder()\n")
    (folder / "bad_errors.py").write_text(Path(_BAD).read_text("utf-8"), encoding="utf-8")


def test_malformed_input_gets_one_line_and_status_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 300 inputs with what is wrong in one line, and never a traceback, silence, or success."""
    _modules(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    runner, wrong, rows = CliRunner(), [], list(_rows(tmp_path))
    for row in rows:
        result = runner.invoke(main, row, env={"COLUMNS": "200"})
        errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
        is_last = bool(errors) and result.output.rstrip("\n").endswith(errors[-1])
        if result.exit_code != 2 or len(errors) != 1 or not is_last or len(errors[0]) > _LONGEST:
            wrong.append(f"{[word[:60] for word in row]}: status {result.exit_code}: {result.output[-300:]!r}")
    assert not wrong, "\n".join(wrong)
    assert len(rows) >= 300


@pytest.mark.parametrize("text", _JSON, ids=range(len(_JSON)))
def test_malformed_json_is_a_plan_error_in_one_line(text: str) -> None:
    """The message is short, whatever the text holds, and names a value."""
    with pytest.raises(PlanError) as error:
        FaultPlan.from_json(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < _LONGEST
