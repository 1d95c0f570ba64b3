"""Metric names end in their unit; this file knows the units and converts between them.

`latency_ms`, `energy_mj`, `params_m` (millions), `accuracy_percent`. A metric without a known unit is rejected, so that
milliseconds are never compared with seconds.
"""

from __future__ import annotations

from archwright.errors import ConfigurationError, nearest

# suffix -> (quantity, factor to the quantity's base unit)
UNITS: dict[str, tuple[str, float]] = {
    "s": ("time", 1.0),
    "ms": ("time", 1e-3),
    "us": ("time", 1e-6),
    "ns": ("time", 1e-9),
    "h": ("time", 3600.0),
    "cycles": ("cycles", 1.0),
    "j": ("energy", 1.0),
    "mj": ("energy", 1e-3),
    "uj": ("energy", 1e-6),
    "nj": ("energy", 1e-9),
    "pj": ("energy", 1e-12),
    "kwh": ("energy", 3.6e6),
    "wh": ("energy", 3600.0),
    "w": ("power", 1.0),
    "mw": ("power", 1e-3),
    "mm2": ("area", 1.0),
    "um2": ("area", 1e-6),
    "b": ("bytes", 1.0),
    "kb": ("bytes", 1e3),
    "mb": ("bytes", 1e6),
    "gb": ("bytes", 1e9),
    "count": ("count", 1.0),
    "k": ("count", 1e3),
    "m": ("count", 1e6),
    "g": ("count", 1e9),
    "bits": ("bits", 1.0),
    "gbops": ("bit operations", 1e9),
    "percent": ("share", 1e-2),
    "share": ("share", 1.0),
    "score": ("score", 1.0),
    "loss": ("loss", 1.0),
    "nats": ("loss", 1.0),
    "db": ("decibel", 1.0),
    "perplexity": ("perplexity", 1.0),
    "rmse": ("target units", 1.0),
    "mae": ("target units", 1.0),
    "mse": ("squared target units", 1.0),
    "r2": ("r2", 1.0),
    "per_s": ("rate", 1.0),
    "spearman": ("correlation", 1.0),
    "kendall": ("correlation", 1.0),
}


def unit_of(metric: str) -> str:
    """The unit at the end of a metric's name.

    Raises:
        ConfigurationError: if the name does not end in a known unit.
    """
    parts = metric.split("_")
    for start in range(len(parts)):
        suffix = "_".join(parts[start:])
        if suffix in UNITS:
            return suffix
    raise ConfigurationError(
        f"the metric {metric!r} must end in a unit, such as {metric}_ms or {metric}_percent; "
        f"its last part {parts[-1]!r} is not one: {nearest(parts[-1], UNITS)}"
    )


def stem_of(metric: str) -> str:
    """The metric's name without its unit: `latency` for `latency_ms`."""
    return metric[: -len(unit_of(metric))].rstrip("_")


def convert(value: float, metric: str, to: str) -> float:
    """Convert a value from the unit of one metric name to the unit of another.

    >>> convert(1500.0, "latency_us", "latency_ms")
    1.5

    Raises:
        ConfigurationError: if a unit is unknown or the two measure different quantities.
    """
    (quantity, factor), (other, divisor) = UNITS[unit_of(metric)], UNITS[unit_of(to)]
    if quantity != other:
        raise ConfigurationError(
            f"{metric!r} measures {quantity} and {to!r} measures {other}; they cannot be converted"
        )
    return value if factor == divisor else value * factor / divisor
