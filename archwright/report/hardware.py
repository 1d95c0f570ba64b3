"""Figures about hardware: rooflines, schedules, and fronts of networks and accelerators together.

A roofline (Williams, Waterman and Patterson, CACM 2009) shows for each layer how many operations it does per byte that
must move at least, and at which rate the cost model says that it runs; nothing lies above its device's roof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archwright.report import plots
from archwright.report.plots import BLUE, GREY, INK, OTHERS, Figure, layout, safe
from archwright.report.words import label, short_number, with_unit

PALETTE = (BLUE, "#b98a3e", "#6a8f5d", "#7d6aa8", "#3d8f97", "#a3596e")
MOST_LAYERS = 24


@dataclass(frozen=True)
class Roof:
    """A device with the layers that run on it.

    Attributes:
        name: of the device.
        ops_per_s: peak, two operations a multiply-accumulate.
        b_per_s: bandwidth of its memory.
        layers: names.
        ops: of each layer.
        moved_b: bytes of each layer, inputs, weights and outputs once each.
        seconds: of each layer by the cost model.
    """

    name: str
    ops_per_s: float
    b_per_s: float
    layers: Sequence[str]
    ops: Sequence[float]
    moved_b: Sequence[float]
    seconds: Sequence[float]

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Intensity, rate and row of each layer that has a place on a logarithmic figure."""
        ops, moved, seconds = (np.asarray(v, dtype=np.float64) for v in (self.ops, self.moved_b, self.seconds))
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = ops / moved, ops / seconds
        rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0))
        return x[rows], y[rows], rows


def roofline(roofs: Sequence[Roof]) -> Figure | None:
    """Layers under the roofs of their devices, both axes logarithmic; None where no layer does any operation."""
    found = [(roof, *roof.points()) for roof in roofs]
    intensities = np.concatenate([x for _, x, _, _ in found]) if found else np.zeros(0)
    if not intensities.size:
        return None
    knees = [roof.ops_per_s / roof.b_per_s for roof in roofs]
    low, high = min(intensities.min(), min(knees)) / 2.5, max(intensities.max(), max(knees)) * 2.5
    rates = np.concatenate([y for _, _, y, _ in found])
    traces = [_roof_line(roof, low, high, i, bool(x.size)) for i, (roof, x, _, _) in enumerate(found)]
    traces += [_roof_points(roof, x, y, rows, i) for i, (roof, x, y, rows) in enumerate(found) if x.size]
    floor = min(rates.min(), min(roof.b_per_s * low for roof in roofs)) / 1.6
    top = max(roof.ops_per_s for roof in roofs) * 2
    floor = max(floor, top * 1e-6)
    power = {"type": "log", "exponentformat": "power", "dtick": 1}
    return {
        "data": traces,
        "layout": layout(
            "operations per byte", "operations per second", 420,
            xaxis={**power, "range": [float(np.log10(low)), float(np.log10(high))]},
            yaxis={**power, "range": [float(np.log10(floor)), float(np.log10(top))]},
        ),
    }  # fmt: skip


def _roof_line(roof: Roof, low: float, high: float, number: int, shown: bool) -> dict[str, object]:
    knee = roof.ops_per_s / roof.b_per_s
    x = [low, knee, high] if low < knee < high else [low, high]
    y = [min(roof.ops_per_s, roof.b_per_s * v) for v in x]
    told = f"{short_number(roof.ops_per_s)} operations/s, {short_number(roof.b_per_s)}B/s"
    return {
        "type": "scatter", "mode": "lines", "name": safe(roof.name), "x": x, "y": y, "showlegend": not shown,
        "legendgroup": str(number), "line": {"color": PALETTE[number % len(PALETTE)], "width": 2},
        "hovertemplate": f"{safe(roof.name)}<br>{told}<extra></extra>",
    }  # fmt: skip


def _roof_points(roof: Roof, x: np.ndarray, y: np.ndarray, rows: np.ndarray, number: int) -> dict[str, object]:
    seconds = np.asarray(roof.seconds, dtype=np.float64)[rows]
    share = seconds / max(float(np.nansum(np.asarray(roof.seconds, dtype=np.float64))), 1e-300)
    text = [
        f"{safe(roof.layers[r])}<br>{short_number(float(a))} operations per byte<br>"
        f"{short_number(float(b))} operations/s, {100 * float(b) / roof.ops_per_s:.2g} % of the peak<br>"
        f"{100 * float(s):.3g} % of the time"
        for r, a, b, s in zip(rows, x, y, share, strict=True)
    ]
    return {
        "type": "scatter", "mode": "markers", "name": safe(roof.name), "x": x.tolist(), "y": y.tolist(),
        "legendgroup": str(number), "text": text, "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": PALETTE[number % len(PALETTE)], "opacity": 0.75, "line": {"color": "#fff", "width": 0.8},
                   "size": np.clip(6 + 26 * np.sqrt(share), 6, 26).tolist()},
    }  # fmt: skip


def layer_bars(
    names: Sequence[str], values: Sequence[float], metric: str, colours: Sequence[str] | None = None
) -> Figure:
    """One bar a layer, the largest of them."""
    finite = [v if np.isfinite(v) else 0.0 for v in values]
    shown, heights, tints = plots.largest(names, finite, colours or [BLUE] * len(names), MOST_LAYERS)
    texts = [with_unit(metric, float(f"{v:.3g}")) for v in heights]
    return plots.bars(shown, heights, label(metric), texts, colours=tints)


@dataclass(frozen=True)
class Piece:
    """A layer in a schedule: on which machine, of which network, from when and how long."""

    machine: str
    network: str
    layer: str
    start: float
    length: float


def schedule(pieces: Sequence[Piece], unit: str) -> Figure:
    """Machines over time, one bar a layer, one colour a network."""
    machines = list(dict.fromkeys(p.machine for p in pieces))
    traces = []
    for i, network in enumerate(dict.fromkeys(p.network for p in pieces)):
        own = [p for p in pieces if p.network == network]
        traces.append(
            {"type": "bar", "orientation": "h", "name": safe(network), "y": [safe(p.machine) for p in own],
             "x": [p.length for p in own], "base": [p.start for p in own],
             "customdata": [f"{safe(p.layer)}<br>{p.start:.4g} to {p.start + p.length:.4g} {unit}" for p in own],
             "hovertemplate": "%{customdata}<extra>" + safe(network) + "</extra>",
             "marker": {"color": PALETTE[i % len(PALETTE)], "line": {"color": "#fff", "width": 0.6}}}
        )  # fmt: skip
    order = [safe(m) for m in reversed(machines)]
    return {
        "data": traces,
        "layout": layout(
            f"time ({unit})", "", 110 + 46 * len(machines), barmode="overlay", bargap=0.3,
            yaxis={"categoryorder": "array", "categoryarray": order, "showgrid": False, "ticks": ""},
        ),
    }  # fmt: skip


def joint_front(
    points: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[str]]],
    front: tuple[Sequence[float], Sequence[float]],
    metrics: tuple[str, str],
) -> Figure:
    """Designs within the limits, coloured by their hardware, and the front through them.

    Args:
        points: hardware -> (x, y, hover texts).
        front: x and y of the front, x ascending.
        metrics: of x and y.
    """
    traces: list[dict[str, object]] = [
        {"type": "scatter", "mode": "lines", "name": "front", "x": list(front[0]), "y": list(front[1]),
         "line": {"color": INK, "width": 1.4, "shape": "hv"}, "hoverinfo": "skip"}
    ]  # fmt: skip
    colours = (*PALETTE, GREY, *OTHERS)
    for i, (name, (x, y, texts)) in enumerate(points.items()):
        colour = GREY if name == "others" else colours[i % len(colours)]
        traces.append(
            {"type": "scatter", "mode": "markers", "name": safe(name), "x": list(x), "y": list(y),
             "text": [safe(t).replace("\n", "<br>") for t in texts],
             "hovertemplate": "%{text}<extra></extra>",
             "marker": {"color": colour, "size": 7, "opacity": 0.8, "line": {"color": "#fff", "width": 0.6}}}
        )  # fmt: skip
    ends = [
        _ends(np.concatenate([np.asarray(p[i], dtype=np.float64) for p in points.values()]), front[i]) for i in (0, 1)
    ]
    axes = {"xaxis": {"range": ends[0]}, "yaxis": {"range": ends[1]}}
    return {"data": traces, "layout": layout(label(metrics[0]), label(metrics[1]), 440, **axes)}


def _ends(values: np.ndarray, front: Sequence[float]) -> list[float]:
    """A range with nearly all values, and with the front but for its first twentieth."""
    inside = [*np.quantile(values, [0.02, 0.98]), *np.quantile(np.asarray(front), [0.05, 1.0])]
    span = max(inside) - min(inside) or abs(max(inside)) or 1.0
    return [min(inside) - 0.06 * span, max(inside) + 0.06 * span]
