"""The figures of a report, as Plotly figures in plain dictionaries: `{"data": [...], "layout": {...}}`.

Colours mean the same everywhere: blue is the search, grey what it is compared with, red the chosen network and limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archwright.report.data import Calibration, Curve, ReportData
from archwright.report.words import duration, label, split_metric, with_unit
from archwright.search.problem import Objective

BLUE, PALE, GREY, RED, INK, GRID = "#2f6db3", "#c9d3dc", "#8b97a3", "#c0452f", "#1f2933", "#e9edf1"
OTHERS = (GREY, "#b98a3e", "#6a8f5d", "#7d6aa8")
MOST_POINTS = 4000  # more trials than this are thinned out, which the caption says

Figure = dict[str, Any]


def layout(x: str, y: str, height: int = 360, **more: Any) -> dict[str, Any]:
    """The look that all figures share."""
    axis = {
        "gridcolor": GRID, "zeroline": False, "linecolor": "#b8c2cc", "showline": True, "ticks": "outside",
        "tickcolor": "#b8c2cc", "ticklen": 4, "automargin": True,
    }  # fmt: skip
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 34, "b": 48},
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12.5, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": "#b8c2cc",
            "font": {"color": INK, "size": 12},
            "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 12}},
        "xaxis": {**axis, "title": {"text": safe(x), "standoff": 8}},
        "yaxis": {**axis, "title": {"text": safe(y), "standoff": 8}},
        "hovermode": "closest",
    }
    for key, value in more.items():
        base[key] = {**base[key], **value} if isinstance(value, Mapping) and isinstance(base.get(key), dict) else value
    return base


def with_height(figure: Mapping[str, Any], height: int) -> Figure:
    """The same figure in another height, in pixels."""
    return {**figure, "layout": {**figure["layout"], "height": height}}


def safe(text: str) -> str:
    """Plotly reads a small HTML in its texts; what users wrote must not become any."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _hover(data: ReportData, index: int) -> str:
    shown = dict.fromkeys([*(o.metric for o in data.objectives), *data.columns])
    lines = [f"trial {index}"]
    for metric in list(shown)[:8]:
        value = data.columns[metric][index] if metric in data.columns else float("nan")
        if np.isfinite(value):
            lines.append(f"{safe(split_metric(metric)[0])} {with_unit(metric, float(value))}")
    if len(data.labels) > index and data.labels[index]:
        text = data.labels[index]
        rows = [text[i : i + 70] for i in range(0, min(len(text), 280), 70)]
        lines += [safe(row) for row in rows]
        if len(text) > 280:
            lines[-1] += "…"
    return "<br>".join(lines)


def plane(data: ReportData) -> tuple[Objective, Objective] | None:
    """The two objectives that the front is drawn over: a cost to the right, what is wanted upwards."""
    known = [o for o in (*data.goals, *data.limits) if np.isfinite(data.columns.get(o.metric, np.array([]))).any()]
    known = list({o.metric: o for o in known}.values())
    if len(known) < 2:
        return None
    pair = known[:2]
    upwards = next((o for o in pair if o.goal == "maximize"), pair[0])
    return next(o for o in pair if o is not upwards), upwards


def _thinned(rows: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    return rows if rows.size <= most else rows[np.linspace(0, rows.size - 1, most).astype(int)]


def pareto(data: ReportData) -> Figure | None:
    """All trials faint, the front strong, limits as lines, the chosen trial as a star; None without two metrics."""
    axes = plane(data)
    if axes is None:
        return None
    x, y = (np.asarray(data.columns[o.metric], dtype=np.float64) for o in axes)
    known = np.isfinite(x) & np.isfinite(y)
    feasible = data.feasible()
    front = np.array([i for i in data.front if known[i]], dtype=int)
    front = front[np.argsort(x[front], kind="stable")]
    traces = []
    for rows, name, colour, symbol in (
        (np.flatnonzero(known & ~feasible), "breaks a limit", "#d9a79d", "x-thin"),
        (np.flatnonzero(known & feasible), "trial", "#aebfd0", "circle"),
    ):
        if rows.size:
            marker = {"color": colour, "size": 5, "opacity": 0.75, "symbol": symbol}
            if symbol == "x-thin":
                marker["line"] = {"color": colour, "width": 1}
            traces.append(_points(data, _thinned(rows), x, y, name, marker))
    if front.size:
        shape = "hv" if len(data.goals) == 2 else None
        traces.append(_points(data, front, x, y, "front", {"color": BLUE, "size": 8}, shape))
    if data.chosen is not None and known[data.chosen]:
        star = {"color": RED, "size": 16, "symbol": "star", "line": {"color": "#fff", "width": 1}}
        traces.append(_points(data, np.array([data.chosen]), x, y, "chosen", star))
    ends = [_window(v[known], front, v, o, data.measured.get(o.metric)) for o, v in zip(axes, (x, y), strict=True)]
    if _measured_inside(data, axes, ends):
        traces.append(_exported(data, axes))
    ranges = {"xaxis": {"range": ends[0]}, "yaxis": {"range": ends[1]}}
    lines, notes = _limit_lines(axes, ends)
    return {
        "data": traces,
        "layout": layout(label(axes[0].metric), label(axes[1].metric), 440, shapes=lines, annotations=notes, **ranges),
    }


def _points(
    data: ReportData, rows: np.ndarray, x: np.ndarray, y: np.ndarray, name: str, marker: Any, shape: str | None = None
) -> dict[str, Any]:
    trace = {
        "type": "scatter", "mode": "lines+markers" if shape else "markers", "name": name, "x": x[rows].tolist(),
        "y": y[rows].tolist(), "text": [_hover(data, int(i)) for i in rows], "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }  # fmt: skip
    if shape:
        trace["line"] = {"color": BLUE, "width": 1.6, "shape": shape}
    return trace


def _measured_inside(data: ReportData, axes: Sequence[Objective], ends: Sequence[Sequence[float]]) -> bool:
    """Whether the exported network as measured is known and falls into the figure."""
    measured = [data.measured.get(o.metric, float("nan")) for o in axes]
    return all(low <= value <= high for value, (low, high) in zip(measured, ends, strict=True))


def _exported(data: ReportData, axes: Sequence[Objective]) -> dict[str, Any]:
    """The exported network where it was measured, as an empty star."""
    x, y = (float(data.measured[o.metric]) for o in axes)
    told = "<br>".join(
        f"{safe(split_metric(o.metric)[0])} {with_unit(o.metric, v)}" for o, v in zip(axes, (x, y), strict=True)
    )
    return {
        "type": "scatter", "mode": "markers", "name": "as measured", "x": [x], "y": [y], "text": [told],
        "hovertemplate": "exported, as measured<br>%{text}<extra></extra>",
        "marker": {"color": RED, "size": 15, "symbol": "star-open", "line": {"width": 1.8}},
    }  # fmt: skip


def _window(
    known: np.ndarray, front: np.ndarray, values: np.ndarray, objective: Objective, measured: float | None
) -> list[float]:
    """A range that shows the front, nearly all trials, and the limit and final measurement where they are near."""
    low, high = np.quantile(known, [0.02, 0.98])
    inside = [low, high, *values[front].tolist()]
    if objective.goal == "maximize":
        inside.append(float(known.max()))
    span = max(inside) - min(inside) or abs(max(inside)) or 1.0
    nearby = bounds_of(objective) + ([] if measured is None else [float(measured)])
    inside += [b for b in nearby if min(inside) - span <= b <= max(inside) + span]
    span = max(inside) - min(inside) or abs(max(inside)) or 1.0
    return [min(inside) - 0.06 * span, max(inside) + 0.08 * span]


def bounds_of(objective: Objective) -> list[float]:
    """The bounds that an objective has."""
    return [b for b in (objective.at_most, objective.at_least) if b is not None]


def hidden_limits(figure: Mapping[str, Any], data: ReportData) -> list[str]:
    """Limits that lie outside of the front's figure, in words."""
    axes = plane(data)
    out = []
    for axis, objective in zip(("xaxis", "yaxis"), axes or (), strict=False):
        low, high = figure["layout"][axis]["range"]
        for bound in bounds_of(objective):
            if not low <= bound <= high:
                out.append(f"{split_metric(objective.metric)[0]} {with_unit(objective.metric, bound)}")
    return out


def _limit_lines(axes: tuple[Objective, Objective], ranges: Sequence[Sequence[float]]) -> tuple[list[Any], list[Any]]:
    """Lines and their texts for the limits that lie inside the ranges."""
    shapes, notes = [], []
    for axis, objective, (low, high) in zip("xy", axes, ranges, strict=True):
        for bound, sign in ((objective.at_most, "≤"), (objective.at_least, "≥")):
            if bound is None or not low <= bound <= high:
                continue
            other = "y" if axis == "x" else "x"
            shapes.append(
                {"type": "line", f"{axis}0": bound, f"{axis}1": bound, f"{other}0": 0, f"{other}1": 1,
                 f"{other}ref": "paper", "line": {"color": RED, "width": 1.2, "dash": "dash"}}
            )  # fmt: skip
            place = {"x": bound, "y": 0.01, "yref": "paper", "xanchor": "right", "yanchor": "bottom"}
            if axis == "y":
                place = {"y": bound, "x": 0.99, "xref": "paper", "xanchor": "right", "yanchor": "top"}
            text = f"{sign} {with_unit(objective.metric, bound)}"
            notes.append({**place, "text": text, "showarrow": False, "font": {"color": RED, "size": 11.5}})
    return shapes, notes


def anytime(curves: Sequence[Curve], metric: str) -> Figure:
    """Best so far over time, one stepped line for each search."""
    traces: list[dict[str, Any]] = []
    for i, curve in enumerate(curves):
        colour = BLUE if i == 0 else OTHERS[(i - 1) % len(OTHERS)]
        seconds, trials, values = (list(column) for column in zip(*curve.points, strict=True))
        if curve.low and curve.high:
            traces.append(
                {"type": "scatter", "mode": "lines", "x": seconds + seconds[::-1],
                 "y": list(curve.high) + list(curve.low)[::-1], "fill": "toself", "fillcolor": colour, "opacity": 0.15,
                 "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
            )  # fmt: skip
        text = [
            f"{safe(curve.name)}<br>after {duration(s)}, {t} trials<br>{with_unit(metric, v)}"
            for s, t, v in zip(seconds, trials, values, strict=True)
        ]
        traces.append(
            {"type": "scatter", "mode": "lines", "name": safe(curve.name), "x": seconds, "y": values, "text": text,
             "hovertemplate": "%{text}<extra></extra>",
             "line": {"color": colour, "width": 1.8 if i else 2.4, "shape": "hv", "dash": "dot" if i else "solid"}}
        )  # fmt: skip
    finite = [v for c in curves for _, _, v in c.points if np.isfinite(v)]
    more = {"yaxis": {"range": _upper_range(finite)}} if finite else {}
    return {"data": traces, "layout": layout("time (s)", label(metric), 330, **more)}


def _upper_range(values: Sequence[float]) -> list[float]:
    """A range around curves that leaves out the first, worst steps when they would squash the rest."""
    low, high = float(np.quantile(values, 0.03)), max(values)
    span = high - low or abs(high) or 1.0
    return [low - 0.08 * span, high + 0.08 * span]


def feasible_share(data: ReportData) -> Figure | None:
    """Share of feasible trials over the course of the search, in windows; None without trials."""
    inside = data.feasible().astype(float)
    n = inside.size
    if n == 0:
        return None
    window = max(5, n // 12)
    total = np.concatenate([[0.0], np.cumsum(inside)])
    at = np.unique(np.linspace(min(window, n), n, 60).astype(int))
    share = 100 * (total[at] - total[np.maximum(at - window, 0)]) / np.minimum(at, window)
    trace = {
        "type": "scatter", "mode": "lines", "x": at.tolist(), "y": share.tolist(), "name": "feasible",
        "line": {"color": BLUE, "width": 2.2}, "fill": "tozeroy", "fillcolor": "rgba(47,109,179,0.10)",
        "hovertemplate": "trial %{x}<br>%{y:.0f} % of the last " + str(window) + " feasible<extra></extra>",
    }  # fmt: skip
    return {
        "data": [trace],
        "layout": layout(
            "trial", "feasible trials (%)", 300, yaxis={"range": [0, 104]}, xaxis={"range": [0, n]}, showlegend=False
        ),
    }


def bars(
    names: Sequence[str],
    values: Sequence[float],
    title: str,
    texts: Sequence[str],
    *,
    colours: Sequence[str] | str = BLUE,
) -> Figure:
    """Horizontal bars with a text at the end of each, the first on top."""
    top = max([v for v in values if np.isfinite(v)], default=1.0) or 1.0
    trace = {
        "type": "bar", "orientation": "h", "y": list(range(len(names))), "x": [float(v) for v in values],
        "marker": {"color": colours if isinstance(colours, str) else list(colours)}, "text": list(texts),
        "textposition": "outside", "cliponaxis": False, "textfont": {"size": 11.5},
        "customdata": [safe(n) for n in names], "hovertemplate": "%{customdata}: %{text}<extra></extra>",
    }  # fmt: skip
    shown = [safe(n if len(n) <= 34 else f"{n[:16]}…{n[-17:]}") for n in names]
    return {
        "data": [trace],
        "layout": layout(
            title,
            "",
            max(150, 74 + 22 * len(names)),
            yaxis={"autorange": "reversed", "tickmode": "array", "tickvals": list(range(len(names))), "ticktext": shown,
                   "showgrid": False, "ticks": ""},
            xaxis={"range": [0, 1.18 * top]},
            margin={"l": 20, "r": 30, "t": 8, "b": 44},
            bargap=0.32,
            showlegend=False,
        ),
    }  # fmt: skip


def largest(
    names: Sequence[str], values: Sequence[float], colours: Sequence[str], most: int
) -> tuple[list[str], list[float], list[str]]:
    """The `most` largest values in their order, and the sum of the rest as one grey last entry."""
    order = sorted(range(len(names)), key=lambda i: -values[i])
    kept = sorted(order[:most])
    left = order[most:]
    shown, heights = [names[i] for i in kept], [float(values[i]) for i in kept]
    tints = [colours[i] for i in kept]
    if left:
        shown.append(f"{len(left)} smaller layers")
        heights.append(float(sum(values[i] for i in left)))
        tints.append(GREY)
    return shown, heights, tints


def calibration(found: Calibration) -> Figure:
    """Predicted against measured, with the line where both are equal."""
    x, y = np.asarray(found.predicted, dtype=np.float64), np.asarray(found.measured, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    low, high = float(min(x[known].min(), y[known].min())), float(max(x[known].max(), y[known].max()))
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    ends = [low - pad, high + pad]
    names = found.labels or [""] * x.size
    name, unit = split_metric(found.metric)
    text = [
        f"predicted {with_unit(found.metric, a)}<br>measured {with_unit(found.metric, b)}"
        + (f"<br>{safe(n[:90])}" if n else "")
        for a, b, n in zip(x[known], y[known], np.asarray(names, dtype=object)[known], strict=True)
    ]
    traces = [
        {"type": "scatter", "mode": "lines", "x": ends, "y": ends, "name": "equal", "hoverinfo": "skip",
         "line": {"color": GREY, "width": 1.2, "dash": "dash"}},
        {"type": "scatter", "mode": "markers", "x": x[known].tolist(), "y": y[known].tolist(), "name": "network",
         "text": text, "hovertemplate": "%{text}<extra></extra>", "marker": {"color": BLUE, "size": 7, "opacity": 0.8}},
    ]  # fmt: skip
    suffix = f" ({unit})" if unit else ""
    return {
        "data": traces,
        "layout": layout(
            f"predicted {name}{suffix}", f"measured {name}{suffix}", 340, xaxis={"range": ends}, yaxis={"range": ends}
        ),
    }
