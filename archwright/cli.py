"""The command line: every flag of `search` is a key of run.toml, every command is one function elsewhere.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.commands import bench, hardware
from archwright.errors import ArchwrightError

app = typer.Typer(
    name="archwright",
    help="Find the best neural network under a budget, trained, measured and exported.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
latency_app = typer.Typer(help="Latency tables of this machine.", no_args_is_help=True)
app.add_typer(latency_app, name="latency")
bench.add_to(app)
hardware.add_to(app)


@app.command()
def search(
    source: Annotated[str | None, typer.Argument(help="run.toml, or a Python file that defines `space`")] = None,
    space: Annotated[str | None, typer.Option(help="registered space, or a Python file")] = None,
    data: Annotated[str | None, typer.Option(help="registered task, file or folder of data, or hf:NAME")] = None,
    target: Annotated[str | None, typer.Option(help="column of a table to predict")] = None,
    data_options: Annotated[list[str] | None, typer.Option(help="option of the data's reader, key=value")] = None,
    maximize: Annotated[list[str] | None, typer.Option(help="metric to maximize, e.g. accuracy_percent")] = None,
    minimize: Annotated[list[str] | None, typer.Option(help="metric to minimize, e.g. latency_ms")] = None,
    subject_to: Annotated[list[str] | None, typer.Option(help="limit, e.g. 'latency_ms<=0.3'")] = None,
    strategy: Annotated[str | None, typer.Option(help="see `archwright list strategies`")] = None,
    strategy_options: Annotated[list[str] | None, typer.Option(help="option of the strategy, key=value")] = None,
    evaluation: Annotated[str | None, typer.Option(help="auto, supernet or train")] = None,
    cache: Annotated[str | None, typer.Option(help="code, or functional_hash: train each function once")] = None,
    training: Annotated[str | None, typer.Option(help="sandwich, single-path, front or progressive")] = None,
    supernet_epochs: Annotated[int | None, typer.Option(help="of the supernet, at most")] = None,
    epochs: Annotated[int | None, typer.Option(help="of training from scratch and of fine-tuning")] = None,
    latency: Annotated[str | None, typer.Option(help="auto, table or measured")] = None,
    backend: Annotated[str | None, typer.Option(help="onnxruntime, torch or torch-compile")] = None,
    threads: Annotated[int | None, typer.Option(help="of the latency measurement")] = None,
    batch: Annotated[int | None, typer.Option(help="batch size of the latency measurement")] = None,
    budget: Annotated[str | None, typer.Option(help="2m, 90s, 1h or '200 trials'")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    workers: Annotated[int | None, typer.Option(help="processes that evaluate at the same time")] = None,
    executor: Annotated[str | None, typer.Option(help="auto, in-process, processes or ray")] = None,
    finalists: Annotated[int | None, typer.Option(help="networks fine-tuned and re-measured")] = None,
    baseline: Annotated[bool | None, typer.Option(help="also run random search of equal length")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda ...")] = None,
    out: Annotated[str | None, typer.Option(help="run folder")] = None,
) -> None:
    """Search, train, measure, export and report. Without flags: digits, under the default budget."""
    start = time.monotonic()
    given = {k: v for k, v in locals().items() if k not in ("start", "source") and v is not None and v != []}
    typer.echo("archwright: reading the configuration")
    from archwright.job.config import check, read_toml

    values: dict[str, Any] = {}
    if source is not None:
        if source.endswith(".toml"):
            values = read_toml(source)
        else:
            values["space"] = source
    for key in {"strategy_options", "data_options"} & set(given):
        given[key] = dict(_pair(key, text) for text in given[key])
    config = check(values | given, source if source and source.endswith(".toml") else "the flags")
    from archwright.job.run import run_job

    run_job(config, start=start)


def _pair(key_of: str, text: str) -> tuple[str, Any]:
    import tomllib

    from archwright.errors import ConfigurationError

    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigurationError(f"--{key_of.replace('_', '-')} reads key=value, got {text!r}")
    try:
        return key.strip(), tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="run folder")],
    budget: Annotated[str | None, typer.Option(help="a new total budget in place of the old one")] = None,
) -> None:
    """Continue a run that was stopped or killed; finished trials are kept."""
    from archwright.codesign.run import is_codesign, resume_codesign
    from archwright.job.run import resume_job

    (resume_codesign if is_codesign(folder) else resume_job)(folder, budget=budget)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="run folder")]) -> None:
    """Write report.html of a run again."""
    from archwright.codesign.run import is_codesign

    if is_codesign(folder):
        from archwright.codesign.report import write_report as write_joint

        typer.echo(f"wrote {write_joint(folder)}")
        return
    from archwright.job.reporting import write_report

    typer.echo(f"wrote {write_report(folder)}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="run folder")],
    onnx: Annotated[Path | None, typer.Option(help="write an ONNX file here, checked against PyTorch")] = None,
    source: Annotated[Path | None, typer.Option(help="write model.py and model.safetensors into this folder")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="module of yours that the network may import")] = None,
) -> None:
    """Export the best network of a run."""
    from archwright.job.exporting import export_run

    for line in export_run(folder, onnx=onnx, source=source, allow=allow or ()):
        typer.echo(line)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="run folder, or an architecture's JSON file")],
    front: Annotated[bool, typer.Option(help="also list the front")] = True,
    allow: Annotated[list[str] | None, typer.Option(help="module of yours that the network may import")] = None,
) -> None:
    """Show the best network of a run: metrics, layers with shapes and costs, and the front."""
    from archwright.job.showing import show_run

    show_run(folder, front=front, allow=allow or ())


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="spaces, strategies, operators, costs, tasks ...")] = None,
) -> None:
    """List what is known by name."""
    from archwright.listing import print_list

    print_list(kind)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="cnn, mlp or transformer")] = "cnn",
    out: Annotated[Path, typer.Option(help="file to write")] = Path("space.py"),
    force: Annotated[bool, typer.Option(help="overwrite an existing file")] = False,
) -> None:
    """Write an editable space to start from."""
    from archwright.job.starters import write_starter

    typer.echo(f"wrote {write_starter(kind, out, force=force)}; next: archwright search {out} --data digits")


@latency_app.command("build")
def latency_build(
    space: Annotated[str, typer.Argument(help="registered space, or a Python file that defines `space`")],
    data: Annotated[str, typer.Option(help="task whose input shape counts")] = "digits",
    backend: Annotated[str, typer.Option(help="onnxruntime, torch or torch-compile")] = "onnxruntime",
    threads: Annotated[int, typer.Option(help="threads of one inference")] = 1,
    batch: Annotated[int, typer.Option(help="batch size")] = 1,
    seconds: Annotated[float, typer.Option(help="time to spend")] = 120.0,
    out: Annotated[Path, typer.Option(help="file to write")] = Path("latency.json"),
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Measure every distinct operator of a space on this machine, fit a predictor, and print its error."""
    from archwright.job.config import check
    from archwright.job.latency import build_table

    known = check({"backend": backend, "threads": threads, "batch": batch}, "the flags")
    build_table(space, data, backend=known.backend, threads=threads, batch=batch, seconds=seconds, out=out, seed=seed)


def _warned(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning is one line on stderr."""
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def main() -> None:
    """Entry point: an error of archwright is one line on stderr and exit code 2."""
    warnings.showwarning = _warned
    try:
        app(standalone_mode=False)
    except ArchwrightError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("stopped; finished trials are kept: archwright resume FOLDER continues", err=True)
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's usage errors
            if error.format_message():  # help that was printed for want of a command has none
                typer.echo(f"error: {error.format_message()}", err=True)
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
