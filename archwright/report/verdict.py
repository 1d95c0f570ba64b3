"""The head of a report: the result in one sentence, and the key numbers."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from archwright.report.data import ReportData, breaks
from archwright.report.words import big_integer, duration, short_number, split_metric, with_unit


def _value(data: ReportData, metric: str) -> tuple[float, str] | None:
    """The best known value of the chosen network and how it is known."""
    if metric in data.measured:
        return float(data.measured[metric]), "measured"
    if metric in data.predicted:
        return float(data.predicted[metric]), "predicted"
    if data.chosen is not None and metric in data.columns:
        value = float(data.columns[metric][data.chosen])
        if math.isfinite(value):
            return value, "in the search"
    return None


def _broken(data: ReportData) -> list[str]:
    """Limits that the chosen network breaks, in words."""
    out = []
    for o in data.limits:
        found = _value(data, o.metric)
        if found and breaks(o, np.array([found[0]]))[0]:
            bound = o.at_most if o.at_most is not None and found[0] > o.at_most else o.at_least
            out.append(
                f"{split_metric(o.metric)[0]} is {with_unit(o.metric, found[0])}, "
                f"the limit {with_unit(o.metric, bound or 0.0)}"
            )
    return out


def verdict(data: ReportData) -> str:
    """The result in one sentence."""
    if data.chosen is None and not data.measured:
        return f"No network was chosen: {data.missing.get('chosen', 'no trial is complete')}."
    shown = dict.fromkeys([*(o.metric for o in data.objectives), "params_m"])
    words = []
    for metric in shown:
        found = _value(data, metric)
        if found is None:
            continue
        name, text = split_metric(metric)[0], with_unit(metric, found[0])
        other = data.predicted.get(metric)
        told = found[1] == "measured" and other is not None and with_unit(metric, other) != text
        both = f" (predicted {with_unit(metric, other or 0.0)})" if told else ""
        words.append(
            f"{text} {name}{both}" if metric != "params_m" else f"{short_number(found[0] * 1e6)} parameters{both}"
        )
    joined = ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)
    broken = _broken(data)
    if broken:
        end = f"; it breaks a limit: {'; '.join(broken)}"
    elif not data.limits:
        end = ""
    else:
        end = "; it is within the limit" if len(data.limits) == 1 else "; it is within all limits"
    return f"The best network has {joined}{end}."


def head(data: ReportData) -> str:
    """The title, the verdict, and the key numbers in tiles, as HTML."""
    tiles = []
    for o in dict.fromkeys(o.metric for o in data.objectives):
        found = _value(data, o)
        if found is None:
            continue
        other = data.predicted.get(o) if found[1] == "measured" else None
        other = None if other is not None and with_unit(o, other) == with_unit(o, found[0]) else other
        how = f"{found[1]}; predicted {with_unit(o, other)}" if other is not None else found[1]
        tiles.append((with_unit(o, found[0]), f"{split_metric(o)[0]}, {how}", ""))
    params = _value(data, "params_m")
    if data.description is not None and "params_m" not in {o.metric for o in data.objectives}:
        tiles.append((short_number(data.description.params), "parameters", ""))
    elif params and "params_m" not in {o.metric for o in data.objectives}:
        tiles.append((short_number(params[0] * 1e6), "parameters", ""))
    if data.description is not None and "macs_m" not in {o.metric for o in data.objectives}:
        tiles.append((short_number(data.description.macs), "MACs per sample", ""))
    if data.limits and (data.chosen is not None or data.measured):
        limits = ", ".join(
            f"{split_metric(o.metric)[0]} {sign} {with_unit(o.metric, b)}"
            for o in data.limits
            for sign, b in (("≤", o.at_most), ("≥", o.at_least))
            if b is not None
        )
        broken = _broken(data)
        tiles.append(("over the limit" if broken else "feasible", limits, "bad" if broken else "ok"))
    if data.states:
        size = f" of {big_integer(data.space_size)} networks" if data.space_size else ""
        tiles.append((f"{len(data.states):,}", f"trials{size}", ""))
    if data.seconds is not None:
        tiles.append((duration(data.seconds), "for the whole run", ""))
    boxes = "".join(
        f'<div class="tile"><b class="{c}">{escape(a)}</b><span>{escape(b)}</span></div>' for a, b, c in tiles
    )
    return (
        f'<header><h1>{escape(data.title)}</h1><p class="verdict">{escape(verdict(data))}</p>'
        f'<div class="tiles">{boxes}</div></header>'
    )
