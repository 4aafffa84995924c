#!/usr/bin/env python3
"""Run the test of each promise, then break the promise and see that the test fails.

    python tests/reliability/check.py [WORD ...] [--slow] [--list]

A promise stands in `promises.yaml` with its test and with an edit that breaks it. Both runs are in
a copy of the checkout, so that nothing here changes. What was seen goes into `results.json`, and
from both `docs/reliability.md` is written anew. WORDS choose promises whose text or test has one of
them; the slow ones are left out unless `--slow` or a word asks for them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROMISES, RESULTS = HERE / "promises.yaml", HERE / "results.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- promises: begin -->\n", "<!-- promises: end -->\n"


@dataclass(frozen=True)
class Edit:
    """A change to a file that breaks a promise: `old` occurs once in it and becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Promise:
    """What is promised, under which heading, the test that holds it, and how it is broken."""

    subject: str
    text: str
    test: str
    edit: Edit
    slow: bool = False


def promises() -> list[Promise]:
    """All promises, in the order of the page."""
    found = []
    for subject, entries in yaml.safe_load(PROMISES.read_text()).items():
        for entry in entries:
            edit = Edit(**entry.pop("broken_by"))
            found.append(Promise(subject, entry.pop("promise"), edit=edit, **entry))
    return found


def results() -> dict[str, dict]:
    """What was seen in the last run of each promise, by its text."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def table(listed: list[Promise], seen: dict[str, dict]) -> str:
    """The part of the page between its marks: a table for each subject."""
    lines = []
    for subject in dict.fromkeys(promise.subject for promise in listed):
        lines += [
            f"\n## {subject}\n",
            "| promise | test | last run | red when |",
            "|---|---|---|---|",
        ]
        for promise in listed:
            if promise.subject != subject:
                continue
            last = seen.get(promise.text, {})
            ran = [
                last.get("figures", ""),
                f"{last.get('seconds', '?')} s, {last.get('date', '?')}",
            ]
            file, _, name = promise.test.partition("::")
            test = f"[{name or Path(file).name}](../{file})" + (" (slow)" if promise.slow else "")
            edit = promise.edit
            change = f"`{edit.file}`: {_code(edit.old)} becomes {_code(edit.new)}"
            lines.append(f"| {promise.text} | {test} | {'; '.join(filter(None, ran))} | {change} |")
    return "\n".join(lines) + "\n\n"


def page(listed: list[Promise], seen: dict[str, dict]) -> str:
    """The whole page with a new table."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + table(listed, seen) + END + rest.split(END)[1]


def _code(text: str) -> str:
    """An edit's text as one line of code in a table; nothing stands for a deletion."""
    line = " ".join(text.split()).replace("|", "\\|")
    return f"`` {line} ``" if line else "nothing"


def _copy(to: Path) -> None:
    """Copy the files of the checkout that git knows or would add, to a repository of their own."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    for command in (["init", "-q"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=to, check=True, capture_output=True)


SKIPPED = -1
"""In place of pytest's exit code where no test was run, for want of a package."""


def _run(test: str, folder: Path) -> tuple[int, float, str]:
    """Run a test in a copy: pytest's exit code, seconds, and what the test tells of itself."""
    report = folder / "junit.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", ""]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, f"--junit-xml={report}", test],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    seconds, code, figures = time.perf_counter() - began, done.returncode, ""
    if report.exists():
        root = ElementTree.parse(report).getroot()
        told = [p.get("value", "") for p in root.iter("property") if p.get("name") == "figures"]
        figures = "; ".join(dict.fromkeys(told))
        tests, skipped = (len(root.findall(f".//{what}")) for what in ("testcase", "skipped"))
        if skipped and not code:
            code = SKIPPED if skipped == tests else code
            figures = "; ".join(filter(None, [figures, f"{skipped} of {tests} skipped"]))
    return code, seconds, figures


def check(promise: Promise) -> dict:
    """Run the test of a promise, as it is and broken.

    Raises
    ------
    RuntimeError
        The test fails, or does not when the promise is broken.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy(folder)
        code, seconds, figures = _run(promise.test, folder)
        if code == SKIPPED:
            raise RuntimeError(f"{promise.test}: skipped; pip install -e '.[dev]' first")
        if code:
            raise RuntimeError(f"{promise.test}: fails, or is not there (pytest exits with {code})")
        file = folder / promise.edit.file
        text = file.read_text()
        if text.count(promise.edit.old) != 1:
            raise RuntimeError(f"{promise.edit.file}: has not once {promise.edit.old!r}")
        file.write_text(text.replace(promise.edit.old, promise.edit.new))
        code, _, _ = _run(promise.test, folder)
        if code != 1:
            raise RuntimeError(
                f"{promise.test}: not red when {promise.edit.file} is broken (exit code {code})"
            )
    date = time.strftime("%Y-%m-%d")
    return {"seconds": round(seconds, 1), "date": date, "figures": figures}


def main() -> int:
    """Check the promises that are asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="of a promise or its test")
    parser.add_argument("--slow", action="store_true", help="the slow ones, too")
    parser.add_argument("--list", action="store_true", help="write the page alone, run nothing")
    options = parser.parse_args()
    listed, seen, failed = promises(), results(), 0
    for promise in listed:
        wanted = any(word in f"{promise.text} {promise.test}" for word in options.words)
        if options.list or not (wanted or (not options.words and options.slow >= promise.slow)):
            continue
        try:
            seen[promise.text] = check(promise)
        except RuntimeError as error:
            failed += 1
            seen.pop(promise.text, None)
            print(f"NOT HELD  {promise.text}\n          {error}", flush=True)
        else:
            told = re.sub(r"[{}']", "", str(seen[promise.text]))
            print(f"held      {promise.text} ({told})", flush=True)
        RESULTS.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n")
    texts = {promise.text for promise in listed}
    seen = {text: last for text, last in seen.items() if text in texts}
    RESULTS.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(listed, seen))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
