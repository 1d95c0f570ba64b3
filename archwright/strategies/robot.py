"""RoBoT: Bayesian optimization over the weights of zero-cost proxies, then greedy descent of the best ranking.

He et al., "Robustifying and Boosting Training-Free Neural Architecture Search" (2024), Algorithm 1: proxies are scaled
to [0, 1] over the candidates, a weight vector in [-1, 1]^m orders them, only the top of each order is evaluated, and a
Gaussian process over the weights proposes the next vector; what is left of the budget goes down the order of the best
vector. Proxies come from the problem's cheap evaluators. Differences: the first vectors are the sum of all proxies and
each alone, so that no run is worse than these by bad luck; expected improvement in place of an upper confidence bound;
fewer rounds than the budget, which leaves more for the descent; on spaces too large to list, a random sample stands for
them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from archwright.errors import ConfigurationError
from archwright.predictors.encoding import POOL_AT_MOST
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.acquisition import expected_improvement
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import fitness
from archwright.strategies.free_columns import FreeColumns

SAMPLE = 20_000  # members that stand for a large space
LENGTH = 0.8  # of the kernel over weights
NOISE = 1e-2
DRAWN = 512


@register(
    "strategies",
    "robot",
    labels={
        "family": "training-free",
        "objectives": "one",
        "constraints": True,
        "paper": "He et al. 2024, Robustifying and Boosting Training-Free Neural Architecture Search",
        "space": "problems with cheap evaluators of zero-cost scores",
    },
)
class Robot:
    """Finds weights of proxies, then trusts them.

    Args:
        problem: with a cheap evaluator beside that of the goal.
        seed: of all random draws.
        rounds: weight vectors that are tried (a repeated top costs no evaluation); by default two a proxy.

    Raises:
        ConfigurationError: if no cheap evaluator says anything.
    """

    batch = 1

    def __init__(self, problem: Problem, *, seed: int = 0, rounds: int | None = None) -> None:
        check_option("rounds", 1 if rounds is None else rounds, 1)
        free = FreeColumns(problem)
        if not free:
            raise ConfigurationError(
                "robot combines zero-cost scores, but no evaluator of the problem is cheap; add TableScores or proxies"
            )
        self._space, self._seed, self._asks = problem.space, seed, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        rng = np.random.default_rng([seed, 0xB07])
        members = _members(problem, rng)
        order = rng.permutation(len(members))  # ties go by chance
        self._codes = members.codes[order]
        self.scores = _unit(free(members)[order])  # (members, proxies) in [0, 1]
        count = self.scores.shape[1]
        self._simple = np.concatenate([np.ones((1, count)), np.eye(count)])  # all alike, then each alone
        self._rounds = 2 * count if rounds is None else rounds
        self._tried: list[tuple[np.ndarray, bytes]] = []  # weights, and the top that they choose
        self._row: dict[bytes, int] = {}

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: tops of new weight vectors, then the best vector's order."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        codes: list[np.ndarray] = []
        while len(self._tried) < self._rounds and len(codes) < n:
            weights = self._weights(rng)
            top = self._codes[int(np.argmax(self.scores @ weights))]
            self._tried.append((weights, top.tobytes()))
            if top.tobytes() not in self._proposals.seen:
                self._proposals.seen.add(top.tobytes())
                codes.append(top)
                if len(codes) < n and not self._row:
                    continue
        if not codes:
            return candidates_of(self._proposals.pick(n, rng, self._descend()))
        return candidates_of(Architectures(self._space, np.array(codes, np.int16)))

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (k, m) whose top has a result, and its fitness (k,)."""
        values = fitness(self._memory)
        known = [(w, values[self._row[top]]) for w, top in self._tried if top in self._row]
        known = [(w, v) for w, v in known if np.isfinite(v)]
        if not known:
            return np.zeros((0, self.scores.shape[1])), np.zeros(0)
        return np.stack([w for w, _ in known]), np.array([v for _, v in known])

    def _weights(self, rng: np.random.Generator) -> np.ndarray:
        """The vector of the largest expected improvement under a Gaussian process, among random ones."""
        if len(self._tried) <= self.scores.shape[1]:
            return self._simple[len(self._tried)]
        drawn = rng.uniform(-1.0, 1.0, (DRAWN, self.scores.shape[1]))
        x, y = self._known()
        if len(y) < 2 or np.ptp(y) == 0:
            return drawn[0]
        z = (y - y.mean()) / y.std()
        factor = cho_factor(_kernel(x, x) + NOISE * np.eye(len(x)))
        cross = _kernel(drawn, x)
        mean = cross @ cho_solve(factor, z)
        variance = np.maximum(1.0 - (cross * cho_solve(factor, cross.T).T).sum(axis=1), 1e-9)
        return drawn[int(np.argmax(expected_improvement(mean, np.sqrt(variance), float(z.min()))))]

    def _descend(self) -> _Down:
        x, y = self._known()
        weights = x[int(np.argmin(y))] if len(y) else np.ones(self.scores.shape[1])
        return _Down(self._space, self._codes, np.argsort(-(self.scores @ weights), kind="stable"))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        rows = self._memory.add(trials)
        self._row |= {t.candidate.architecture.key: r for t, r in zip(trials, rows.tolist(), strict=True)}


class _Down:
    """Goes down an order of members."""

    def __init__(self, space: object, codes: np.ndarray, order: np.ndarray) -> None:
        self._space, self._codes, self._order, self._given = space, codes, order, 0

    def __call__(self, n: int, rng: np.random.Generator) -> Architectures:
        rows = self._order[self._given : self._given + n]
        self._given += n
        return Architectures(self._space, self._codes[rows])  # type: ignore[arg-type]


def _members(problem: Problem, rng: np.random.Generator) -> Architectures:
    from archwright.errors import SpaceError

    try:
        if problem.space.size() <= POOL_AT_MOST:
            return problem.space.enumerate()
    except SpaceError:  # a predicate on the tree makes counting impossible
        pass
    return problem.space.sample(SAMPLE, rng).unique()


def _unit(scores: np.ndarray) -> np.ndarray:
    """Columns scaled to [0, 1]; unknown and infinite values are 0."""
    known = np.where(np.isfinite(scores), scores, np.nan)
    low, high = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
    return np.nan_to_num((known - low) / np.where(high > low, high - low, 1.0))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    apart = np.square(a[:, None, :] - b[None, :, :]).sum(axis=2)
    return np.exp(-0.5 * apart / (LENGTH**2 * a.shape[1]))
