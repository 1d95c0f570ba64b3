"""What `archwright show` prints of a run or of an architecture's file."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from archwright.errors import RunLogError, SpaceError


def allow_imports(allow: Sequence[str]) -> None:
    """Let modules beside the caller be found, once the caller has allowed some by name."""
    if allow and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def show_run(folder: Path, *, front: bool = True, allow: Sequence[str] = (), console: Console | None = None) -> None:
    """Print the best network's metrics, its layers, and the front.

    Args:
        folder: of the run, or an architecture's JSON file.
        front: whether to list the front.
        allow: modules of the user's that the network may import.
        console: where to print.

    Raises:
        RunLogError: if there is nothing to show.
    """
    console = console or Console(highlight=False)
    allow_imports(allow)
    folder = Path(folder)
    best = folder / "best"
    if folder.is_file():
        _layers(folder, None, console, allow)
        return
    if not (folder / "run.toml").exists():
        raise RunLogError(f"{folder} holds no run (it has no run.toml); give the folder that --out named")
    if not best.exists():
        console.print(f"{folder}: no network is exported yet; archwright resume {folder} continues the run")
    else:
        metrics = json.loads((best / "metrics.json").read_text(encoding="utf-8"))
        _metrics(metrics, console)
        try:
            _layers(best / "architecture.json", metrics.get("input_shapes"), console, allow)
        except SpaceError as error:
            if "allow it" not in str(error):
                raise
            console.print(f"layers: {str(error).split('; if you')[0]}; if you trust it: --allow MODULE", markup=False)
    if front and (folder / "pareto.csv").exists():
        from archwright.job.run import read_config

        _front(folder / "pareto.csv", [o.metric for o in read_config(folder).objectives()], console)


def _metrics(metrics: dict, console: Console) -> None:
    table = Table(box=None, pad_edge=False, title="best network", title_justify="left", title_style="bold")
    for name in ("metric", "predicted", "measured"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    measured, predicted = metrics.get("measured", {}), metrics.get("predicted", {})
    for name in dict.fromkeys([*measured, *predicted]):
        values = (d.get(name) for d in (predicted, measured))
        table.add_row(name, *("" if v is None else f"{v:.5g}" for v in values))
    console.print(table)


def _layers(path: Path, shapes: list | None, console: Console, allow: Sequence[str]) -> None:
    from archwright.report.diagram import as_text, describe
    from archwright.space import Architecture

    architecture = Architecture.from_json(path.read_text(encoding="utf-8"), allow=tuple(allow))
    if shapes is None:
        console.print(str(architecture))
        return
    width = console.width if console.is_terminal else None  # nobody reads a cut table out of a file
    console.print(as_text(describe(architecture, *(tuple(s) for s in shapes)), width), markup=False, soft_wrap=True)


def _front(path: Path, metrics: list[str], console: Console) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    table = Table(
        box=None, pad_edge=False, title=f"front: {len(rows) - 1} networks", title_justify="left", title_style="bold"
    )
    keep = [i for i, name in enumerate(rows[0]) if name in ("trial", *metrics)]
    for i in keep:
        table.add_column(rows[0][i], justify="right")
    for row in rows[1:21]:
        table.add_row(*(_short(row[i]) for i in keep))
    console.print(table)
    if len(rows) > 21:
        console.print(f"... {len(rows) - 21} more in {path}")


def _short(text: str) -> str:
    try:
        return f"{float(text):.5g}"
    except ValueError:
        return text
