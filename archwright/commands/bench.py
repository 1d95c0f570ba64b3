"""`archwright bench`, `compare`, `data import` and `dashboard`: strategies on tables, and runs beside each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from archwright.commands.one_shot import one_shot

bench_app = typer.Typer(invoke_without_command=True)
data_app = typer.Typer(help="Tables and datasets on this machine.", no_args_is_help=True)


def bench(
    context: typer.Context,
    benchmark: Annotated[
        str, typer.Option(help="registered benchmarks, with commas between; digits-conv needs no data")
    ] = "digits-conv",
    strategy: Annotated[
        str, typer.Option(help="strategies, with commas between; optuna:tpe and others as well")
    ] = "auto",
    seeds: Annotated[int, typer.Option(help="runs of each strategy")] = 20,
    queries: Annotated[int, typer.Option(help="evaluations a run")] = 100,
    maximize: Annotated[list[str] | None, typer.Option(help="metric, in place of the table's goal")] = None,
    minimize: Annotated[list[str] | None, typer.Option(help="metric; several goals give fronts")] = None,
    scores: Annotated[bool, typer.Option(help="let strategies read zero-cost scores")] = False,
    workers: Annotated[int | None, typer.Option(help="processes that play seeds; one a core by default")] = None,
    out: Annotated[Path, typer.Option(help="folder for results.json and report.html")] = Path("runs/bench"),
) -> None:
    """Compare strategies on tables, each with several seeds; random search is always among them."""
    if context.invoked_subcommand is not None:
        return
    from archwright.benchmarks.protocol import bench_command

    bench_command(
        benchmark, strategy, seeds=seeds, queries=queries, out=out, maximize=maximize or (), minimize=minimize or (),
        scores=scores, workers=workers or os.cpu_count() or 1, progress=typer.echo,
    )  # fmt: skip
    typer.echo(f"wrote {out / 'results.json'} and {out / 'report.html'}")


def compare(folders: Annotated[list[Path], typer.Argument(help="run folders of one problem")]) -> None:
    """Compare runs: best, front and progress side by side."""
    from archwright.job.comparing import print_comparison

    print_comparison(folders)


@data_app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="official file or folder: NATS-Bench, NAS-Bench-201 or HW-NAS-Bench")],
    out: Annotated[Path, typer.Option(help="folder for the columns")] = Path("tables"),
) -> None:
    """Turn an official benchmark file into columns, by a reader that runs none of its code."""
    from archwright.benchmarks.importers import import_file

    typer.echo(f"wrote {import_file(source, out)}")


def dashboard(
    folder: Annotated[Path, typer.Argument(help="run folder")],
    out: Annotated[Path | None, typer.Option(help="journal file; by default optuna.log in the run folder")] = None,
) -> None:
    """Write a run as an Optuna study and say how to open it in optuna-dashboard."""
    from archwright.bridges.optuna_storage import storage_at, to_study
    from archwright.job.run import read_config
    from archwright.job.setup import prepare
    from archwright.search.problem import Problem
    from archwright.search.run import load_trials

    path = out or folder / "optuna.log"
    setup = prepare(read_config(folder))
    problem = Problem(setup.space, setup.objectives)
    trials = load_trials(problem, folder).trials
    to_study(problem, trials, storage_at(path), name=folder.resolve().name)
    typer.echo(f"wrote {len(trials)} trials to {path}; open it with: optuna-dashboard {path}")


def add_to(app: typer.Typer) -> None:
    """Put the commands into the main program."""
    bench_app.callback()(bench)
    bench_app.command("one-shot")(one_shot)
    app.add_typer(bench_app, name="bench")
    app.command()(compare)
    app.command()(dashboard)
    app.add_typer(data_app, name="data")
