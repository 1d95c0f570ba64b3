"""How much a run may spend: trials, wall seconds, simulated seconds, whichever ends first."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from archwright.errors import ConfigurationError

_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}
_SECONDS |= {"d": 86400.0, "days": 86400.0, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True)
class Budget:
    """Limits of a whole run; resumed parts count together.

    trials: how many candidates are evaluated, failed and repeated ones included.
    seconds: wall time; a trial that has started is finished.
    simulated_seconds: sum of what trials would have cost, on the simulated clock.

    Raises:
        ConfigurationError: if no limit is given, or one is not a positive number.
    """

    trials: int | None = None
    seconds: float | None = None
    simulated_seconds: float | None = None

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if v is not None}
        if not given:
            raise ConfigurationError("a budget needs trials, seconds or simulated_seconds, got none of them")
        for name, value in given.items():
            if not value > 0 or math.isinf(value) or (name == "trials" and value != int(value)):
                kind = "whole number above 0" if name == "trials" else "finite number above 0"
                raise ConfigurationError(f"a budget's {name} is a {kind}, got {value!r}")

    @staticmethod
    def parse(text: str) -> Budget:
        """Read `200 trials`, `90s`, `2m`, `1h`, `3h simulated`, or several joined by commas.

        Raises:
            ConfigurationError: if the text says something else.
        """
        found: dict[str, float] = {}
        for part in text.split(","):
            match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([a-z]+)(\s+simulated)?\s*", part.lower())
            unit = match[2] if match else ""
            if match is None or (unit not in ("trials", "trial") and unit not in _SECONDS):
                raise ConfigurationError(
                    f"a budget reads like '200 trials', '90s', '2m', '1h' or '3h simulated', got {text!r}"
                )
            if unit in _SECONDS:
                found["simulated_seconds" if match[3] else "seconds"] = float(match[1]) * _SECONDS[unit]
            else:
                found["trials"] = float(match[1])
        trials = found.pop("trials", None)
        if trials is not None and trials != int(trials):
            raise ConfigurationError(f"a budget's trials are a whole number, got {text!r}")
        return Budget(None if trials is None else int(trials), found.get("seconds"), found.get("simulated_seconds"))

    def __str__(self) -> str:
        parts = [f"{self.trials} trials"] if self.trials is not None else []
        parts += [f"{self.seconds:g}s"] if self.seconds is not None else []
        parts += [f"{self.simulated_seconds:g}s simulated"] if self.simulated_seconds is not None else []
        return ", ".join(parts)
