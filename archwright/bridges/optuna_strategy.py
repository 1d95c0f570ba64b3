"""Any Optuna sampler as a strategy.

Every decision becomes a parameter named by its path: a categorical over option numbers, or an integer for an ordered
decision. Inactive decisions are not suggested. A suggestion outside the constraints of the space is replaced by the
nearest member, and the sampler learns the value of that. Akiba et al., "Optuna" (2019).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import ConfigurationError, nearest, require
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architecture, Architectures

if TYPE_CHECKING:
    import optuna

SAMPLERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "tpe": ("TPESampler", {}),
    "tpe-multivariate": ("TPESampler", {"multivariate": True}),
    "nsgaii": ("NSGAIISampler", {}),
    "nsgaiii": ("NSGAIIISampler", {}),
    "random": ("RandomSampler", {}),
    "qmc": ("QMCSampler", {}),
}


class OptunaStrategy:
    """Drives an in-memory Optuna study by ask and tell.

    Args:
        problem: what is searched.
        sampler: any Optuna sampler; it must be seeded for a run to be resumable.

    Raises:
        MissingPackageError: if Optuna is not installed.
    """

    batch = 1

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler) -> None:
        require("optuna", extra="optuna", feature="Optuna's samplers")
        import optuna

        self._problem, self._space = problem, problem.space
        directions = ["minimize"] * len(problem.goals)
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # "a new study was created" is no news here
        try:
            self.study = optuna.create_study(directions=directions, sampler=sampler)
        finally:
            optuna.logging.set_verbosity(level)
        self._open: dict[bytes, list[optuna.trial.Trial]] = {}

    def ask(self, n: int) -> Sequence[Candidate]:
        """Exactly n suggestions; repetitions are the sampler's business."""
        out = []
        for _ in range(n):
            trial = self.study.ask()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a multivariate sampler says so when it falls back
                code = self._member(self._suggest(trial))
            self._open.setdefault(code.tobytes(), []).append(trial)
            out.append(Candidate(Architecture(self._space, code)))
        return out

    def _suggest(self, trial: optuna.trial.Trial) -> np.ndarray:
        """(D,) code; a decision is suggested if those before it make it active."""
        code = np.zeros(len(self._space.decisions), np.int16)
        for d in self._space.decisions:
            if not self._space.activity.always[d.index]:
                columns = code[:, None].copy()
                self._space.activity.mask(columns)
                if columns[d.index, 0] < 0:
                    code[d.index] = 0
                    continue
            name = d.label
            if d.ordered and d.size > 1:
                code[d.index] = trial.suggest_int(name, 0, d.size - 1)
            else:
                code[d.index] = trial.suggest_categorical(name, range(d.size))
        return code

    def _member(self, code: np.ndarray) -> np.ndarray:
        codes = self._space.canonical(code[None])
        if not self._space.is_member(codes)[0]:
            codes = self._space.nearest(codes).codes
        return Architectures(self._space, codes).codes[0]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Report losses (maximized metrics with their sign changed); broken limits go to `constraints`."""
        import optuna

        losses = self._problem.losses(trials)
        violation = self._problem.violation(trials)
        for k, trial in enumerate(trials):
            waiting = self._open.get(trial.candidate.architecture.key)
            if not waiting:
                continue
            asked = waiting.pop(0)
            if trial.state == "failed" or np.isnan(losses[k]).any():
                self.study.tell(asked, state=optuna.trial.TrialState.FAIL)
                continue
            asked.set_user_attr(VIOLATION, float(violation[k]))
            self.study.tell(asked, losses[k].tolist())


VIOLATION = "violation"


def violation_of(trial: optuna.trial.FrozenTrial) -> tuple[float, ...]:
    """What samplers with `constraints_func` read: positive where a limit is broken."""
    return (float(trial.user_attrs.get(VIOLATION, 0.0)),)


def sampler_strategy(
    name: str, problem: Problem, *, seed: int = 0, options: Mapping[str, Any] | None = None
) -> OptunaStrategy:
    """A strategy from one of Optuna's samplers by a short name.

    Args:
        name: a key of `SAMPLERS`.
        problem: what is searched.
        seed: of the sampler.
        options: further arguments of the sampler's class, `{"population_size": 20}`.

    Raises:
        ConfigurationError: if the name is unknown.
        MissingPackageError: if Optuna is not installed.
    """
    require("optuna", extra="optuna", feature="Optuna's samplers")
    import optuna

    if name not in SAMPLERS:
        raise ConfigurationError(f"unknown sampler {name!r} of Optuna; {nearest(name, SAMPLERS)}")
    cls, preset = SAMPLERS[name]
    make: Callable[..., Any] = getattr(optuna.samplers, cls)
    arguments: dict[str, Any] = {"seed": seed, **preset, **(options or {})}
    if problem.limits and name not in ("random", "qmc"):
        arguments["constraints_func"] = violation_of
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental options announce themselves
        return OptunaStrategy(problem, make(**arguments))
