"""Writes docs/benchmarks.md from benchmarks/results/*.json: figure, target, met or missed by how much, command.

    python benchmarks/table.py            # writes the page
    python benchmarks/table.py --check    # fails if the page is not what the results say

A line (`lines.py`) is one figure of one result, read by `figures.py`. A script whose result is not there yet is listed
as not measured.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from figures import RESULTS, Line
from lines import LINES

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `python benchmarks/table.py` from `benchmarks/results/*.json`; each of those holds all figures of its
run, the machine and its load. Ratios compare things measured in one run on one machine. Nothing was measured on a GPU.
"""


def verdict(value: float, target: float | None, at_most: bool) -> str:
    """Met, or missed by how much."""
    if target is None:
        return "no target"
    if value <= target if at_most else value >= target:
        return "met"
    if not math.isfinite(value) or target == 0:
        return "missed"
    percent = 100 * abs(value - target) / abs(target)
    return f"missed by {percent:.0f} %" if percent >= 1 else f"missed by {percent:.1g} %"


def row(line: Line) -> str:
    """One line of the table."""
    path = RESULTS / f"{line.result}.json"
    bound = "" if line.target is None else f"{'at most' if line.at_most else 'at least'} {line.target:g}{line.unit}"
    if not path.exists():
        return f"| {line.what} | not measured | {bound} | | | `{line.command or line.result}` |"
    content = json.loads(path.read_text(encoding="utf-8"))
    command = content.get("command") or line.command
    value = line.read(content)
    load = content.get("load_average", content.get("machine", {}).get("load"))
    busy = "" if load is None else f"{load:.1f}"
    if value is None:
        return f"| {line.what} | not measured | {bound} | | {busy} | `{command}` |"
    said = verdict(value, line.target, line.at_most)
    return f"| {line.what} | {value:.4g}{line.unit} | {bound} | {said} | {busy} | `{command}` |"


def recipes() -> str:
    """The table of one-shot recipes, the best first, with random cells between them."""
    path = RESULTS / "one_shot.json"
    if not path.exists():
        return ""
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content["summary"]["methods"]
    columns = ("largest_skip_share", "cpu_seconds_a_search")
    rows = [(f["cifar10"]["mean"], name, f["cifar10"]["all"], *(f[c] for c in columns)) for name, f in found.items()]
    lines = [
        f"| `{name}` | {mean:.2f} | {', '.join(f'{v:.1f}' for v in each)} | {skips:.2f} | {seconds:.0f} |"
        for mean, name, each, skips, seconds in sorted(rows, reverse=True)
    ]
    chance = content["random_cells"]
    at = sum(mean > chance["cifar10"]["mean"] for mean, *_ in rows)
    lines.insert(at, f"| {chance['cells']} random cells | {chance['cifar10']['mean']:.2f} | | | |")
    settings = ", ".join(f"{k} {v}" for k, v in content["settings"].items())
    return (
        "\n## One-shot recipes on NAS-Bench-201\n\n"
        f"Accuracy on CIFAR-10 that the table gives for the cell found on real images, by seed ({settings}).\n\n"
        "| recipe | mean % | seeds % | largest share of skips | CPU s a search |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n"
    )


def page() -> str:
    """The whole page."""
    table = "\n".join(
        ["| what | figure | target | | load | command |", "|---|---|---|---|---|---|", *(row(line) for line in LINES)]
    )
    known = {line.result for line in LINES}
    others = sorted(p.stem for p in RESULTS.glob("*.json") if p.stem not in known)
    more = "" if not others else (
        "\nWithout a line of their own: " + ", ".join(f"[{n}](../benchmarks/results/{n}.json)" for n in others) + ".\n"
    )  # fmt: skip
    load = (
        "\n`load` is the machine's load average when the figure was written; it has two cores, so figures of time with "
        "a load above two are noisy.\n"
    )
    return f"{HEAD}\n{table}\n{load}{more}{recipes()}"


def main() -> None:
    """Write or check the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true")
    if arguments.parse_args().check:
        if PAGE.read_text(encoding="utf-8") != page():
            raise SystemExit(f"{PAGE} is not what the results say; run python benchmarks/table.py")
        return
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
