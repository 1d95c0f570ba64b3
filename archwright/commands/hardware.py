"""`archwright platform`: descriptions of accelerators, and of this machine by measurement."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

platform_app = typer.Typer(help="Platforms that cost models know.", no_args_is_help=True)


@platform_app.command(name="list")
def list_() -> None:
    """Names of all platforms."""
    from archwright.platforms import loader

    for name in loader.names():
        typer.echo(name)


@platform_app.command()
def show(name: Annotated[str, typer.Argument(help="a platform, or a TOML file")]) -> None:
    """A platform's fields with their sources."""
    from rich.pretty import pprint

    from archwright.platforms import loader

    pprint(loader.load(Path(name) if name.endswith(".toml") else name), expand_all=True)


@platform_app.command()
def measure(threads: Annotated[int | None, typer.Option(help="all cores by default")] = None) -> None:
    """Measure this machine: matrix products, vector operations, memory, call overhead."""
    typer.echo("measuring this machine, about half a minute")
    from archwright.platforms.measure import measure_host, save_host

    text = measure_host(threads)
    platform, path = save_host(text)
    typer.echo(text)
    typer.echo(f"wrote {path}; use it as --platform {platform.name}")


def codesign(
    source: Annotated[Path, typer.Argument(help="run.toml, or a run folder to continue")],
    budget: Annotated[str | None, typer.Option(help="a budget in place of the file's")] = None,
    seed: Annotated[int | None, typer.Option(help="in place of the file's")] = None,
    out: Annotated[str | None, typer.Option(help="run folder")] = None,
) -> None:
    """Search networks for several tasks and the accelerators that run them, together."""
    start = time.monotonic()
    from archwright.codesign.config import check
    from archwright.codesign.run import resume_codesign, run_codesign
    from archwright.errors import ConfigurationError
    from archwright.job.config import read_toml

    if source.is_dir():
        if seed is not None or out is not None:
            raise ConfigurationError("a run that is continued keeps its seed and folder; leave --seed and --out away")
        resume_codesign(source, budget=budget)
        return
    given = {k: v for k, v in {"budget": budget, "seed": seed, "out": out}.items() if v is not None}
    run_codesign(check(read_toml(source) | given, str(source)), start=start)


def add_to(app: typer.Typer) -> None:
    """Put the commands into the main program."""
    from archwright.commands.cost import cost

    app.add_typer(platform_app, name="platform")
    app.command()(cost)
    app.command()(codesign)
