"""Writes ``docs/conformance.md`` from the verdicts on all cases, or checks it: ``report.py [--write | --check]``.

Without an option it prints the page. The cases are read from ``../shared/cases``, beside the checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

if __name__ == "__main__":  # as a program it doesn't know where its package lies
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conformance.explained import EXPLAINED
from conformance.replay import FILES, http_verdicts
from conformance.verdicts import CASES, JUDGES, ROOT, Verdict, verdicts_of

PAGE = ROOT / "docs" / "conformance.md"

_GRADES = ("must", "should", "policy", "info")  # as the page orders them
_EXPLAINED = ("must", "should", "policy")  # the grades of which each wrong row is listed

_HEAD = """\
# Conformance

What Spyder makes of other projects' test cases: those of Google's robots.txt library, Protego, crawler-commons, reppy, the Web Platform Tests, ada, w3lib, Scrapy, urlcanon, Heritrix, Nutch, html5lib and curl. They are not a part of this repository: they are read from `../shared/cases`, and `tests/conformance/` runs them where they are. This page is written by `python tests/conformance/report.py --write`; a test keeps it equal to what the cases say.

A case is *must* where a standard decides or all independent implementations agree, *should* where most do, *policy* where it is a choice, *info* where sources dispute. All *must* cases are answered so, but for those explained below, and at least nine in ten of the *should* cases.

| file | grade | as expected | otherwise |
|---|---|--:|--:|
"""
_REASONS = """
## Answered otherwise, and why

Each case of the grades *must*, *should* and *policy*. The reasons stand in `tests/conformance/explained.py`.
"""


def all_verdicts() -> tuple[Verdict, ...]:
    """The verdicts on all files, in their order."""
    return (*(verdict for file in JUDGES for verdict in verdicts_of(file)),
            *(verdict for file in FILES for verdict in http_verdicts(file)))


def _table(verdicts: Iterable[Verdict]) -> str:
    counts = Counter((verdict.file, verdict.grade, verdict.is_right) for verdict in verdicts)
    lines = []
    for file in (*JUDGES, *FILES):
        for grade in _GRADES:
            right, wrong = counts[file, grade, True], counts[file, grade, False]
            if right or wrong:
                lines.append(f"| {file.partition('.')[0]} | {grade} | {right} | {wrong} |\n")
    return "".join(lines)


def _reasons(verdicts: Iterable[Verdict]) -> str:
    wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
    for verdict in verdicts:
        if not verdict.is_right and verdict.grade in _EXPLAINED:
            reason = EXPLAINED.get(verdict.id, f"**not explained**: {verdict.what}")
            wrong[verdict.file, reason].append(f"`{verdict.id}` ({verdict.grade})")
    text = ""
    for file in (*JUDGES, *FILES):
        reasons = {reason: ids for (name, reason), ids in wrong.items() if name == file}
        if reasons:
            items = "".join(f"- {reason}: {', '.join(ids)}\n" for reason, ids in reasons.items())
            text += f"\n### {file.partition('.')[0]}\n\n{items}"
    return text


def page() -> str:
    """The text of ``docs/conformance.md``."""
    verdicts = all_verdicts()
    return f"{_HEAD}{_table(verdicts)}{_REASONS}{_reasons(verdicts)}"


def main() -> int:
    """0 when all is well, 1 when the page is not what the cases say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    choice.add_argument("--check", action="store_true", help="exit with 1 when it differs")
    options = parser.parse_args()
    if not CASES.is_dir():
        parser.error(f"there are no cases in {CASES}")
    text = page()
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    elif not options.check:
        print(text, end="")
    return int(options.check and text != PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
