"""`archwright cost`: what a space's networks, an architecture, an ONNX file or a language model cost on platforms."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from archwright.errors import ConfigurationError

if TYPE_CHECKING:
    from archwright.costs.decoder import Decoder
    from archwright.costs.kernels import Kernels
    from archwright.costs.workload import Workload
    from archwright.platforms import Platform
    from archwright.report.cost_page import Costed

    Reader = Callable[[Platform], Costed]


LARGEST = "the network with most multiply-accumulates of 256 random ones"


class Setting(NamedTuple):
    """What every network is costed at."""

    batch: int
    dtype: str | None


@dataclass(frozen=True)
class Serving:
    """How a language model is served."""

    tokens_in: int | None
    tokens_out: int | None
    tensor: int | None
    pipeline: int | None
    expert: int | None
    chunk: int | None

    def refuse(self, *allowed: str) -> None:
        """Refuse flags that a network without a key-value cache has no use for."""
        for name, value in vars(self).items():
            if value is not None and name not in allowed:
                raise ConfigurationError(
                    f"--{name.replace('_', '-')} is for language models (a config.json); leave it away for this network"
                )


def cost(
    net: Annotated[
        str, typer.Argument(help="a space, an architecture.json, an .onnx file, or a language model's config")
    ],
    platform: Annotated[str, typer.Option(help="platforms, with commas between")] = "h200",
    input: Annotated[str, typer.Option(help="input shape of a space's networks")] = "3,32,32",
    outputs: Annotated[int, typer.Option(help="outputs of a space's networks")] = 10,
    batch: Annotated[int, typer.Option(help="samples or sequences at once", min=1)] = 1,
    explain: Annotated[
        bool, typer.Option(help="cost of every operator; of a space, its network with most MACs")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="also write a page with rooflines and bars by layer")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="number format where the platform has several [bf16, else fp32]")
    ] = None,
    tokens_in: Annotated[int | None, typer.Option(help="language models: tokens of a prompt [1024]", min=1)] = None,
    tokens_out: Annotated[int | None, typer.Option(help="language models: tokens of an answer [128]", min=1)] = None,
    tensor: Annotated[int | None, typer.Option(help="language models: devices that share a layer [1]", min=1)] = None,
    pipeline: Annotated[int | None, typer.Option(help="language models: devices in a row [1]", min=1)] = None,
    expert: Annotated[int | None, typer.Option(help="language models: devices that share experts [1]", min=1)] = None,
    chunk: Annotated[int | None, typer.Option(help="language models: tokens of a prefill chunk", min=1)] = None,
) -> None:
    """Latency, energy and more on one platform or several."""
    from archwright.platforms import load

    names = [p.strip() for p in platform.split(",") if p.strip()]
    if not names:
        raise ConfigurationError("--platform names at least one platform; see: archwright platform list")
    platforms = [load(name) for name in names]
    serving = Serving(tokens_in, tokens_out, tensor, pipeline, expert, chunk)
    reader = _reader(net, _shape(input), outputs, Setting(batch, dtype), serving)
    found = []
    for p in platforms:
        typer.echo(f"{net} on {p.name}, batch {batch}")
        found.append(reader(p))
        for line in [*found[-1].summary, *(found[-1].lines() if explain else ())]:
            typer.echo("  " + line)
    if report is not None:
        from archwright.report.cost_page import cost_page
        from archwright.report.html import write_page

        about = f"Layers are those of {LARGEST}." if _is_space(net) else found[0].about
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


def _reader(net: str, shape: tuple[int, ...], outputs: int, setting: Setting, serving: Serving) -> Reader:
    """A function from a platform to what the network costs there."""
    path = Path(net)
    if _is_space(net):
        serving.refuse()
        return _space(net, shape, outputs, setting)
    if not path.is_file():
        raise ConfigurationError(f"there is no file {net!r}")
    if path.suffix == ".onnx":
        from archwright.costs.kernels import kernels_of_onnx

        serving.refuse()
        return _kernels(kernels_of_onnx(path), setting)
    text = path.read_text(encoding="utf-8")
    config = _config(text, net)
    if config is None:
        serving.refuse()
        return _architecture(text, shape, setting)
    from archwright.costs.encoder import is_encoder, kernels_of_encoder

    if is_encoder(config):
        serving.refuse("tokens_in")
        return _kernels(kernels_of_encoder(config, serving.tokens_in or 512), setting)
    return _decoder(config, setting, serving)


def _config(text: str, net: str) -> dict[str, Any] | None:
    """The entries of a Hugging Face configuration, None for other JSON."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{net!r} is not valid JSON: {error}") from error
    return data if isinstance(data, dict) and ({"model_type", "vocab_size"} & set(data)) else None


def _kernels(kernels: Kernels, setting: Setting) -> Reader:
    """Kernels as layers, numbered."""
    names = [f"{i} {name}" for i, name in enumerate(kernels.names, start=1)]
    return lambda platform: _costed(kernels, names, platform, setting, lambda values: values)


def _architecture(text: str, shape: tuple[int, ...], setting: Setting) -> Reader:
    from archwright.costs.workload import rows_of_program
    from archwright.nets.build import program_of
    from archwright.space import Architecture

    work = rows_of_program(program_of(Architecture.from_json(text), shape).steps)
    return lambda platform: _of_rows(work, platform, setting)


def _of_rows(work: Workload, platform: Platform, setting: Setting, summary: Sequence[str] | None = None) -> Costed:
    """Operators of one network as layers."""
    from archwright.costs.kernels import kernels_of

    kernels, rows = kernels_of(work.rows), work.index[0]
    there = [i for i, row in enumerate(rows.tolist()) if row >= 0]
    names = [f"{work.rows.kinds[rows[i]]} {_place(work.sites[i])}" for i in there]
    return _costed(
        kernels, names, platform, setting, lambda v: kernels.sum_rows(v, len(work.rows))[rows[there]], summary
    )  # fmt: skip


def _place(site: str) -> str:
    """A site without what does not tell layers of one network apart: chosen options, and the field of an edge."""
    return re.sub(r"\|\d+|\.operator\b", "", site)


def _costed(
    kernels: Kernels, names: Sequence[str], platform: Platform, setting: Setting, gathered: Any, summary: Any = None
) -> Costed:
    from archwright.costs.platform_cost import kernel_cost
    from archwright.costs.roof import roof_of
    from archwright.report.cost_page import Costed

    batch = setting.batch
    model = kernel_cost(platform, batch=batch, dtype=setting.dtype)
    columns = {m: gathered(v) for m, v in model.of_kernels(kernels).items()}
    roof = roof_of(platform, setting.dtype)
    moved = (1.0 if roof is None else roof.word_b) * (batch * (kernels.inputs + kernels.outputs) + kernels.weights)
    if summary is None:
        summary = [f"{metric} = {float(values.sum()):.6g}" for metric, values in columns.items()]
    return Costed(
        platform.name, [*summary, *model.missing(platform)], names, {m: v.tolist() for m, v in columns.items()},
        gathered(2 * batch * kernels.macs).tolist(), gathered(moved).tolist(),
        None if roof is None else (roof.ops_per_s, roof.b_per_s),
    )  # fmt: skip


def _decoder(config: dict[str, Any], setting: Setting, serving: Serving) -> Reader:
    from archwright.costs.decoder import from_config

    model = from_config(config)
    return lambda platform: _served(model, platform, setting, serving)


def _served(model: Decoder, platform: Platform, setting: Setting, s: Serving) -> Costed:
    from archwright.costs import llm
    from archwright.costs.llm_cost import BYTES, device_of
    from archwright.costs.llm_operators import Split, Widths
    from archwright.costs.roofline_cost import default_dtype
    from archwright.report.cost_page import Costed

    batch, dtype = setting.batch, setting.dtype or default_dtype(platform)
    tokens_in, tokens_out = s.tokens_in or 1024, s.tokens_out or 128
    device = device_of(platform, dtype, tiles=True)
    widths, split = Widths(*[BYTES[dtype]] * 3), Split(s.tensor or 1, s.pipeline or 1, s.expert or 1)
    got = llm.serve(
        model, device, batch=batch, input_tokens=float(tokens_in), output_tokens=float(tokens_out), widths=widths,
        split=split, chunk=s.chunk,
    )  # fmt: skip
    chunks = "" if s.chunk is None else f" in chunks of {s.chunk}"
    devices = split.tensor * split.pipeline * split.expert
    summary = [
        f"{float(model.weights) / 1e9:.3g} billion weights, {tokens_in} tokens in{chunks}, {tokens_out} out, "
        f"{dtype}, {devices} device{'s' if devices > 1 else ''}: {llm.REASONS[int(got.reason)]}",
        f"ttft_ms = {1e3 * float(got.ttft_s):.6g}",
        f"tpot_ms = {1e3 * float(got.tpot_s):.6g}",
        f"tokens_per_s = {float(got.tokens_per_s):.6g}",
        f"memory_gb = {float(got.memory_b) / 1e9:.6g}",
    ]
    phases = [("prefill", float(tokens_in), 0.0), ("decode", 1.0, float(tokens_in))]
    rows: list[dict[str, Any]] = []
    for phase, queries, cached in phases:
        lines = llm.explain(model, device, batch=batch, queries=queries, cached=cached, widths=widths, split=split)
        rows += [{**x, "operator": f"{phase} {x['operator']} x{x['count']:g}"} for x in lines]
    return Costed(
        platform.name, summary, [r["operator"] for r in rows], {"latency_ms": [float(r["latency_ms"]) for r in rows]},
        [2e6 * float(r["macs_m"]) for r in rows], [1e6 * float(r["memory_mb"]) for r in rows],
        (float(device.ops_per_s * device.compute_efficiency), float(device.memory_b_per_s * device.memory_efficiency)),
        [str(r["bound"]) for r in rows], "This is the prompt's pass and the first token's.",
    )  # fmt: skip


def _space(net: str, shape: tuple[int, ...], outputs: int, setting: Setting) -> Reader:
    import numpy as np

    from archwright.costs.platform_cost import cost_on
    from archwright.costs.workload import rows_of
    from archwright.job.spaces import load_space

    space = load_space(net, shape, outputs)
    drawn = space.sample(256, np.random.default_rng(0))
    many = np.concatenate([drawn.codes, [space.largest().code, space.smallest().code]])
    work = rows_of(space, many, shape)
    most = int(np.argmax(work.sum(np.asarray(work.rows.counts["macs"], dtype=np.float64))))
    largest = rows_of(space, many[[most]], shape)

    def on(platform: Platform) -> Costed:
        model = cost_on(platform, space, shape, batch=setting.batch, dtype=setting.dtype)
        lines = []
        for metric, values in model.evaluate(drawn).items():
            if np.isfinite(values).any():  # else a line says why
                low, middle, high = np.nanquantile(values, [0, 0.5, 1])
                lines.append(f"{metric}: {low:.4g} to {high:.4g}, median {middle:.4g} over 256 random networks")
        return _of_rows(largest, platform, setting, lines)

    return on
