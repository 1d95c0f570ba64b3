"""`archwright bench one-shot`: recipes of differentiable and one-shot search on NAS-Bench-201, with real images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def one_shot(
    methods: Annotated[str, typer.Option(help="recipes, with commas between; all that apply by default")] = "",
    seeds: Annotated[int, typer.Option(help="searches of each")] = 3,
    epochs: Annotated[int, typer.Option(help="of methods that run the mixture")] = 50,
    path_epochs: Annotated[int, typer.Option(help="of methods that run one path a step")] = 150,
    batch: Annotated[int, typer.Option(help="examples a step")] = 64,
    cells: Annotated[int, typer.Option(help="of a stage")] = 5,
    channels: Annotated[int, typer.Option(help="of the first stage")] = 16,
    side: Annotated[int, typer.Option(help="pixels, 16 or 32")] = 32,
    measured: Annotated[int, typer.Option(help="batches on which selections measure")] = 16,
    images: Annotated[int, typer.Option(help="training images")] = 16_000,
    out: Annotated[Path, typer.Option(help="folder for one_shot.json; searches that are in it are kept")] = Path(
        "runs/one_shot"
    ),
) -> None:
    """Search NAS-Bench-201 with every recipe and look the cells up; published sizes by default, which take long."""
    from dataclasses import asdict

    from archwright.benchmarks.one_shot import METHODS, Row, Settings, compare, random_cells, summary

    settings = Settings(epochs, path_epochs, batch, cells, channels, side, measured, images)
    path = out / "one_shot.json"
    known: list[Row] = []
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        known = before["searches"] if before["settings"] == asdict(settings) else []

    def note(rows: list[Row]) -> None:
        last = rows[-1]
        typer.echo(
            f"{last['method']} seed {last['seed']}: CIFAR-10 {last['cifar10_accuracy_percent']:.2f} %, "
            f"{last['architecture']}, {last['wall_seconds']:.0f} s"
        )
        figures = {"settings": asdict(settings), "summary": summary(rows, seeds), "random_cells": random_cells()}
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**figures, "searches": rows}, indent=1) + "\n", encoding="utf-8")

    rows = compare(methods.split(",") if methods else METHODS, seeds, settings, known=known, on_row=note)
    typer.echo(f"{'recipe':<16}CIFAR-10  CIFAR-100  ImageNet16  CPU s")
    for name, found in summary(rows, seeds)["methods"].items():
        means = (found[m]["mean"] for m in ("cifar10", "cifar100", "imagenet16"))
        typer.echo("{:<16}{:8.2f}  {:9.2f}  {:10.2f}  {:5.0f}".format(name, *means, found["cpu_seconds_a_search"]))
    chance = random_cells()
    means = (chance[m]["mean"] for m in ("cifar10", "cifar100", "imagenet16"))
    typer.echo("{:<16}{:8.2f}  {:9.2f}  {:10.2f}".format("random cells", *means))
    typer.echo(f"wrote {path}")
