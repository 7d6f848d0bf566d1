"""The README and the pages below docs/, taken apart into their fenced blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md"))]
_GENERATED = ("FAULTS.md", "FINDINGS.md", "ENGINES.md", "TRACK_RECORD.md", "reference/across.md", "reference/versions.md")
GENERATED = {ROOT / "docs" / name for name in _GENERATED}
"""Pages that a command writes, from tables or from what it ran."""

_BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*?) -->\n+)?^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: the file.
        line: number of its first line.
        language: what follows the fence.
        text: its content.
        comment: content of the HTML comment right before it, which says what a test does with the block; "" without.
    """

    page: Path
    line: int
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """The path of a page below the root."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 2
        found.append(Block(page, line, match["language"], match["text"], match["comment"] or ""))
    return found


def every_block(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


@dataclass(frozen=True)
class Command:
    """A command of a console block, and what the block shows below it.

    Attributes:
        line: what is typed.
        shown: the output; ``...`` stands for any text.
    """

    line: str
    shown: str


def commands(block: Block) -> list[Command]:
    """The commands of a console block: each line that begins with ``$``, with the lines below it."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"{block}: a console block begins with a command"
    return [Command(first, rest) for first, _, rest in (part.partition("\n") for part in parts[1:])]


def pattern(shown: str) -> re.Pattern[str]:
    """What an output has to match to be what a page shows: a line ``...`` stands for any lines, ``...`` within a line for any characters."""
    parts = []
    for line in shown.rstrip("\n").split("\n"):
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(re.escape(line.rstrip()).replace(re.escape("..."), ".*") + r" *\n")
    return re.compile("".join(parts))


def calls(block: Block) -> Iterator[list[str]]:
    """The words after ``ckpt-harness`` of each command in a block of shell lines."""
    lines = [command.line for command in commands(block)] if block.language == "console" else block.text.replace("\\\n", " ").split("\n")
    for line in lines:
        words = shlex.shlex(line.replace("bash -c '", "").rstrip("'") if "bash -c" in line else line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        yield from _called(list(words))


def _called(words: list[str]) -> Iterator[list[str]]:
    """Splits words at pipes and the like, and yields what follows the program's name."""
    part: list[str] = []
    for word in [*words, ";"]:
        if not word or set(word) - set(";&|<>()"):
            part.append(word)
            continue
        command = part[: part.index(">")] if ">" in part else part
        if command[:1] == ["ckpt-harness"]:
            yield command[1:]
        elif "ckpt_harness" in command and command[command.index("ckpt_harness") - 1] == "-m":
            yield command[command.index("ckpt_harness") + 1 :]
        part = [*part, word] if word.startswith(">") else []


_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """The targets of links to files and headings of this repository."""
    text = _BLOCK.sub("", page.read_text("utf-8"))
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", text))


def anchors(page: Path) -> set[str]:
    """The anchors that code hosts give the headings of a page."""
    text = _BLOCK.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
