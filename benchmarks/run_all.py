"""Runs every command of docs/benchmarks.md, one after the other, and writes the page again; takes many hours.

    python benchmarks/run_all.py                    # all
    python benchmarks/run_all.py --only step,speed  # those whose command contains one of these words
    python benchmarks/run_all.py --list             # only print them

Commands that need an environment or a folder of yours (PEERS, FOLDER) are listed and left out. One that fails is
reported and does not stop the rest.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from figures import RESULTS
from lines import LINES

ROOT = Path(__file__).parents[1]


def commands() -> list[str]:
    """Each command once, in the order of the page, then those of results without a line."""
    named = []
    for result in [*(line.result for line in LINES), *sorted(p.stem for p in RESULTS.glob("*.json"))]:
        path = RESULTS / f"{result}.json"
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        own = next((line.command for line in LINES if line.result == result and line.command), "")
        named.append(content.get("command") or own)
    return list(dict.fromkeys(c for c in named if c))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="words, with commas between")
    parser.add_argument("--list", action="store_true", help="print the commands alone")
    given = parser.parse_args()
    words = [w for w in given.only.split(",") if w]
    failed = []
    for command in commands():
        if words and not any(w in command for w in words):
            continue
        if re.search(r"\b[A-Z]{4,}\b", command):
            print(f"left out, needs yours: {command}", flush=True)
            continue
        print(command, flush=True)
        if given.list:
            continue
        began = time.monotonic()
        code = subprocess.run(re.sub(r"^python\b", sys.executable, command), shell=True, cwd=ROOT).returncode
        print(
            f"  {'done' if code == 0 else f'failed with exit code {code}'} in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        failed += [command] * (code != 0)
    if not given.list:
        subprocess.run([sys.executable, "benchmarks/table.py"], cwd=ROOT, check=True)
    if failed:
        sys.exit(f"{len(failed)} failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
