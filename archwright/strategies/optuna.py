"""Optuna's samplers under archwright's engine; the bridge is `archwright.bridges.optuna_strategy`."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial


@register(
    "strategies",
    "optuna",
    labels={
        "family": "model",
        "objectives": "many",
        "constraints": True,
        "extra": "optuna",
        "paper": "Akiba et al. 2019, Optuna",
    },
)
class Optuna:
    """A sampler of Optuna by name.

    Args:
        problem: what is searched.
        seed: of the sampler.
        sampler: `tpe`, `tpe-multivariate`, `nsgaii`, `nsgaiii`, `random` or `qmc`.

    Raises:
        MissingPackageError: if Optuna is not installed.
        ConfigurationError: if the sampler is unknown.
    """

    batch = 1

    def __init__(self, problem: Problem, *, seed: int = 0, sampler: str = "tpe") -> None:
        from archwright.bridges.optuna_strategy import sampler_strategy

        self._strategy = sampler_strategy(sampler, problem, seed=seed)

    def ask(self, n: int) -> Sequence[Candidate]:
        """Ask the sampler."""
        return self._strategy.ask(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Tell the sampler."""
        self._strategy.tell(trials)
