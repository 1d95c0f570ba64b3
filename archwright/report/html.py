"""One self-contained `report.html`: Plotly inside, no network needed, everything that users wrote escaped."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from archwright.errors import ExportError
from archwright.report import plots
from archwright.report.data import Curve, ReportData, Section
from archwright.report.drawing import colour_of, draw
from archwright.report.verdict import head
from archwright.report.words import big_integer, label, number, split_metric, with_unit

MOST_ROWS, MOST_BARS, MOST_COLUMNS = 30, 24, 4


def report(data: ReportData, path: str | Path) -> Path:
    """Write a report; a reader finds the old file or the new one, never half of one.

    Raises:
        ExportError: if the file cannot be written.
    """
    return write_page(page(data), path)


def write_page(text: str, path: str | Path) -> Path:
    """Write a page whole or not at all.

    Raises:
        ExportError: if the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ExportError(f"cannot write the report {path}: {error}") from error
    return path


def page(data: ReportData) -> str:
    """The whole page as text."""
    writer = _Writer()
    parts = [
        head(data),
        writer.section(_front(data)),
        writer.section(_table(data)),
        writer.section(_network(data)),
        writer.section(_layers(data)),
        writer.pair(_progress(data), _volume(data) or _feasible(data)),
        writer.pair(_importance(data), *_calibrations(data)),
        writer.section(_feasible(data) if _volume(data) else None),
        *(writer.section(section) for section in data.sections),
        writer.section(_reproduce(data)),
    ]
    return document(data.title, parts)


def sections_page(title: str, verdict: str, sections: Sequence[Section]) -> str:
    """A page of any sections under a title and one sentence."""
    writer = _Writer()
    top = f'<header><h1>{escape(title)}</h1><p class="verdict">{escape(verdict)}</p></header>'
    return document(title, [top, *(writer.section(section) for section in sections)])


def document(title: str, parts: Iterable[str]) -> str:
    """HTML parts as one self-contained page."""
    assets = importlib.resources.files("archwright.report") / "assets"
    plotly = (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    style, script = ((assets / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style>"
        f"<script>{plotly}</script><script>{script}</script></head>\n<body><main>"
        + "\n".join(part for part in parts if part)
        + "</main></body></html>\n"
    )


class _Writer:
    """Turns sections into HTML and numbers their figures."""

    def __init__(self) -> None:
        self._figures = 0

    def section(self, section: Section | None) -> str:
        if section is None:
            return ""
        note = f'<p class="caption">{escape(section.note)}</p>' if section.note else ""
        return f"<section><h2>{escape(section.title)}</h2>{note}{section.html}{self._figure(section.figure)}</section>"

    def pair(self, *sections: Section | None) -> str:
        given = [s for s in sections if s is not None]
        if len(given) < 2:
            return "".join(self.section(s) for s in given)
        tallest = max((s.figure["layout"]["height"] for s in given if s.figure is not None), default=0)
        same = [s if s.figure is None else replace(s, figure=plots.with_height(s.figure, tallest)) for s in given]
        return f'<div class="columns">{"".join(self.section(s) for s in same)}</div>'

    def _figure(self, figure: Mapping[str, Any] | None) -> str:
        if figure is None:
            return ""
        self._figures += 1
        name = f"plot{self._figures}"
        height = figure.get("layout", {}).get("height", 360)
        return (
            f'<div class="plot" id="{name}" style="height:{int(height)}px"></div>'
            f'<script type="application/json" data-plot="{name}">{script_json(figure)}</script>'
        )


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no `<`, numbers that are not finite become null."""
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: int = 0, marked: int | None = None) -> str:
    """An HTML table; all cells are escaped.

    Args:
        header: titles of the columns.
        rows: cells as text.
        numeric: how many columns, from the left, hold numbers.
        marked: index of a row to point out.
    """

    def kind(i: int) -> str:
        return ' class="num"' if i < numeric else ' class="text"'

    head = "".join(f"<th{kind(i) if i < numeric else ''}>{escape(h)}</th>" for i, h in enumerate(header))
    body = ""
    for r, row in enumerate(rows):
        cells = "".join(
            f"<td{kind(i)}>{escape(cell)}</td>" if i < numeric else f"<td{kind(i)}>{_folded(cell)}</td>"
            for i, cell in enumerate(row)
        )
        body += f'<tr class="chosen">{cells}</tr>' if r == marked else f"<tr>{cells}</tr>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _folded(text: str) -> str:
    """Text of which a long one shows two lines until it is clicked."""
    if len(text) <= 90:
        return escape(text)
    return f"<details><summary>{escape(text)}</summary></details>"


def _absent(data: ReportData, key: str, why: str) -> str:
    """What stands where a figure would be."""
    return f'<p class="missing">{escape(data.missing.get(key, why))}</p>'


def _front(data: ReportData) -> Section:
    title = "Pareto front" if len(data.goals) > 1 else "Trials and limits"
    figure = plots.pareto(data) if data.states else None
    if figure is None:
        return Section(title, _absent(data, "front", "Two metrics are needed for this figure; this run has fewer."))
    hidden = plots.hidden_limits(figure, data)
    many = len(data.states)
    note = (
        "Each point is a trial. Blue points are the front: no feasible trial is better in every goal. "
        "The red star is the network that was exported, with the values that the search had for it; dashed red lines "
        "are the limits. Hover for details."
    )
    if any(trace["name"] == "as measured" for trace in figure["data"]):
        note += " The empty star is the same network after its last training, as measured."
    if hidden:
        note += f" Far outside, and so not drawn, is the limit of {' and of '.join(hidden)}."
    if many > plots.MOST_POINTS:
        note += f" Of {many:,} trials {plots.MOST_POINTS:,} are drawn, evenly over the run."
    if len(data.goals) > 2:
        note += f" There are {len(data.goals)} goals, so points that look dominated here are better in another one."
    if not len(data.front):
        note += " No trial is within the limits, so there is no front."
    return Section(title, figure=figure, note=note)


def _table(data: ReportData) -> Section | None:
    rows = [i for i in data.front if i < len(data.states)]
    if not rows:
        return Section(
            "Networks of the front", _absent(data, "front", "The front is empty: no trial is within the limits.")
        )
    wanted = dict.fromkeys([*(o.metric for o in data.objectives), "params_m", "macs_m", *data.columns])
    metrics = [m for m in wanted if m in data.columns and np.isfinite(data.columns[m][rows]).any()]
    metrics = metrics[: max(MOST_COLUMNS, len(data.objectives))]
    shown = rows[:MOST_ROWS]
    if data.chosen in rows and data.chosen not in shown:
        shown = [*shown[:-1], data.chosen]
    cells = [
        [str(i), *(number(float(data.columns[m][i])) for m in metrics), data.labels[i] if i < len(data.labels) else ""]
        for i in shown
    ]
    marked = shown.index(data.chosen) if data.chosen in shown else None
    note = f"{len(rows)} networks" + (f", of which {len(shown)} are shown" if len(shown) < len(rows) else "") + "."
    if marked is not None:
        note += " The exported one is marked."
    return Section(
        "Networks of the front",
        table(["trial", *(label(m) for m in metrics), "architecture"], cells, numeric=1 + len(metrics), marked=marked),
        note=note,
    )


def _network(data: ReportData) -> Section | None:
    if data.description is None and data.missing.get("network") == "":
        return None
    if data.description is None:
        return Section("The network", _absent(data, "network", "No network was chosen, so there is none to draw."))
    return Section(
        "The network",
        f'<div class="scroll">{draw(data.description)}</div>',
        note=(
            "From input to output; arcs on the left are values that skip layers, stacked boxes are equal blocks "
            "in a row, with their numbers added up. A layer is broadcast over an axis when it treats every position "
            "of it alike and mixes none. Hover over a layer for all its settings."
        ),
    )


def _layers(data: ReportData) -> Section | None:
    if data.description is None and data.missing.get("layer_costs") == "":
        return None
    if data.description is None:
        return Section("Cost by layer", _absent(data, "layer_costs", "No network was chosen."))
    steps = data.description.steps
    costs: dict[str, Sequence[float]] = dict(data.layer_costs)
    if not costs:
        costs = {"macs_m": [s.macs / 1e6 for s in steps]}
    metric, values = next(iter(costs.items()))
    names, heights, colours = plots.largest(
        [s.name for s in steps], values, [colour_of(s)[1] for s in steps], MOST_BARS
    )
    name = split_metric(metric)[0]
    note = f"{name[:1].upper() + name[1:]} of each layer, in the order of the network; colours as in the drawing."
    if data.layer_costs:
        note += " The values are what the latency table or cost model holds for each layer, not separate measurements."
    if not data.layer_costs:
        why = "Times by layer were not supplied, so multiply-accumulates stand here."
        note += f" {data.missing.get('layer_costs', why)}"
    texts = [with_unit(metric, float(f"{v:.3g}")) for v in heights]
    return Section("Cost by layer", figure=plots.bars(names, heights, label(metric), texts, colours=colours), note=note)


def _progress(data: ReportData) -> Section:
    curves = [c for c in data.curves if len(c.points)]
    if not curves:
        why = "No feasible network was found, so there is no progress to show."
        return Section("Progress", _absent(data, "curves", why))
    note = f"Best {split_metric(data.curve_metric)[0] or 'value'} of a feasible trial so far.{_beside(curves)}"
    if len(curves) == 1:
        note += f" {data.missing.get('baseline', 'No baseline was run beside this search.')}"
    return Section("Progress", figure=plots.anytime(curves, data.curve_metric), note=note)


def _volume(data: ReportData) -> Section | None:
    curves = [c for c in data.volumes if len(c.points)]
    if len(data.goals) < 2 or not curves:
        return None
    note = (
        "Hypervolume of the front so far, over all goals together: 1 is what this search reached at its end, "
        f"measured from the worst values that were seen.{_beside(curves)}"
    )
    return Section("Progress of the front", figure=plots.anytime(curves, "hypervolume"), note=note)


def _beside(curves: Sequence[Curve]) -> str:
    """What the other lines of a figure are."""
    others = " and ".join(c.name for c in curves[1:])
    band = " Bands give the spread over seeds." if any(len(c.low) for c in curves) else ""
    return (f" Dotted: {others}, with the same budget." if others else "") + band


def _feasible(data: ReportData) -> Section:
    title = "Feasible trials"
    if not data.limits:
        return Section(title, _absent(data, "feasible", "This run has no limits, so every complete trial is feasible."))
    figure = plots.feasible_share(data)
    if figure is None:
        return Section(title, _absent(data, "feasible", "There are no trials."))
    inside = int(data.feasible().sum())
    failed = sum(state == "failed" for state in data.states)
    if inside == len(data.states):
        return Section(title, note=f"All {inside:,} trials keep all limits, so there is no course of it to show.")
    note = f"{inside:,} of {len(data.states):,} trials ({100 * inside / len(data.states):.0f} %) keep all limits."
    if failed:
        note += f" {failed:,} failed with an error and count as not feasible."
    return Section(title, figure=figure, note=note)


def _importance(data: ReportData) -> Section:
    title = "Which decisions matter"
    known = {name: share for name, share in data.importance.items() if math.isfinite(share)}
    if not known or max(known.values()) <= 0:
        why = "There are too few complete trials, or they do not differ, so nothing can be said."
        return Section(title, _absent(data, "importance", why))
    top = sorted(known.items(), key=lambda item: -item[1])[:16]
    rest = len(known) - len(top)
    metric = split_metric(data.importance_metric)[0] if data.importance_metric else "the first goal"
    note = (
        f"Share of the variance of {metric} that each decision explains alone. Decisions that exist only in deeper "
        "networks also explain what the depth does, so the shares may add up to more than 100 %."
    )
    if rest:
        note += f" {rest} smaller ones are left out."
    shares = [100 * s for _, s in top]
    figure = plots.bars([n for n, _ in top], shares, "explained variance (%)", [f"{s:.3g} %" for s in shares])
    return Section(title, figure=figure, note=note)


def _calibrations(data: ReportData) -> list[Section]:
    out = []
    for found in data.calibrations:
        x, y = np.asarray(found.predicted, dtype=np.float64), np.asarray(found.measured, dtype=np.float64)
        known = np.isfinite(x) & np.isfinite(y)
        name = split_metric(found.metric)[0]
        title = f"Predicted and measured {name}"
        if known.sum() < 2:
            out.append(Section(title, _absent(data, "calibrations", "Fewer than two networks were measured again.")))
            continue
        error = float(np.median(np.abs(x[known] - y[known]) / np.maximum(np.abs(y[known]), 1e-12)))
        note = f"{int(known.sum())} networks. Median error {100 * error:.1f} %"
        correlation = rank_correlation(x[known], y[known])
        note += f", rank correlation {correlation:.2f} (Spearman)." if math.isfinite(correlation) else "."
        out.append(Section(title, figure=plots.calibration(found), note=f"{note} {found.note}".strip()))
    if not out and data.missing.get("calibrations") != "":
        why = "No network was measured beside its prediction in this run."
        out.append(Section("Predicted and measured", _absent(data, "calibrations", why)))
    return out


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where one side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def _reproduce(data: ReportData) -> Section:
    command = f"<pre>{escape(data.command)}</pre>" if data.command else _absent(data, "command", "No command is known.")
    rows = [("space", data.space)] if data.space else []
    if data.space_size is not None:
        rows.append(("size of the space", f"{big_integer(data.space_size)} networks"))
    rows += [(str(k), str(v)) for k, v in data.settings.items()]
    if data.versions:
        rows.append(("versions", ", ".join(f"{k} {v}" for k, v in data.versions.items())))
    cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows)
    settings = f'<table class="settings"><tbody>{cells}</tbody></table>' if cells else ""
    return Section("Settings, and how to run it again", command + settings)
