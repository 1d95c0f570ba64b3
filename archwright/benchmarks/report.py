"""One self-contained HTML page for a comparison: tables of medians and anytime curves, working offline."""

from __future__ import annotations

import html
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archwright.benchmarks.statistics import ranks_over

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;text-align:right}"
    "td,th{border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}.plot{height:26rem}h2{margin-top:2.5rem}"
)
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#16a085", "#7f8c8d", "#2c3e50", "#e67e22", "#b03a8f")


def html_of(results: Mapping[str, Any]) -> str:
    """The page for what `bench` returns."""
    entries = results["benchmarks"]
    plotly = (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    parts = [_overview(entries)]
    plots: list[tuple[str, Any, Any]] = []
    for i, entry in enumerate(entries):
        parts.append(_section(entry, i, results["thresholds"]))
        plots.append((f"queries{i}", _curves(entry, False), _layout(entry, "queries")))
        if _timed(entry):
            plots.append((f"hours{i}", _curves(entry, True), _layout(entry, "simulated hours")))
    script = "".join(
        f"Plotly.newPlot({json.dumps(name)},{json.dumps(data)},{json.dumps(layout)},{{responsive:true}});"
        for name, data, layout in plots
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>archwright: comparison of strategies</title>'
        f"<style>{STYLE}</style><script>{plotly}</script></head><body><h1>Comparison of strategies</h1>"
        f"{''.join(parts)}<script>{script}</script></body></html>\n"
    )


def _overview(entries: Sequence[Mapping[str, Any]]) -> str:
    ranks = ranks_over(entries)
    rows = sorted(ranks["mean_rank"].items(), key=lambda item: item[1])
    test = "" if ranks["friedman_p"] is None else f"<p>Friedman test: p = {ranks['friedman_p']:.3g}.</p>"
    body = _table(["strategy", "mean rank"], [[name, f"{rank:.2f}"] for name, rank in rows])
    return (
        "<p>A query returns one noisy measurement; the incumbent is chosen by what was observed and scored on the mean "
        "over trainings. Intervals are 95 % bootstrap intervals over seeds.</p>"
        f"<h2>Mean rank over {len(entries)} comparison(s), by median final result</h2>{body}{test}"
    )


def _section(entry: Mapping[str, Any], i: int, thresholds: Sequence[float]) -> str:
    found = entry["strategies"]
    several = len(entry["goals"]) > 1
    head = ["strategy", "final hypervolume share" if several else "final regret"]
    if not several:
        head += [f"queries to {t:g}" for t in thresholds] + ["improvement over random, %"]
    head += ["engine s a run", "p against random"]
    rows = []
    order = sorted(found, key=lambda n: _number(found[n]["summary"]["final"][0]))
    for name in order:
        s = found[name]["summary"]
        row = [name, _span([None if v is None else (-v if several else v) for v in s["final"]])]
        if not several:
            row += [_queries(s["queries_until"][str(t)]) for t in thresholds]
            row.append(_span(s["relative_improvement_percent"]))
        rows.append([*row, f"{s['engine_s']:.2f}", f"{s['p_against_baseline']:.2g}"])
    title = f"{entry['benchmark']}: {', '.join(entry['goals'])}"
    told = f"{len(entry['seeds'])} seeds, {entry['queries']} queries" + (", with zero-cost scores" * entry["scores"])
    hours = f'<div class="plot" id="hours{i}"></div>' if _timed(entry) else ""
    return (
        f'<h2>{html.escape(title)}</h2><p>{told}</p>{_table(head, rows)}<div class="plot" id="queries{i}"></div>{hours}'
    )


def _number(value: float | None) -> float:
    return float("inf") if value is None else value


def _span(values: Sequence[float | None]) -> str:
    centre, low, high = (("never" if v is None else f"{v:.3g}") for v in values)
    return f"{centre} [{low}, {high}]"


def _queries(until: Mapping[str, Any]) -> str:
    if until["median"] is None:
        return f"never ({100 * until['reached']:.0f} %)"
    high = "…" if until["high"] is None else f"{until['high']:.0f}"
    return f"{until['median']:.0f} [{until['low']:.0f}, {high}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _timed(entry: Mapping[str, Any]) -> bool:
    return any(r["simulated_s"] and r["simulated_s"][-1] > 0 for s in entry["strategies"].values() for r in s["runs"])


def _curves(entry: Mapping[str, Any], by_time: bool) -> list[dict[str, Any]]:
    traces = []
    key = "hypervolume" if len(entry["goals"]) > 1 else "regret"
    for (name, strategy), colour in zip(entry["strategies"].items(), COLOURS * 9, strict=False):
        runs = strategy["runs"]
        length = min(len(r[key]) for r in runs)
        if not length:
            continue
        curves = np.array([[np.nan if v is None else v for v in r[key][:length]] for r in runs])
        low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
        x = np.arange(1, length + 1, dtype=float)
        if by_time:
            x = np.median([r["simulated_s"][:length] for r in runs], axis=0) / 3600
        traces += _band(name, colour, x, low, middle, high)
    return traces


def _band(
    name: str, colour: str, x: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray
) -> list[dict[str, Any]]:
    """A median line and the quartiles around it."""

    def points(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(v) else round(float(v), 5) for v in values]

    xs = [round(float(v), 4) for v in x]
    edge = {"x": xs, "mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    return [
        {**edge, "y": points(low), "legendgroup": name},
        {**edge, "y": points(high), "fill": "tonexty", "fillcolor": colour + "22", "legendgroup": name},
        {"x": xs, "y": points(middle), "mode": "lines", "line": {"color": colour}, "name": name, "legendgroup": name},
    ]


def _layout(entry: Mapping[str, Any], x: str) -> dict[str, Any]:
    several = len(entry["goals"]) > 1
    y = {"title": {"text": "share of the table's hypervolume" if several else f"regret of {entry['goals'][0]}"}}
    scale = {} if several else {"type": "log"}
    return {"xaxis": {"title": {"text": x}}, "yaxis": {**y, **scale}, "margin": {"t": 20}, "hovermode": "x unified"}
