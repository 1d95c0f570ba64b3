"""Gaussian processes of a problem's losses and limits, and what they say a candidate is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from archwright.predictors.encoding import Encoded, Encoder
from archwright.predictors.gp import GaussianProcess
from archwright.search.pareto import deb_ranks
from archwright.search.problem import Objective, Problem
from archwright.search.trial import Trial
from archwright.space.architecture import Architectures
from archwright.strategies.acquisition import (
    Plain,
    Scale,
    expected_hypervolume_improvement,
    expected_improvement,
    log_gap,
    log_gap_of,
    tchebycheff,
)
from archwright.strategies.free_columns import FreeColumns
from archwright.strategies.pool import Candidates, Pool

SCORED = 2000  # candidates of an ask that get a standard deviation
KNOWN = 1e-6  # standard deviation of what a cheap evaluator says
REFERENCE = 1.1  # of the hypervolume, where 0 and 1 are the best and the worst value so far


class Surrogate:
    """Models of every goal and of every limit that no cheap evaluator knows.

    Args:
        problem: what is searched.
        pool: encodes its architectures.
        encoder: of its space.
        free: its cheap columns; goals among them are read, not predicted.
        labels: trials to learn from at most.
    """

    def __init__(self, problem: Problem, pool: Pool, encoder: Encoder, free: FreeColumns, labels: int) -> None:
        self.problem, self.space = problem, problem.space
        self._pool, self._free, self._labels = pool, free, labels
        cheap = {m for e in problem.evaluators if getattr(e, "cheap", False) for m in e.metrics}
        self._known = np.array([g.metric in cheap for g in problem.goals])
        self._limits = tuple(o for o in problem.limits if o.metric not in cheap)
        count = len(problem.goals) + len(self._limits)
        self._models = [GaussianProcess(self.space, encoder=encoder) for _ in range(count)]
        self.codes = np.zeros((0, len(self.space.decisions)), np.int16)
        self.encoded = pool.encode(self.codes)
        self._losses = np.zeros((0, len(problem.goals)))
        self._limited = np.zeros((0, len(self._limits)))
        self._violation = np.zeros(0)
        self._failed = np.zeros(0, bool)
        self._fitted_at = 0
        self._scales: list[Scale] = [Plain()] * len(problem.goals)

    def add(self, trials: Sequence[Trial]) -> None:
        """Keep codes, losses and the limited metrics."""
        if not trials:
            return
        codes = np.stack([t.candidate.architecture.code for t in trials])
        self.codes, self.encoded = np.concatenate([self.codes, codes]), self.encoded + self._pool.encode(codes)
        self._losses = np.concatenate([self._losses, self.problem.losses(trials)])
        limited = [[t.metrics.get(o.metric, np.nan) for o in self._limits] for t in trials]
        self._limited = np.concatenate([self._limited, np.array(limited).reshape(len(trials), -1)])
        failed = np.array([t.state == "failed" for t in trials])
        self._violation = np.concatenate([self._violation, np.where(failed, np.inf, self.problem.violation(trials))])
        self._failed = np.concatenate([self._failed, failed | ~self._complete(trials)])

    def _complete(self, trials: Sequence[Trial]) -> np.ndarray:
        """(n,) whether every goal of a trial that was not ended by a limit has a number."""
        finite = np.isfinite(self._losses[-len(trials) :]).all(axis=1)
        return finite | np.array([t.state == "infeasible" for t in trials])

    @property
    def ready(self) -> bool:
        """Whether there are two trials to learn from."""
        return int(np.isfinite(self._losses).all(axis=1).sum()) >= 2

    def best(self, n: int) -> np.ndarray:
        """(at most n, D) codes of the best trials, best first."""
        losses = np.where(np.isfinite(self._losses), self._losses, np.inf)
        ranks = deb_ranks(losses, self._violation) if losses.shape[1] > 1 else losses[:, 0]
        return self.codes[np.lexsort((ranks, self._violation))[:n]]

    # learning

    def _rows(self) -> np.ndarray:
        """Trials to learn from: the best half and the latest."""
        known = np.flatnonzero(
            np.isfinite(self._losses).all(axis=1) | np.isfinite(self._limited).any(axis=1) | self._failed
        )
        if len(known) <= self._labels:
            return known
        place = np.argsort(np.argsort(self._losses[known], axis=0), axis=0).min(axis=1)
        best = known[np.argsort(place, kind="stable")[: self._labels // 2]]
        rest = np.setdiff1d(known, best)
        return np.sort(np.concatenate([best, rest[len(best) - self._labels :]]))

    def fit(self, waiting: np.ndarray, *, believe_only: bool = False) -> None:
        """Fit all models; hyperparameters are searched again whenever the labels have grown by a tenth.

        Args:
            waiting: (k, D) codes without a result yet; they are believed to give what is predicted without them.
            believe_only: the trials are the same as at the last call.
        """
        if not believe_only:
            self._fit_trials()
        if not len(waiting):
            return
        more = self._pool.encode(waiting)
        both = self._data + more
        for model, values in zip(self._models, self._targets.T, strict=True):
            known = np.flatnonzero(np.isfinite(values))
            rows = np.concatenate([known, len(values) + np.arange(len(waiting))])
            model.fit_encoded(both[rows], np.concatenate([values[known], model.mean_encoded(more)]), model.hyper)

    def _fit_trials(self) -> None:
        anew = self._models[0].hyper is None or len(self.codes) >= 1.1 * self._fitted_at
        rows = self._rows()
        self._data = self.encoded[rows]
        losses = self._losses[rows]
        self._low, self._span = _range(losses)
        scaled = (losses - self._low) / self._span
        if losses.shape[1] == 1:
            known = np.isfinite(losses[:, 0])
            scaled[known, 0] = log_gap(losses[known, 0])
        feasible = (self._violation[rows] == 0) & np.isfinite(scaled).all(axis=1)
        self._reached = scaled[feasible]
        worst = np.where(feasible[:, None] & np.isfinite(scaled), scaled, -np.inf).max(axis=0, initial=-np.inf)
        lost = self._failed[rows, None] & ~np.isfinite(scaled) & np.isfinite(worst)
        scaled = np.where(lost, worst, scaled)  # as bad as the worst, so that others like it are left alone
        self._targets = np.concatenate([scaled, self._limited[rows]], axis=1)
        for j, model in enumerate(self._models):
            known = np.isfinite(self._targets[:, j])
            data, values = self._data[known], self._targets[known, j]
            if scaled.shape[1] == 2 and j < 2 and not self._known[j]:
                self._scales[j] = self._best_scale(model, data, values, self._scales[j], anew)
                self._targets[known, j] = self._scales[j](values)
            else:
                model.fit_encoded(data, values, None if anew else model.hyper)
        if anew:
            self._fitted_at = len(self.codes)

    def _best_scale(
        self, model: GaussianProcess, data: Encoded, values: np.ndarray, before: Scale, anew: bool
    ) -> Scale:
        """Fit on the scale under which the losses are likelier (Snelson et al., 2004, "Warped Gaussian processes").

        Between searches for hyperparameters the kind of scale is kept.
        """
        scales: list[Scale] = [Plain(), log_gap_of(values)]
        if not anew:
            scales = [s for s in scales if type(s) is type(before)]
        fits = []
        for scale in scales:
            model.fit_encoded(data, scale(values), None if anew else model.hyper)
            fits.append((model.evidence + scale.log_slope(values), model.hyper))
        best = int(np.argmax([evidence for evidence, _ in fits]))
        if best != len(fits) - 1:
            model.fit_encoded(data, scales[best](values), fits[best][1])
        return scales[best]

    # what a candidate is worth

    def rank(self, candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
        """Rows of the most promising candidates, best first; ties are broken by chance."""
        rows = self._shortlist(candidates.encoded, rng)
        worth = self._worth(candidates[rows], rng)
        return rows[np.lexsort((rng.random(len(rows)), -worth))[:512]]

    def _shortlist(self, candidates: Encoded, rng: np.random.Generator) -> np.ndarray:
        """Rows that get a standard deviation: the best by predicted mean in several directions, and some by chance."""
        if len(candidates) <= SCORED:
            return np.arange(len(candidates))
        goals = len(self.problem.goals)
        predicted = zip(self._scales, self._models[:goals], strict=True)
        means = np.stack([scale.back(model.mean_encoded(candidates)) for scale, model in predicted], axis=1)
        directions = np.ones((1, 1)) if goals == 1 else rng.dirichlet(np.ones(goals), 8)
        share = SCORED * 3 // 4 // len(directions)
        rows = [np.argpartition(tchebycheff(means, w), share)[:share] for w in directions]
        return np.unique(np.concatenate([*rows, rng.choice(len(candidates), SCORED // 4, replace=False)]))

    def _worth(self, candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
        """(n,) expected improvement times the probability to keep the limits."""
        goals = len(self.problem.goals)
        predicted = [model.predict_encoded(candidates.encoded) for model in self._models]
        mean = np.stack([m for m, _ in predicted[:goals]], axis=1)
        std = np.stack([s for _, s in predicted[:goals]], axis=1)
        self._read_known(candidates, mean, std)
        feasible = np.ones(len(candidates))
        for limit, (m, s) in zip(self._limits, predicted[goals:], strict=True):
            feasible *= _probability(limit, m, s)
        if not len(self._reached):
            return feasible
        if goals == 1:
            return feasible * expected_improvement(mean[:, 0], std[:, 0], float(self._reached.min()))
        if goals == 2:
            reference = np.full(2, REFERENCE)
            return feasible * expected_hypervolume_improvement(mean, std, self._reached, reference, self._scales)
        weights = rng.dirichlet(np.ones(goals))
        best = float(tchebycheff(self._reached, weights).min())
        spread = np.sqrt((np.square(std) * weights**2).sum(axis=1))
        return feasible * expected_improvement(tchebycheff(mean, weights), spread, best)

    def _read_known(self, candidates: Candidates, mean: np.ndarray, std: np.ndarray) -> None:
        """Put what cheap evaluators say in place of predictions."""
        if len(self._known) < 2 or not self._known.any():
            return
        values = self._free.values(Architectures(self.space, candidates.codes))
        losses = self.problem.losses_of(values, len(candidates))
        scaled = (losses - self._low) / self._span
        use = self._known & np.isfinite(scaled).all(axis=0)
        mean[:, use], std[:, use] = scaled[:, use], KNOWN


def _range(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = losses[np.isfinite(losses).all(axis=1)]
    if not len(known):
        return np.zeros(losses.shape[1]), np.ones(losses.shape[1])
    low = known.min(axis=0)
    span = known.max(axis=0) - low
    return low, np.where(span > 0, span, 1.0)


def _probability(limit: Objective, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(n,) that a normal metric keeps its bounds."""
    chance = np.ones(len(mean))
    if limit.at_most is not None:
        chance *= ndtr((limit.at_most - mean) / std)
    if limit.at_least is not None:
        chance *= ndtr((mean - limit.at_least) / std)
    return chance
