"""A page about one network on one platform or several: totals, rooflines, and the cost of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from archwright.report import hardware
from archwright.report.data import Section
from archwright.report.hardware import Roof
from archwright.report.html import sections_page, table
from archwright.report.words import label, split_metric, with_unit


@dataclass(frozen=True)
class Costed:
    """A network on a platform.

    Attributes:
        platform: name.
        summary: lines that say what it costs in all.
        layers: names, in order.
        columns: metric -> one value a layer; NaN = the platform cannot give it.
        bounds: what limits each layer, where the model says so.
        about: what the sum of the layers is, if it is not one pass.
        ops: operations of each layer, two a multiply-accumulate.
        moved_b: bytes of each layer, inputs, weights and outputs once each.
        peak: operations and bytes a second, or None.
    """

    platform: str
    summary: Sequence[str]
    layers: Sequence[str]
    columns: Mapping[str, Sequence[float]]
    ops: Sequence[float]
    moved_b: Sequence[float]
    peak: tuple[float, float] | None = None
    bounds: Sequence[str] = field(default=())
    about: str = ""

    def lines(self) -> list[str]:
        """One line a layer."""
        out = []
        for i, name in enumerate(self.layers):
            numbers = "  ".join(f"{m} {v[i]:.4g}" for m, v in self.columns.items())
            out.append(f"{name:<44} {numbers}" + (f"  {self.bounds[i]} bound" if self.bounds else ""))
        return out

    def roof(self) -> Roof | None:
        """The layers under the platform's roof; None where it has none or no times."""
        times = self.columns.get("latency_ms")
        if self.peak is None or times is None or not np.isfinite(times).any():
            return None
        seconds = [1e-3 * t for t in times]
        return Roof(self.platform, *self.peak, self.layers, self.ops, self.moved_b, seconds)


def cost_page(net: str, costed: Sequence[Costed], *, about: str = "") -> str:
    """The page as text.

    Args:
        net: what was costed, as the user named it.
        costed: on each platform.
        about: what the layers belong to, one sentence.
    """
    sections = [_totals(costed)]
    roofs = [roof for c in costed if (roof := c.roof()) is not None]
    figure = hardware.roofline(roofs)
    if figure is not None:
        missing = [c.platform for c in costed if c.roof() is None]
        note = (
            "Each circle is a layer that does products, its area the share of the network's time; lines are what the "
            "device allows. Layers under the slope wait for memory, layers far below their roof waste the device."
        )
        if missing:
            note += f" Without a peak rate or times: {', '.join(missing)}."
        sections.append(Section("Roofline", figure=figure, note=note))
    sections += [section for c in costed for section in _bars(c)]
    return sections_page(f"{net} on {', '.join(c.platform for c in costed)}", _verdict(net, costed, about), sections)


def _total(c: Costed, metric: str) -> float:
    values = np.asarray(c.columns.get(metric, [np.nan]), dtype=np.float64)
    return float(values.sum())


def _verdict(net: str, costed: Sequence[Costed], about: str) -> str:
    known = [(t, c.platform) for c in costed if np.isfinite(t := _total(c, "latency_ms"))]
    if not known:
        return f"No platform gives a latency of {net}. {about}".strip()
    least, platform = min(known)
    words = f"{with_unit('latency_ms', float(f'{least:.4g}'))} on {platform}"
    return (f"The quickest is {words}. {about}" if len(costed) > 1 else f"It takes {words}. {about}").strip()


def _totals(costed: Sequence[Costed]) -> Section:
    metrics = list(dict.fromkeys(m for c in costed for m in c.columns))
    rows = [
        [*(with_unit(m, float(f"{_total(c, m):.4g}")) for m in metrics), c.platform, "; ".join(c.summary)]
        for c in costed
    ]
    header = [*(split_metric(m)[0] for m in metrics), "platform", "all of it"]
    note = "Sums over all layers; a dash is what the platform's description cannot give."
    return Section("Totals", table(header, rows, numeric=len(metrics)), note=note)


def _bars(c: Costed) -> list[Section]:
    out = []
    for metric, values in c.columns.items():
        if not np.isfinite(values).any() or np.nansum(values) <= 0:
            continue
        unit, shown = metric, [float(v) for v in values]
        if metric.endswith("_ms") and np.nanmax(shown) < 0.1:
            unit, shown = f"{metric.removesuffix('_ms')}_us", [1000 * v for v in shown]
        figure = hardware.layer_bars(c.layers, shown, unit)
        out.append(
            Section(f"{split_metric(unit)[0].capitalize()} by layer on {c.platform}", figure=figure, note=_note(unit))
        )
    return out


def _note(metric: str) -> str:
    return f"{label(metric)[:1].upper() + label(metric)[1:]} of each layer, in the order of the network."
