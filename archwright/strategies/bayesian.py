"""Bayesian optimization with a Gaussian process over architectures: the sample-efficient default.

Jones et al., "Efficient global optimization of expensive black-box functions" (1998) over the kernel of
`archwright.predictors.gp`, whose inputs follow from the space alone: canonical codes, how often shared options are
taken, the longest and shortest way through the network's graph and the number of ways. Columns of cheap evaluators that
are not themselves goals (zero-cost scores, parameter counts) are taken as further inputs. One objective: expected
improvement of the log gap. Two: expected hypervolume improvement, each loss on its own scale or that of its log gap,
whichever makes the labels likelier. More: ParEGO (Knowles, 2006). Limits: times the
probability to keep them (Gardner et al., 2014). Several candidates an ask, and candidates still out, are believed to
give what is predicted (Ginsbourger et al., 2010, "kriging believer"). Differences: no architecture is proposed whose
graph is known to compute what an evaluated one computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.predictors.encoding import encoder_of
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Proposals, candidates_of, check_option, rng_of
from archwright.strategies.free_columns import FreeColumns
from archwright.strategies.pool import Candidates, Pool
from archwright.strategies.surrogate import Surrogate

PARENTS = 20  # best trials around which a large space is looked at


@register(
    "strategies",
    "bayesian",
    labels={
        "family": "model",
        "objectives": "many",
        "constraints": True,
        "paper": "Jones et al. 1998, Efficient global optimization of expensive black-box functions",
    },
)
class BayesianOptimization:
    """Evaluates where a Gaussian process expects the largest improvement.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures at the beginning; with zero-cost scores they are drawn from the best 3 %.
        structural: read the graph of the network where the space has one.
        features: take the columns of cheap evaluators as inputs.
        labels: trials that the model learns from at most: the best half and the latest.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        starts: int = 4,
        structural: bool = True,
        features: bool = True,
        labels: int = 256,
    ) -> None:
        check_option("starts", starts, 1)
        check_option("labels", labels, 8)
        self._problem, self._space, self._seed = problem, problem.space, seed
        self._starts, self._asks, self._asked = starts, 0, 0
        self._proposals = Proposals(problem)
        self._free = FreeColumns(problem)
        extra = self._free if features and self._free else None
        self._guided = extra is not None and bool(self._free.scores)
        self._encoder = encoder_of(problem.space, extra, structural=structural)
        self._pool = Pool(self._encoder, extra, structural)
        self._model = Surrogate(problem, self._pool, self._encoder, self._free, labels)
        self._pending: dict[bytes, np.ndarray] = {}

    @property
    def batch(self) -> int:
        """The random start can be asked for at once."""
        return max(1, self._starts - self._asked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from trials at full fidelity; failed ones count as bad as the worst."""
        for trial in trials:
            self._pending.pop(trial.candidate.architecture.key, None)
        self._model.add([t for t in trials if t.candidate.fidelity >= 1.0])

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones at the start, then those of the largest acquisition."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        if self._asked < self._starts or not self._model.ready:
            picked = self._proposals.pick(min(n, max(1, self._starts - self._asked)), rng, self._begin)
        else:
            picked = self._choose(n, rng)
        self._asked += len(picked)
        for code in picked.codes:
            self._pending[code.tobytes()] = code
        return candidates_of(picked)

    def _begin(self, n: int, rng: np.random.Generator) -> Architectures:
        """Random members; with zero-cost scores random ones of the best 3 % in mean rank."""
        if not self._guided:
            return self._space.sample(n, rng)
        drawn = self._space.sample(max(2000, 40 * n), rng)
        ranks = self._encoder(drawn).blocks["extra"][:, self._free.scores].mean(axis=1)
        top = np.argsort(-ranks, kind="stable")[: max(len(drawn) // 33, n)]
        return drawn[rng.permutation(top)]

    def _choose(self, n: int, rng: np.random.Generator) -> Architectures:
        """One after the other, each believed to give its prediction."""
        model, chosen = self._model, np.zeros((0, len(self._space.decisions)), np.int16)
        waiting = np.array(list(self._pending.values()), np.int16).reshape(-1, chosen.shape[1])
        model.fit(waiting)
        for i in range(n):
            if i:
                model.fit(np.concatenate([waiting, chosen]), believe_only=True)
            around = self._pool.candidates(model.best(PARENTS), model.encoded, self._proposals.seen, rng)
            picked = self._proposals.pick(1, rng, _Ranked(model, around, rng) if len(around) else self._space.sample)
            if not len(picked):
                break
            chosen = np.concatenate([chosen, picked.codes])
        return Architectures(self._space, chosen)


class _Ranked:
    """Hands out candidates in the order of their worth."""

    def __init__(self, model: Surrogate, around: Candidates, rng: np.random.Generator) -> None:
        self._space = model.space
        self._codes = around.codes[model.rank(around, rng)]
        self._given = 0

    def __call__(self, n: int, rng: np.random.Generator) -> Architectures:
        """The next n, none once all are out."""
        codes = self._codes[self._given : self._given + n]
        self._given += n
        return Architectures(self._space, codes)
