"""Evolution whose mutations are chosen by Q-learning.

HHNAS-AM (hierarchical hybrid NAS with adaptive mutation, 2025): a template restricts the space, and a Q table learns
which mutation pays. Only the abstract was at hand, so states, actions and reward are our reading: the state is whether
the last mutation of this parent's line gained, the action is which decision to change, the reward is 1 if the child is
better than its parent, and Q <- Q + a (r + g max Q' - Q). Actions are drawn by softmax. `entropy` of the policy falls
as some decisions turn out to pay. A reward by the size of the gain was worse: late gains are small, and losses teach
the policy to avoid the decisions that matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architecture, Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import fitness


@register(
    "strategies",
    "q_mutation",
    labels={"family": "reinforcement", "objectives": "many", "constraints": True, "paper": "HHNAS-AM 2025"},
)
class QMutation:
    """Mutants of good parents; the changed decision is drawn from a learned policy.

    Args:
        problem: what is searched.
        seed: of all random draws.
        population: best trials that may become parents; this many random architectures come first.
        rate: a, of learning.
        discount: g, of what comes after.
        temperature: of the softmax over Q.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 10,
        rate: float = 0.2,
        discount: float = 0.3,
        temperature: float = 0.15,
    ) -> None:
        check_option("population", population, 1)
        check_option("rate", rate, 0.0, 1.0)
        check_option("discount", discount, 0.0, 1.0)
        check_option("temperature", temperature, 1e-6)
        self._space, self._seed, self._asks, self._asked = problem.space, seed, 0, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._population, self._rate, self._discount, self._temperature = population, rate, discount, temperature
        self.values = np.zeros((2, len(problem.space.decisions)))  # Q: state x action
        self._state: dict[bytes, int] = {}  # architecture -> state of its line
        self._made: dict[bytes, tuple[bytes, int, int]] = {}  # child -> parent, state, action
        self._row: dict[bytes, int] = {}

    @property
    def batch(self) -> int:
        """The random start can be asked for at once."""
        return max(1, self._population - self._asked)

    @property
    def entropy(self) -> float:
        """Of the policy over decisions in nats, mean over states."""
        p = self._policy(self.values)
        return float(-(p * np.log(p)).sum(axis=1).mean())

    def _policy(self, values: np.ndarray) -> np.ndarray:
        logits = values / self._temperature
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return p / p.sum(axis=-1, keepdims=True)

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones, then mutants."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._population - self._asked
        if start > 0 or not len(self._memory):
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            values = fitness(self._memory)
            self._parents = np.argsort(values, kind="stable")[: self._population]
            self._drafts: dict[bytes, tuple[bytes, int, int]] = {}
            picked = self._proposals.pick(n, rng, self._mutants)
            self._made |= {c.tobytes(): self._drafts[c.tobytes()] for c in picked.codes if c.tobytes() in self._drafts}
        self._asked += len(picked)
        return candidates_of(picked)

    def _mutants(self, n: int, rng: np.random.Generator) -> Architectures:
        out = np.zeros((n, len(self._space.decisions)), np.int16)
        for i in range(n):
            parent = self._memory.codes[self._parents[rng.integers(len(self._parents))]]
            state = self._state.get(parent.tobytes(), 0)
            p = self._policy(self.values[state]) * (parent >= 0) * (self._space.sizes > 1)
            if p.sum() <= 0:
                out[i] = self._space.sample(1, rng).codes[0]
                continue
            action = int(rng.choice(len(p), p=p / p.sum()))
            out[i] = self._changed(parent, action, rng)
            self._drafts[out[i].tobytes()] = (parent.tobytes(), state, action)
        return Architectures(self._space, out)

    def _changed(self, parent: np.ndarray, action: int, rng: np.random.Generator) -> np.ndarray:
        """The parent with another option of one decision; what that breaks or brings is repaired."""
        code = np.maximum(parent, 0)
        size = int(self._space.sizes[action])
        code[action] = (parent[action] + 1 + rng.integers(size - 1)) % size
        near = self._space.nearest(code[None]).codes[0]
        if (near == parent).all():
            return self._space.mutate(Architectures(self._space, parent[None]), rng).codes[0]
        return near

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials and learn which decisions paid."""
        rows = self._memory.add(trials)
        values = fitness(self._memory)
        known = values[np.isfinite(values)]
        for row, trial in zip(rows.tolist(), trials, strict=True):
            key = Architecture(self._space, trial.candidate.architecture.code).key
            self._row[key] = row
            made = self._made.pop(key, None)
            if made is None or not len(known):
                continue
            parent, state, action = made
            before = values[self._row[parent]] if parent in self._row else np.inf
            gain = 0.0 if not np.isfinite(before) else before - min(values[row], float(known.max()))
            after = int(gain > 0)
            self._state[key] = after
            target = float(gain > 0) + self._discount * float(self.values[after].max())
            self.values[state, action] += self._rate * (target - self.values[state, action])
