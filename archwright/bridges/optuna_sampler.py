"""Any strategy as an Optuna sampler: `optuna.create_study(sampler=ArchwrightSampler("bayesian", distributions))`.

Categorical parameters become choices, integers and discrete floats ordered choices; a continuous float is cut into an
ordered grid, since archwright's codes are integers. All parameters of the objective must be declared, as for Optuna's
own `GridSampler`; what the objective asks for beyond them is drawn independently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archwright.errors import ConfigurationError, require
from archwright.registry import get
from archwright.search.problem import Objective, Problem
from archwright.search.trial import Candidate, Strategy
from archwright.search.trial import Trial as TrialRecord
from archwright.space import Space, oneof

require("optuna", extra="optuna", feature="archwright as an Optuna sampler")

import optuna  # noqa: E402
from optuna.distributions import (  # noqa: E402
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState  # noqa: E402

GRID = 33  # values of a continuous parameter
AT_MOST = 4096  # values of a discrete one
NUMBER = "archwright:number"


def options_of(name: str, distribution: BaseDistribution) -> tuple[Any, ...]:
    """The values that a parameter can take, in order.

    Raises:
        ConfigurationError: if the distribution is none of Optuna's three.
    """
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        count = (high - low) // step + 1
        if distribution.log or count > AT_MOST:
            raw = np.geomspace(low, high, min(count, GRID)) if distribution.log else np.linspace(low, high, AT_MOST)
            return tuple(sorted({low + round((v - low) / step) * step for v in raw.tolist()}))
        return tuple(range(low, high + 1, step))
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        if distribution.step is not None:
            count = math.floor((high - low) / distribution.step + 1e-9) + 1
            return tuple(low + i * distribution.step for i in range(count))
        return tuple((np.geomspace if distribution.log else np.linspace)(low, high, GRID).tolist())
    raise ConfigurationError(f"the distribution of {name!r} is {distribution!r}; expected a categorical, int or float")


def space_of(distributions: Mapping[str, BaseDistribution]) -> Space:
    """The space of a study: one named decision a parameter, its options numbered."""
    choices = {}
    for name, distribution in distributions.items():
        count = len(options_of(name, distribution))
        ordered = not isinstance(distribution, CategoricalDistribution)
        options: list[Any] = list(range(count)) if ordered else [f"option {k}" for k in range(count)]
        choices[name] = oneof(*options, name=name)
    return Space(choices)


class ArchwrightSampler(optuna.samplers.BaseSampler):
    """Lets a strategy of archwright choose the parameters of an Optuna study.

    Args:
        strategy: registered name.
        distributions: parameter -> distribution, all that the objective suggests.
        seed: of the strategy.
        options: further options of the strategy.
    """

    def __init__(
        self,
        strategy: str,
        distributions: Mapping[str, BaseDistribution],
        *,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.space = space_of(distributions)
        self._distributions = dict(distributions)
        self._values = [options_of(n, d) for n, d in distributions.items()]
        self._make = lambda problem: get("strategies", strategy)(problem, seed=seed, **dict(options or {}))
        self._strategy: Strategy | None = None
        self._problem: Problem | None = None
        self._open: dict[int, Candidate] = {}
        self._others = optuna.samplers.RandomSampler(seed=seed)

    def _started(self, study: optuna.Study) -> Strategy:
        if self._strategy is None:
            goals = [
                Objective(f"value{i}_score", "maximize" if d.name == "MAXIMIZE" else "minimize")
                for i, d in enumerate(study.directions)
            ]
            self._problem = Problem(self.space, tuple(goals))
            self._strategy = self._make(self._problem)
        return self._strategy

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All declared parameters."""
        return dict(self._distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the strategy; an exhausted one leaves the parameters to chance."""
        candidates = self._started(study).ask(1)
        if not candidates:
            return {}
        self._open[trial.number] = candidates[0]
        code = candidates[0].architecture.code.tolist()
        return {n: v[k] for n, v, k in zip(search_space, self._values, code, strict=True)}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that was not declared."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the strategy."""
        candidate = self._open.pop(trial.number, None)
        if candidate is None:
            return
        metrics = {} if values is None else {f"value{i}_score": float(v) for i, v in enumerate(values)}
        done = state == TrialState.COMPLETE and bool(metrics)
        record = TrialRecord(trial.number, candidate, "complete" if done else "failed", metrics)
        self._started(study).tell([record])
