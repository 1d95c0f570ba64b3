"""ASHA: successive halving that never waits.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), Algorithm 2: a free worker promotes a trial
that is among the best 1 / eta of its rung, if there is one, or starts a new one at the lowest rung.
"""

from __future__ import annotations

from collections.abc import Sequence

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.brackets import best_of, check_halving, halving_rungs
from archwright.strategies.common import Proposals, candidates_of, rng_of


@register(
    "strategies",
    "asha",
    labels={
        "family": "bandit",
        "objectives": "many",
        "constraints": True,
        "paper": "Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning",
    },
)
class Asha:
    """Asynchronous successive halving.

    Args:
        problem: what is searched; its evaluators read `fidelity`.
        seed: of all random draws.
        factor: eta.
        lowest: fidelity of the first rung.
    """

    batch = 1

    def __init__(self, problem: Problem, *, seed: int = 0, factor: float = 3.0, lowest: float = 1 / 9) -> None:
        check_halving(factor, lowest)
        self._problem, self._seed, self._asks, self._factor = problem, seed, 0, factor
        self._proposals = Proposals(problem)
        self.fidelities = tuple(r.fidelity for r in halving_rungs(1, lowest, factor))
        self._done: list[list[Trial]] = [[] for _ in self.fidelities]
        self._promoted: list[set[int]] = [set() for _ in self.fidelities]

    def ask(self, n: int) -> Sequence[Candidate]:
        """Promotions from the highest rung down, then new architectures at the lowest."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        out: list[Candidate] = []
        for rung in range(len(self.fidelities) - 2, -1, -1):
            out += self._promotions(rung, n - len(out))
        if len(out) < n:
            fresh = self._proposals.random(n - len(out), rng)
            if not len(fresh) and not out:
                fresh = self._problem.space.sample(1, rng)  # used up: old architectures meet again
            out += candidates_of(fresh, self.fidelities[0])
        return out

    def _promotions(self, rung: int, n: int) -> list[Candidate]:
        done = self._done[rung]
        best = best_of(done, self._problem)[: int(len(done) / self._factor)]
        chosen = [t for t in best if t.number not in self._promoted[rung]][: max(n, 0)]
        self._promoted[rung].update(t.number for t in chosen)
        return [Candidate(t.candidate.architecture, self.fidelities[rung + 1], t.number) for t in chosen]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Put each trial on its rung."""
        for trial in trials:
            rung = min(range(len(self.fidelities)), key=lambda i: abs(self.fidelities[i] - trial.candidate.fidelity))
            self._done[rung].append(trial)
