"""GBDT-NAS, and the pruning of a space by what its trees attribute to options (GBDT-NAS-3S).

Luo et al., "Accuracy Prediction with Non-neural Model for Neural Architecture Search" (2020), Algorithm 1 and section
3.3: boosted trees are fitted on all evaluated architectures, many others are scored, the best are evaluated, and so on.
With `prune`, options whose mean SHAP value is worst are forbidden for the candidates before each fit's proposals (first
order). Differences: rounds are as small as the number of evaluations that they add; a space that can be listed is
scored as a whole, in a larger one what is near the best and random members; no architecture is proposed whose graph is
known to compute what an evaluated one computes, since the trees would give it the same, high value.
"""

from __future__ import annotations

import numpy as np

from archwright.predictors.gbdt import GradientBoosting
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.space.space import Space
from archwright.strategies.common import check_option
from archwright.strategies.pool import DRAWN, Candidates, Pool
from archwright.strategies.predicted import InOrder, best_codes, starts_of
from archwright.strategies.rounds import PredictorRounds

PARENTS = 20  # best trials around which a large space is looked at
SHORTLIST = 512  # best predicted that proposals are taken from


@register(
    "strategies",
    "gbdt_nas",
    labels={
        "family": "model",
        "objectives": "many",
        "constraints": True,
        "extra": "lightgbm",
        "paper": "Luo et al. 2020, Accuracy Prediction with Non-neural Model for Neural Architecture Search",
    },
)
class GBDTSearch(PredictorRounds):
    """Evaluates what boosted trees predict to be best, round by round.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures first; by default twice the number of decisions.
        round_size: evaluations between two fits.
        drawn: candidates that are scored an ask in a space too large to list.
        prune: options to forbid after each fit by their SHAP values; 0 for none.
        rounds: trees of the predictor.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        starts: int | None = None,
        round_size: int = 5,
        drawn: int = DRAWN,
        prune: int = 0,
        rounds: int = 100,
    ) -> None:
        check_option("round_size", round_size, 1)
        check_option("drawn", drawn, 1)
        check_option("prune", prune, 0)
        self._trees = GradientBoosting(problem.space, seed=seed, members=1, rounds=rounds)
        super().__init__(problem, seed, round_size, self._trees, starts_of(problem, starts))
        self._pool, self._prune = Pool(self._trees.encoder, None, True, drawn), prune
        self.forbidden: set[tuple[int, int]] = set()  # (decision, option)

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        """The best predicted; random ones while there is too little to learn from."""
        if not self._ready():
            return self._proposals.random(n, rng)
        best = best_codes(self._memory, PARENTS)
        around = self._pool.candidates(best, self._told, self._proposals.seen, rng)
        around = around[self._allowed(around.codes)] if self.forbidden else around
        if not len(around):
            return self._proposals.random(n, rng)
        codes = around.codes[self._best(around, rng)]
        return self._proposals.pick(n, rng, InOrder(Architectures(self._space, codes), np.arange(len(codes))))

    def _best(self, around: Candidates, rng: np.random.Generator) -> np.ndarray:
        """Rows of the best predicted that differ in what they compute, best first; ties are broken by chance."""
        scores = self._trees.predict_encoded(around.encoded)[0]
        rows = np.lexsort((rng.random(len(scores)), scores))[:SHORTLIST]
        _, first = np.unique(around.encoded[rows].keys(), return_index=True)
        return rows[np.sort(first)]

    def _allowed(self, codes: np.ndarray) -> np.ndarray:
        ok = np.ones(len(codes), bool)
        for decision, option in self.forbidden:
            ok &= codes[:, decision] != option
        return np.flatnonzero(ok)

    def _after_fit(self) -> None:
        self._told = self._pool.encode(self._memory.codes)
        if self._prune:
            taken = Architectures(self._space, self._memory.codes)
            self.forbidden |= set(worst_options(self._space, self._trees, taken, self._prune, self.forbidden))


def option_values(
    space: Space, predictor: GradientBoosting, architectures: Architectures
) -> dict[tuple[int, int], float]:
    """(decision, option) -> mean SHAP value over the architectures that take it; positive raises the prediction.

    Args:
        space: of the architectures.
        predictor: fitted.
        architectures: to attribute on, usually the labelled ones.
    """
    shap = predictor.contributions(architectures)
    start = np.concatenate([[0], np.cumsum(space.sizes)])
    codes = architectures.codes
    found: dict[tuple[int, int], float] = {}
    for d in range(len(space.decisions)):
        own = shap[:, start[d] : start[d + 1]].sum(axis=1)  # one-hot columns of a decision act together
        for k in range(int(space.sizes[d])):
            taken = codes[:, d] == k
            if taken.sum() >= 3:
                found[d, k] = float(own[taken].mean())
    return found


def worst_options(
    space: Space,
    predictor: GradientBoosting,
    architectures: Architectures,
    count: int,
    already: set[tuple[int, int]] | frozenset[tuple[int, int]] = frozenset(),
) -> list[tuple[int, int]]:
    """Options to forbid: those whose SHAP values raise the predicted loss most; every decision keeps at least two."""
    left = space.sizes - np.array([sum(d == j for j, _ in already) for d in range(len(space.decisions))])
    chosen: list[tuple[int, int]] = []
    values = option_values(space, predictor, architectures)
    for (d, k), value in sorted(values.items(), key=lambda item: -item[1]):
        if len(chosen) == count or value <= 0:
            break
        if (d, k) not in already and left[d] > 2:
            left[d] -= 1
            chosen.append((d, k))
    return chosen


def prune_space(space: Space, architectures: Architectures, losses: np.ndarray, count: int, *, seed: int = 0) -> Space:
    """A space without its `count` worst options (GBDT-NAS-3S, first order).

    Args:
        space: to prune.
        architectures: n labelled ones.
        losses: (n,), smaller is better.
        count: options to remove.
        seed: of the trees.
    """
    predictor = GradientBoosting(space, seed=seed, members=1).fit(architectures, losses)
    gone = worst_options(space, predictor, architectures, count)
    allowed = {}
    for d in {d for d, _ in gone}:
        decision = space.decisions[d]
        allowed[decision.label] = [o for k, o in enumerate(decision.options) if (d, k) not in gone]
    return space.restrict(allowed) if allowed else space
