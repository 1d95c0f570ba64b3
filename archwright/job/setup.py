"""From a configuration to objects: the task, the space, the goals; every fault is found before work starts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright import registry
from archwright.costs.counts import Counts
from archwright.errors import ConfigurationError, SpaceError, nearest
from archwright.job.config import RunConfig
from archwright.job.spaces import check_fit, space_for
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.space import Space
from archwright.tasks import load
from archwright.tasks.base import Task
from archwright.units import convert, stem_of

LATENCY = ("latency_ms",)


@dataclass(frozen=True)
class Setup:
    """What a job is about.

    `objectives` are in the units of the evaluators; `latency` says whether latency matters; `faulty` says why some
    networks of the space cannot be built (empty: none was found): their trials fail, and no supernet can hold them.
    """

    config: RunConfig
    task: Task
    space: Space
    objectives: tuple[Objective, ...]
    budget: Budget
    counts: Counts
    faulty: str = ""

    @property
    def latency(self) -> bool:
        """Whether some goal or limit is on latency."""
        return any(o.metric in LATENCY for o in self.objectives)

    @property
    def differentiable(self) -> bool:
        """Whether the strategy is a recipe of differentiable or one-shot search."""
        return self.config.strategy in registry.names("recipes")

    def problem(self, *evaluators: Any) -> Problem:
        """The problem over these evaluators and the counts."""
        return Problem(self.space, self.objectives, (self.counts, *evaluators))


def prepare(config: RunConfig, *, task: Any = None, space: Space | None = None) -> Setup:
    """Load the data and the space, and check that the goals can be measured and the limits met.

    Args:
        config: checked keys.
        task: in place of `config.data`.
        space: in place of `config.space`.

    Raises:
        ConfigurationError: if a metric is unknown, a limit cannot be met, or the data cannot be read.
        SpaceError: if the space does not fit the data.
    """
    options = dict(config.data_options) | ({} if config.target is None else {"target": config.target})
    loaded: Task = load(config.data if task is None else task, **options)
    found = space_for(config.space if space is None else space, loaded)
    if isinstance(found.tree, Mapping) and "recipe" in found.tree:
        raise SpaceError(
            "a job trains all networks by one recipe, so its space holds no `recipe`; search recipes in Python with "
            "TrainEvaluator, or leave it out of the space"
        )
    faulty = check_fit(found, loaded.input_shape, loaded.output_shape)
    if faulty and (config.evaluation == "supernet" or config.latency == "table"):
        raise SpaceError(f"a supernet or a latency table needs a space whose networks can all be built: {faulty}")
    counts = Counts(found, loaded.input_shape)
    known = (*loaded.metrics, *LATENCY, *counts.metrics)
    wanted = config.objectives((loaded.metric, loaded.maximize))
    objectives = tuple(_known(o, known, loaded) for o in wanted)
    if not any(o.goal != "limit" and o.metric in loaded.metrics for o in objectives):
        raise ConfigurationError(
            f"a run needs a goal that the data decide: one of {', '.join(loaded.metrics)} to maximize or minimize"
        )
    if not faulty:
        _check_limits(objectives, counts)
    _check_strategy(config)
    setup = Setup(config, loaded, found, objectives, Budget.parse(config.budget), counts, faulty)
    if setup.differentiable:
        _check_recipe(setup)
    return setup


def _known(objective: Objective, known: tuple[str, ...], task: Task) -> Objective:
    """The objective in the evaluators' own unit."""
    if objective.metric in known:
        return objective
    for metric in known:
        if stem_of(metric) == stem_of(objective.metric):
            bounds = [
                None if b is None else convert(b, objective.metric, metric)
                for b in (objective.at_most, objective.at_least)
            ]
            return Objective(metric, objective.goal, *bounds)
    raise ConfigurationError(
        f"no evaluator of this run measures {objective.metric!r}; {nearest(objective.metric, known)} "
        f"(a {task.kind} task: {', '.join(known)})"
    )


def _check_limits(objectives: tuple[Objective, ...], counts: Counts) -> None:
    """Refuse bounds on counts that no network of the space can meet."""
    if not any(o.metric in counts.metrics for o in objectives):
        return
    bounds = counts.bounds()
    for o in objectives:
        if o.metric not in bounds:
            continue
        low, high = bounds[o.metric]
        if o.at_most is not None and o.at_most < low and o.at_most < (low := _extreme(counts, o.metric, 1.0)):
            raise ConfigurationError(
                f"no network of this space has {o.metric} <= {o.at_most:g}: the smallest has {low:g}; "
                "raise the limit or choose a smaller space"
            )
        if o.at_least is not None and o.at_least > high and o.at_least > (high := -_extreme(counts, o.metric, -1.0)):
            raise ConfigurationError(
                f"no network of this space has {o.metric} >= {o.at_least:g}: the largest has {high:g}; lower the limit"
            )


def _extreme(counts: Counts, metric: str, sign: float) -> float:
    """The least `sign` times a count: of samples and the two ends, then downhill over neighbours."""
    space = counts.space
    archs = space.sample(512, np.random.default_rng(1)) + space.architectures(
        np.stack([space.smallest().code, space.largest().code])
    )
    best = np.inf
    while len(archs):
        values = sign * counts.evaluate(archs)[metric]
        if not values.min() < best:
            break
        best = float(values.min())
        archs = space.neighbours(archs[int(values.argmin())])
    return best


def _check_recipe(setup: Setup) -> None:
    """Refuse what a search by gradients cannot do."""
    from archwright.job.gradient import method_of

    name = setup.config.strategy
    if setup.faulty:
        raise SpaceError(f"the recipe {name!r} trains all networks of a space at once: {setup.faulty}")
    if not setup.space.decisions:
        raise SpaceError(f"the recipe {name!r} needs a space with decisions, this one has a single network")
    if setup.latency and setup.config.latency == "measured":
        raise ConfigurationError(
            f"the recipe {name!r} needs latency as a sum over operators: latency must be 'auto' or 'table'"
        )
    method_of(setup, (setup.counts,))


def _check_strategy(config: RunConfig) -> None:
    names = ("auto", *registry.names("strategies"), *registry.names("recipes"))
    if config.strategy not in names:
        raise ConfigurationError(f"unknown strategy {config.strategy!r}; {nearest(config.strategy, names)}")
    if config.strategy in registry.names("recipes"):
        return  # its options are those of a method, which is made below
    if config.strategy_options and config.strategy == "auto":
        raise ConfigurationError("strategy_options belong to a strategy given by name, and the strategy is 'auto'")
    if config.strategy_options:
        taken = inspect.signature(registry.get("strategies", config.strategy)).parameters.values()
        known = [p.name for p in taken if p.kind is p.KEYWORD_ONLY and p.name != "seed"]
        for option in config.strategy_options:
            if option not in known:
                raise ConfigurationError(
                    f"the strategy {config.strategy!r} takes no option {option!r}; {nearest(option, known)}"
                )
