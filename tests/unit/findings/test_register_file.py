"""Register files: reading entries, and one clear line for each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ckpt_harness.errors import UsageError
from ckpt_harness.findings.page import EXAMPLE
from ckpt_harness.findings.register import Register


def _read(tmp_path: Path, text: str) -> Register:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return Register.read(file)


def test_the_example_of_the_page_is_a_register(tmp_path: Path) -> None:
    """The example can be read, and added to the shipped register."""
    mine = _read(tmp_path, EXAMPLE)
    [entry] = mine.entries
    assert entry.id == "S3-001"
    assert entry.signatures[0].roles["other"] == ("hung broadcast, waiting for * in broadcast_object", "returned")
    both = Register.shipped() + mine
    assert both.entries[-1].id == "S3-001"


def test_an_empty_file_is_an_empty_register(tmp_path: Path) -> None:
    """A file without findings gives a register without entries."""
    assert _read(tmp_path, "").entries == ()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: "[[finding", "mine.toml': "),
        (lambda text: 'version = 1\n' + text, "holds 'version'; valid: [[finding]] tables only"),
        (lambda text: 'finding = 1\n', "finding is 1; valid: [[finding]] tables"),
        (lambda text: text.replace('title = "', '# "'), "entry 'S3-001' lacks title; all fields of the example in docs/FINDINGS.md are needed"),
        (lambda text: text.replace('id = "S3-001"', '#'), "entry 1 lacks id; all fields of the example in docs/FINDINGS.md are needed"),
        (lambda text: "[[finding]]\n", "entry 1 lacks id, title, about and 13 more; all fields of the example in docs/FINDINGS.md are needed"),
        (lambda text: text.replace("source =", 'newest = "x"\nsource ='), "entry 'S3-001': unknown field 'newest'; nearest: newer, "),
        (lambda text: text.replace('"What happens, and why."', '""'), "about is ''; valid: a text"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = "2" '), "ranks is '2'; valid: a number of ranks, from 1"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nsometimes = "yes" '), "sometimes is 'yes'; valid: true, false"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\ncrossing = 1 '), "crossing is 1; valid: true, false"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\ncrossing = true '), "crossing is true; valid: only with sites = []"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nreasons = [] '), "reasons is []; valid: patterns of what an oracle says, or no reasons"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nwithin = ["writer.wrote"] '), "no site matches 'writer.wrote'; nearest: "),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nno_site = " " '), "no_site is ' '; valid: a text"),
        (lambda text: text.replace('["save"]', '["save", "load"]').replace("ranks = 2 ", 'ranks = 2\nhalfway = true '), "halfway is true; valid: only with"),
        (lambda text: text.replace('["writer.finish"]', '["*"]'), "sites holds '*'; valid: the sites at which the finding shows"),
        (lambda text: text.replace('["writer.finish"]', "[]"), "sites is []; valid: sites, or no_site = 'why the finding has none'"),
        (lambda text: text.partition("victim =")[0] + 'victim = "*"\nother = ["returned", "*"]\n', "signature 1 allows every end on every rank; valid: how"),
        (lambda text: text.partition("victim =")[0] + 'victim = ["r*", "h*", "[d]*"]\n', "signature 1 allows every end on every rank"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nreasons = "x" '), "reasons is 'x'; valid: a list of texts"),
        (lambda text: text.replace('operations = ["save"]', 'operations = "save"'), "operations is 'save'; valid: a list of texts"),
        (lambda text: text.replace('operations = ["save"]', 'operations = ["sava"]'), "unknown operation 'sava'; valid: save, async_save, load"),
        (lambda text: text.replace('calls = ["*"]', 'calls = ["group save *"]'), "no call matches 'group save *'; valid: way, operation and planner"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nbackground = ["fork"] '), "no background matches 'fork'; valid: executor, staging and"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\ncrashes = ["boom"] '), "no crash matches 'boom'; valid: save, model, result and moment"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\ncrashes = ["overwrite kill nothing"] '), "no crash matches 'overwrite kill nothing'; valid: "),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nunless = ["atomic"] '), "unknown capability 'atomic'; nearest: atomic overwrite"),
        (lambda text: text.replace("ranks = 2 ", 'ranks = 2\nreasons = ["rank * *"] '), "reasons holds 'rank * *', which matches whatever was wrong; valid"),
        (lambda text: text.replace('"bounded", ', '"purity", '), "has no reasons; valid: with the oracle purity, patterns of what the oracle says"),
        (lambda text: text.replace('["save"]', '["load"]').replace("ranks = 2 ", 'ranks = 2\nin_place = true '), "in_place is true; valid: only with"),
        (lambda text: text.replace('"bounded", ', '"bound", '), "unknown oracle 'bound'; nearest: bounded; "),
        (lambda text: text.replace('["writer.finish"]', '["writer.finnish"]'), "no site matches 'writer.finnish'; nearest: writer.finish, "),
        (lambda text: text.partition("[[finding.signature]]")[0] + "signature = []\n", "entry 'S3-001' has no signature; valid: at least one"),
        (lambda text: text.replace("victim =", 'calls = ["x"]\nvictim ='), "signature 1: no call matches 'x'; valid: way, operation and planner"),
        (lambda text: text.replace("victim =", "viktim ="), "signature 1: unknown field 'viktim'; valid: victim, "),
        (lambda text: text.replace("victim =", "#").replace("other =", "#"), "signature 1 describes no role; roles: victim, "),
        (lambda text: text.replace('"raised the injected error"', "7"), "signature 1: victim is 7; valid: a list of texts"),
        (lambda text: text + text, "two entries have the id 'S3-001'; valid: an id of its own for each entry"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_one_clear_line(tmp_path: Path, change: object, complaint: str) -> None:
    """The message names the entry, the mistake and the valid values, in one line."""
    with pytest.raises(UsageError, match=re.escape(complaint)) as refused:
        _read(tmp_path, change(EXAMPLE))  # type: ignore[operator]
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("findings register")
    assert len(str(refused.value)) < 220  # the name of the file may take 60 characters


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    """A missing file, a directory and a binary file are refused."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, complaint in (("nowhere", "No such file"), (".", "directory"), ("binary", "not UTF-8")):
        with pytest.raises(UsageError, match=complaint):
            Register.read(tmp_path / name)


def test_an_entry_without_a_site_says_why(tmp_path: Path) -> None:
    """With ``no_site`` an entry may do without sites."""
    text = EXAMPLE.replace('["writer.finish"]', "[]").replace("ranks = 2 ", 'ranks = 2\nno_site = "It needs no fault." ')
    [entry] = _read(tmp_path, text).entries
    assert (entry.sites, entry.no_site) == ((), "It needs no fault.")
