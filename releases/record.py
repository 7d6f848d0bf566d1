"""Tries the torch of this interpreter: runs the steps below, and records the result of each step in docs/reference/versions.json.

Nox runs this in an environment of its own for each pair of releases/matrix.toml. By hand: python releases/record.py [--only STEP] [--no-record]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "reference" / "versions.json"

STEPS = {
    "sweep": ["ckpt_harness", "sweep", "--ranks", "2", "--json"],
    "crash": ["ckpt_harness", "crash", "--json"],
    "crash --overwrite": ["ckpt_harness", "crash", "--overwrite", "--json"],
    "unit tests": ["pytest", "tests/unit", "-q", "-n", "auto", "--junitxml"],
    "scenarios": ["pytest", "scenarios", "-q", "-n", "auto", "--junitxml"],
}
"""Name of a step -> the module that runs, and its arguments. The file in which it leaves its result follows the last argument."""


def main() -> int:
    """Runs the steps; the exit status is 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=STEPS, metavar="STEP", help=f"run this step; may be given several times: {', '.join(STEPS)}")
    parser.add_argument("--no-record", action="store_true", help="do not change docs/reference/versions.json")
    options = parser.parse_args()
    failed = 0
    for name in options.only or STEPS:
        step = run(name)
        failed += step["status"] != 0
        if not options.no_record:
            note(name, step)
    return 1 if failed else 0


def run(name: str) -> dict[str, Any]:
    """Runs a step in a process of its own, which prints as usual.

    Args:
        name: the name of the step.

    Returns:
        The exit status, what the step counted, and the date.
    """
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory, "result")
        status = subprocess.run([sys.executable, "-m", *STEPS[name], str(result)], cwd=ROOT, check=False).returncode
        counted = summary(STEPS[name][1], result) if result.exists() else "no result"
    return {"status": status, "result": counted, "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat()}


def summary(command: str, result: Path) -> str:
    """Returns what a step counted, in words.

    Args:
        command: the first argument of the step.
        result: the file that the step wrote.
    """
    text = result.read_text("utf-8")
    if command == "sweep":
        cases = [json.loads(line) for line in text.splitlines()]
        verdicts = Counter(case["verdict"] for case in cases)
        known = sum(case["verdict"] == "HOLDS" and bool(case["known"]) for case in cases)
        others = "".join(f", {count} {verdict}" for verdict, count in sorted(verdicts.items()) if verdict != "HOLDS")
        return f"{len(cases)} cases: {verdicts['HOLDS']} hold, {known} of them with a known finding{others}"
    if command == "crash":
        crashes = json.loads(text)
        return f"{len(crashes['points'])} points, {crashes['states']} states"
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return f"{count['tests'] - failed - count['skipped']} passed, {failed} failed, {count['skipped']} skipped"


def note(name: str, step: dict[str, Any]) -> None:
    """Puts a step into the record of this torch and this Python. Other steps stay as they were.

    Args:
        name: the name of the step.
        step: what :func:`run` returned.
    """
    records = json.loads(RECORDS.read_text("utf-8")) if RECORDS.exists() else []
    pair = {"torch": metadata.version("torch").partition("+")[0], "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    record = next((record for record in records if pair.items() <= record.items()), None)
    if record is None:
        record = {**pair, "steps": {}}
        records.append(record)
    record["steps"][name] = step
    record["steps"] = {known: record["steps"][known] for known in STEPS if known in record["steps"]}  # in the order of STEPS
    records.sort(key=lambda record: [[int(part) for part in record[name].split(".")] for name in ("torch", "python")])
    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
