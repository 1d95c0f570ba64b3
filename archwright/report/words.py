"""Metric names, numbers and times as people read them."""

from __future__ import annotations

import math

from archwright.errors import ConfigurationError
from archwright.units import stem_of, unit_of

_UNITS = {
    "percent": "%", "us": "µs", "j": "J", "mj": "mJ", "uj": "µJ", "nj": "nJ", "pj": "pJ", "kwh": "kWh", "wh": "Wh",
    "w": "W", "mw": "mW", "mm2": "mm²", "um2": "µm²", "b": "B", "kb": "kB", "mb": "MB", "gb": "GB", "count": "",
    "k": "thousand", "m": "million", "g": "billion", "gbops": "billion bit operations", "share": "", "score": "",
    "loss": "", "db": "dB", "perplexity": "", "rmse": "", "mae": "", "mse": "", "r2": "", "per_s": "1/s",
    "spearman": "", "kendall": "",
}  # fmt: skip
_SIZES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_UPPER = {
    "macs": "MACs", "params": "parameters", "flops": "FLOPs", "r2": "R²", "rmse": "RMSE", "mae": "MAE", "mse": "MSE",
}  # fmt: skip


def split_metric(metric: str) -> tuple[str, str]:
    """A metric's plain name and the symbol of its unit: `latency_ms` gives ("latency", "ms")."""
    try:
        unit = unit_of(metric)
    except ConfigurationError:
        return metric.replace("_", " "), ""
    words = (stem_of(metric) or unit).split("_")
    return " ".join(_UPPER.get(word, word) for word in words), _UNITS.get(unit, unit)


def label(metric: str) -> str:
    """A metric as an axis title: `accuracy (%)`."""
    name, unit = split_metric(metric)
    return f"{name} ({unit})" if unit else name


def number(value: float) -> str:
    """A number with four significant digits, without needless zeros; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
        text = f"{value:,.{min(digits, 6)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def short_number(value: float) -> str:
    """A count with at most three digits and a letter: 950, 12.3k, 4.56M, 7.89G."""
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def with_unit(metric: str, value: float) -> str:
    """A value with its unit: `0.283 ms`, `97.2 %`; counts in short, 0.081 million as `81k`."""
    unit = split_metric(metric)[1]
    if unit in _SIZES and math.isfinite(value):
        return short_number(value * _SIZES[unit])
    return f"{number(value)} {unit}" if unit and math.isfinite(value) else number(value)


def duration(seconds: float) -> str:
    """A time in the two largest units: `2 min 31 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def big_integer(value: int) -> str:
    """An exact count; from ten million on as a power of ten."""
    if value < 10_000_000:
        return f"{value:,}"
    exponent = len(str(value)) - 1
    power = str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value * 100 // 10**exponent / 100:.2f} × 10{power}"
