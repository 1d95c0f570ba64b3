"""`archwright cost`: what a space's networks, an architecture, an ONNX file or a language model cost on platforms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archwright.errors import ConfigurationError

if TYPE_CHECKING:
    from archwright.costs.kernels import Kernels
    from archwright.costs.workload import Workload
    from archwright.report.cost_page import Costed


@dataclass(frozen=True)
class Serving:
    """How a language model is served."""

    tokens_in: int
    tokens_out: int
    dtype: str
    tensor: int
    pipeline: int
    expert: int
    chunk: int | None


def cost(
    net: Annotated[
        str, typer.Argument(help="a space, an architecture.json, an .onnx file, or a language model's config")
    ],
    platform: Annotated[str, typer.Option(help="platforms, with commas between")] = "h200",
    input: Annotated[str, typer.Option(help="input shape of a space's networks")] = "3,32,32",
    outputs: Annotated[int, typer.Option(help="outputs of a space's networks")] = 10,
    batch: Annotated[int, typer.Option(help="samples or sequences at once", min=1)] = 1,
    explain: Annotated[bool, typer.Option(help="cost of every operator; of the largest network of a space")] = False,
    report: Annotated[Path | None, typer.Option(help="also write a page with rooflines and bars by layer")] = None,
    tokens_in: Annotated[int, typer.Option(help="language models: tokens of a prompt", min=1)] = 1024,
    tokens_out: Annotated[int, typer.Option(help="language models: tokens of an answer", min=1)] = 128,
    dtype: Annotated[str, typer.Option(help="language models: number format")] = "bf16",
    tensor: Annotated[int, typer.Option(help="language models: devices that share every layer", min=1)] = 1,
    pipeline: Annotated[int, typer.Option(help="language models: devices in a row", min=1)] = 1,
    expert: Annotated[int, typer.Option(help="language models: devices that share the experts", min=1)] = 1,
    chunk: Annotated[int | None, typer.Option(help="language models: tokens of a prefill chunk", min=1)] = None,
) -> None:
    """Latency, energy and more on one platform or several."""
    names = [p.strip() for p in platform.split(",") if p.strip()]
    if not names:
        raise ConfigurationError("--platform names at least one platform; see: archwright platform list")
    serving = Serving(tokens_in, tokens_out, dtype, tensor, pipeline, expert, chunk)
    reader = _reader(net, _shape(input), outputs, batch, serving)
    found = []
    for name in names:
        typer.echo(f"{net} on {name}, batch {batch}")
        found.append(reader(name))
        for line in [*found[-1].summary, *(found[-1].lines() if explain else ())]:
            typer.echo("  " + line)
    if report is not None:
        from archwright.report.cost_page import cost_page
        from archwright.report.html import write_page

        about = "Layers are those of the space's largest network." if _is_space(net) else ""
        typer.echo(f"wrote {write_page(cost_page(Path(net).name, found, about=about), report)}")


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(x) for x in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ConfigurationError(f"--input reads like 3,32,32, got {text!r}")
    return shape


def _is_space(net: str) -> bool:
    return Path(net).suffix not in (".onnx", ".json")


def _reader(net: str, shape: tuple[int, ...], outputs: int, batch: int, serving: Serving) -> Any:
    """A function from a platform's name to what the network costs there."""
    path = Path(net)
    if not _is_space(net) and not path.is_file():
        raise ConfigurationError(f"there is no file {net!r}")
    if path.suffix == ".onnx":
        from archwright.costs.kernels import kernels_of_onnx

        kernels = kernels_of_onnx(path)
        return lambda name: _of_kernels(kernels, name, batch)
    if path.suffix == ".json":
        data = json.loads(path.read_text(encoding="utf-8"))
        if "vocab_size" in data:
            return lambda name: _decoder(data, name, batch, serving)
        from archwright.costs.workload import rows_of_program
        from archwright.nets.build import program_of
        from archwright.space import Architecture

        work = rows_of_program(program_of(Architecture.from_json(path.read_text(encoding="utf-8")), shape).steps)
        return lambda name: _of_rows(work, name, batch)
    return _space(net, shape, outputs, batch)


def _of_kernels(kernels: Kernels, platform: str, batch: int) -> Costed:
    """Kernels as layers, numbered."""
    names = [f"{i} {name}" for i, name in enumerate(kernels.names, start=1)]
    return _costed(kernels, names, platform, batch, lambda values: values)


def _of_rows(work: Workload, platform: str, batch: int, summary: Sequence[str] | None = None) -> Costed:
    """Operators of one network as layers."""
    from archwright.costs.kernels import kernels_of

    kernels, rows = kernels_of(work.rows), work.index[0]
    there = [i for i, row in enumerate(rows.tolist()) if row >= 0]
    names = [f"{work.rows.kinds[rows[i]]} {work.sites[i]}" for i in there]
    return _costed(
        kernels, names, platform, batch, lambda v: kernels.sum_rows(v, len(work.rows))[rows[there]], summary
    )  # fmt: skip


def _costed(
    kernels: Kernels, names: Sequence[str], platform: str, batch: int, gathered: Any, summary: Any = None
) -> Costed:
    from archwright.costs.platform_cost import costs_of_kernels
    from archwright.costs.roof import roof_of
    from archwright.platforms import load
    from archwright.report.cost_page import Costed

    columns = {m: gathered(v) for m, v in costs_of_kernels(kernels, platform, batch=batch).items()}
    roof = roof_of(load(platform))
    moved = (1.0 if roof is None else roof.word_b) * (batch * (kernels.inputs + kernels.outputs) + kernels.weights)
    if summary is None:
        summary = [f"{metric} = {float(values.sum()):.6g}" for metric, values in columns.items()]
    return Costed(
        platform, summary, names, {m: v.tolist() for m, v in columns.items()},
        gathered(2 * batch * kernels.macs).tolist(), gathered(moved).tolist(),
        None if roof is None else (roof.ops_per_s, roof.b_per_s),
    )  # fmt: skip


def _decoder(config: dict[str, Any], platform: str, batch: int, serving: Serving) -> Costed:
    from archwright.costs import llm
    from archwright.costs.decoder import from_config
    from archwright.costs.llm_cost import BYTES, device_of
    from archwright.costs.llm_operators import Split, Widths
    from archwright.report.cost_page import Costed

    s = serving
    model, device = from_config(config), device_of(platform, s.dtype, tiles=True)
    widths, split = Widths(BYTES[s.dtype], BYTES[s.dtype], BYTES[s.dtype]), Split(s.tensor, s.pipeline, s.expert)
    got = llm.serve(
        model, device, batch=batch, input_tokens=float(s.tokens_in), output_tokens=float(s.tokens_out), widths=widths,
        split=split, chunk=s.chunk,
    )  # fmt: skip
    chunks = "" if s.chunk is None else f" in chunks of {s.chunk}"
    devices = s.tensor * s.pipeline * s.expert
    summary = [
        f"{float(model.weights) / 1e9:.3g} billion weights, {s.tokens_in} tokens in{chunks}, {s.tokens_out} out, "
        f"{s.dtype}, {devices} device{'s' if devices > 1 else ''}: {llm.REASONS[int(got.reason)]}",
        f"ttft_ms = {1e3 * float(got.ttft_s):.6g}",
        f"tpot_ms = {1e3 * float(got.tpot_s):.6g}",
        f"tokens_per_s = {float(got.tokens_per_s):.6g}",
        f"memory_gb = {float(got.memory_b) / 1e9:.6g}",
    ]
    phases = [("prefill", float(s.tokens_in), 0.0), ("decode", 1.0, float(s.tokens_in))]
    rows: list[dict[str, Any]] = []
    for phase, queries, cached in phases:
        lines = llm.explain(model, device, batch=batch, queries=queries, cached=cached, widths=widths, split=split)
        rows += [{**x, "operator": f"{phase} {x['operator']} x{x['count']:g}"} for x in lines]
    return Costed(
        platform, summary, [r["operator"] for r in rows], {"latency_ms": [float(r["latency_ms"]) for r in rows]},
        [2e6 * float(r["macs_m"]) for r in rows], [1e6 * float(r["memory_mb"]) for r in rows],
        (float(device.ops_per_s * device.compute_efficiency), float(device.memory_b_per_s * device.memory_efficiency)),
        [str(r["bound"]) for r in rows],
    )  # fmt: skip


def _space(net: str, shape: tuple[int, ...], outputs: int, batch: int) -> Any:
    import numpy as np

    from archwright.costs.platform_cost import cost_on
    from archwright.costs.workload import rows_of
    from archwright.job.spaces import load_space

    space = load_space(net, shape, outputs)
    work = rows_of(space, np.asarray(space.largest().code)[None], shape)

    def on(platform: str) -> Costed:
        model = cost_on(platform, space, shape, batch=batch)
        columns = model.evaluate(space.sample(256, np.random.default_rng(0)))
        lines = []
        for metric, values in columns.items():
            low, middle, high = np.nanquantile(values, [0, 0.5, 1]) if np.isfinite(values).any() else [np.nan] * 3
            lines.append(f"{metric}: {low:.4g} to {high:.4g}, median {middle:.4g} over 256 random networks")
        return _of_rows(work, platform, batch, lines)

    return on
