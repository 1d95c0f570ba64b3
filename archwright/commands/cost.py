"""`archwright cost`: what a space's networks, an architecture, an ONNX file or a language model cost on platforms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def cost(
    net: Annotated[
        str, typer.Argument(help="a space, an architecture.json, an .onnx file, or a language model's config")
    ],
    platform: Annotated[str, typer.Option(help="platforms, with commas between")] = "h200",
    input: Annotated[str, typer.Option(help="input shape of a space's networks")] = "3,32,32",
    outputs: Annotated[int, typer.Option(help="outputs of a space's networks")] = 10,
    batch: Annotated[int, typer.Option(help="samples at once")] = 1,
    explain: Annotated[bool, typer.Option(help="cost of every operator; of the largest network of a space")] = False,
) -> None:
    """Latency, energy and more on one platform or several."""
    names = [p.strip() for p in platform.split(",") if p.strip()]
    shape = tuple(int(x) for x in input.split(","))
    for name in names:
        typer.echo(f"{net} on {name}, batch {batch}")
        for line in _lines(net, name, shape, outputs, batch, explain):
            typer.echo("  " + line)


def _lines(net: str, platform: str, shape: tuple[int, ...], outputs: int, batch: int, explain: bool) -> Sequence[str]:
    path = Path(net)
    if path.suffix == ".onnx":
        return _onnx(path, platform, batch, explain)
    if path.suffix == ".json" and path.is_file():
        data = json.loads(path.read_text(encoding="utf-8"))
        if "vocab_size" in data:
            return _decoder(data, platform, batch, explain)
        return _architecture(path, platform, shape, batch, explain)
    return _space(net, platform, shape, outputs, batch, explain)


def _onnx(path: Path, platform: str, batch: int, explain: bool) -> Sequence[str]:
    from archwright.costs.kernels import kernels_of_onnx
    from archwright.costs.platform_cost import costs_of_kernels

    kernels = kernels_of_onnx(path)
    columns = costs_of_kernels(kernels, platform, batch=batch)
    lines = [f"{metric} = {float(values.sum()):.6g}" for metric, values in columns.items()]
    if explain:
        lines += [
            f"{name:<28}" + "  ".join(f"{m} {float(v[i]):.4g}" for m, v in columns.items())
            for i, name in enumerate(kernels.names)
        ]
    return lines


def _decoder(config: dict[str, Any], platform: str, batch: int, explain: bool) -> Sequence[str]:
    from archwright.costs import llm
    from archwright.costs.decoder import from_config
    from archwright.costs.llm_cost import device_of
    from archwright.costs.llm_operators import Widths

    model, device, widths = from_config(config), device_of(platform, tiles=True), Widths(2.0, 2.0, 2.0)
    got = llm.serve(model, device, batch=batch, input_tokens=1024.0, output_tokens=128.0, widths=widths)
    lines = [
        f"{float(model.weights) / 1e9:.3g} billion weights, 1024 tokens in, 128 out, bf16: "
        f"{llm.REASONS[int(got.reason)]}",
        f"ttft_ms = {1e3 * float(got.ttft_s):.6g}",
        f"tpot_ms = {1e3 * float(got.tpot_s):.6g}",
        f"tokens_per_s = {float(got.tokens_per_s):.6g}",
        f"memory_gb = {float(got.memory_b) / 1e9:.6g}",
    ]
    if explain:
        for x in llm.explain(model, device, batch=batch, queries=1.0, cached=1024.0, widths=widths):
            lines.append(f"{x['operator']:<24} x{x['count']:<4g} {x['latency_ms']:.4g} ms  {x['bound']} bound")
    return lines


def _architecture(path: Path, platform: str, shape: tuple[int, ...], batch: int, explain: bool) -> Sequence[str]:
    from archwright.costs.kernels import kernels_of_module
    from archwright.costs.platform_cost import costs_of_kernels
    from archwright.nets import build
    from archwright.space import Architecture

    network = build(Architecture.from_json(path.read_text(encoding="utf-8")), shape)
    kernels = kernels_of_module(network, shape)
    columns = costs_of_kernels(kernels, platform, batch=batch)
    lines = [f"{metric} = {float(values.sum()):.6g}" for metric, values in columns.items()]
    if explain:
        lines += [
            f"{name:<28}" + "  ".join(f"{m} {float(v[i]):.4g}" for m, v in columns.items())
            for i, name in enumerate(kernels.names)
        ]
    return lines


def _space(net: str, platform: str, shape: tuple[int, ...], outputs: int, batch: int, explain: bool) -> Sequence[str]:
    import numpy as np

    from archwright.costs.platform_cost import cost_on
    from archwright.job.spaces import load_space

    space = load_space(net, shape, outputs)
    model = cost_on(platform, space, shape, batch=batch)
    columns = model.evaluate(space.sample(256, np.random.default_rng(0)))
    lines = []
    for metric, values in columns.items():
        low, middle, high = np.nanquantile(values, [0, 0.5, 1]) if np.isfinite(values).any() else [np.nan] * 3
        lines.append(f"{metric}: {low:.4g} to {high:.4g}, median {middle:.4g} over 256 random networks")
    if explain:
        for x in model.explain(space.largest()):
            numbers = "  ".join(f"{m} {x[m]:.4g}" for m in columns if m in x)
            lines.append(f"{x['operator']:<20} {x['site']:<44} {numbers}")
    return lines
