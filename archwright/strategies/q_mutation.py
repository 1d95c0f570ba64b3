"""Evolution whose mutation operators are chosen by Q-learning.

HHNAS-AM, "Hierarchical hybrid neural architecture search using adaptive mutation policies" (2025): templates restrict
the space to sensible networks, and Q-learning picks the kind of mutation from the reward of earlier ones. The template
is here the tree of the space; the kinds of mutation are groups of its decisions (by default those of one name, such as
all kernels). No public code confirms the details, which are ours: the state is how the parent itself came about (at
random, by a gain, by a loss), the reward is the gain over the parent in units of the spread of losses, cut to [-1, 1],
and the policy is a softmax over Q.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from archwright.errors import ConfigurationError, SpaceError
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.space.space import Space
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of, single_goal

RANDOM, GAIN, LOSS = range(3)  # states: how a parent came about


@register(
    "strategies",
    "q_mutation",
    labels={
        "family": "evolution",
        "objectives": "one",
        "constraints": True,
        "paper": "HHNAS-AM 2025, Hierarchical hybrid neural architecture search using adaptive mutation policies",
    },
)
class QMutation:
    """Aging evolution with a learned distribution over kinds of mutation.

    Args:
        problem: with one goal.
        seed: of all random draws.
        population: the youngest trials that may be parents; so many random architectures come first.
        sample: entrants of a tournament.
        groups: kind of mutation -> names or paths of the decisions that it changes.
        rate: learning rate of Q.
        discount: of the value of the next state.
        temperature: of the softmax over Q at the start; infinity mutates uniformly.
        cooling: factor on the temperature for every trial told after the random start.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 20,
        sample: int = 5,
        groups: Mapping[str, Sequence[str]] | None = None,
        rate: float = 0.1,
        discount: float = 0.5,
        temperature: float = 0.5,
        cooling: float = 0.995,
    ) -> None:
        check_option("population", population, 2)
        check_option("sample", sample, 1)
        for name, value in (("rate", rate), ("discount", discount), ("cooling", cooling)):
            check_option(name, value, 0.0, 1.0)
        check_option("temperature", temperature, 1e-9)
        single_goal(problem, "q_mutation")
        self._space = problem.space
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._seed, self._asks, self._asked = seed, 0, 0
        self._population, self._sample = population, sample
        self._rate, self._discount = rate, discount
        self._temperature, self._cooling = temperature, cooling
        self.groups = _groups_of(problem.space, groups)
        self.values = np.zeros((3, len(self.groups)))  # Q(state, kind of mutation)
        self._states: list[int] = []  # of the trials told, by row of the memory
        self._origin: dict[bytes, tuple[int, int]] = {}  # code of a child -> (row of the parent, kind)
        self._made: dict[bytes, tuple[int, int]] = {}  # of the proposals of the present ask

    @property
    def batch(self) -> int:
        """The random start at once, then one after the other."""
        return max(1, self._population - self._asked)

    @property
    def policy(self) -> np.ndarray:
        """(3, kinds) probability of each kind of mutation, by state."""
        told = max(0, len(self._memory) - self._population)
        heat = max(self._temperature * self._cooling**told, 1e-3)
        logits = self.values / heat
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    @property
    def entropy(self) -> float:
        """Entropy of the policy in nats, averaged over the states that occurred."""
        p = self.policy[sorted(set(self._states))] if self._states else self.policy
        return float(-(p * np.log(np.maximum(p, 1e-12))).sum(axis=1).mean())

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones until the population is asked for, then mutants of tournament winners."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._population - self._asked
        if start > 0 or not len(self._memory):
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            self._made = {}
            picked = self._proposals.pick(n, rng, self._children)
            for code in picked.codes:
                if code.tobytes() in self._made:
                    self._origin[code.tobytes()] = self._made[code.tobytes()]
        self._asked += len(picked)
        return candidates_of(picked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Add trials to the population and their gains to Q."""
        for row, trial in zip(self._memory.add(trials).tolist(), trials, strict=True):
            origin = self._origin.pop(trial.candidate.architecture.key, None)
            if origin is None:
                self._states.append(RANDOM)
                continue
            parent, kind = origin
            reward = self._reward(row, parent)
            state = GAIN if reward > 0 else LOSS
            self._states.append(state)
            before = self._states[parent]
            target = reward + self._discount * self.values[state].max()
            self.values[before, kind] += self._rate * (target - self.values[before, kind])

    def _reward(self, row: int, parent: int) -> float:
        """Gain over the parent in quartile distances, cut to [-1, 1]; by violation where one breaks limits."""
        violation, losses = self._memory.violation, self._memory.losses[:, 0]
        if violation[row] or violation[parent]:
            return float(violation[row] < violation[parent]) - float(violation[row] > violation[parent])
        known = losses[np.isfinite(losses)]
        spread = float(np.subtract(*np.percentile(known, [75, 25]))) or 1.0
        return float(np.clip((losses[parent] - losses[row]) / spread, -1.0, 1.0))

    def _children(self, n: int, rng: np.random.Generator) -> Architectures:
        memory = self._memory
        alive = np.arange(max(0, len(memory) - self._population), len(memory))
        entrants = rng.integers(0, len(alive), (n, self._sample))
        winners = alive[entrants[np.arange(n), memory.order(alive)[entrants].argmin(axis=1)]]
        states = np.array(self._states)[winners]
        odds = np.cumsum(self.policy, axis=1)[states]  # (n, kinds)
        kinds = np.minimum((rng.random((n, 1)) >= odds).sum(axis=1), len(self.groups) - 1)
        children = self._mutants(memory.codes[winners], kinds, rng)
        for code, parent, kind in zip(children.codes, winners.tolist(), kinds.tolist(), strict=True):
            self._made.setdefault(code.tobytes(), (parent, kind))
        return children

    def _mutants(self, parents: np.ndarray, kinds: np.ndarray, rng: np.random.Generator) -> Architectures:
        """Parents (n, D) with one active decision of their group changed; what comes onto the tree is drawn."""
        space, columns = self._space, list(self.groups.values())
        codes = np.where(parents < 0, (rng.random(parents.shape) * space.sizes).astype(np.int16), parents)
        for i, kind in enumerate(kinds.tolist()):
            active = [d for d in columns[kind] if parents[i, d] >= 0]
            if active:
                d = active[int(rng.integers(len(active)))]
                codes[i, d] = (parents[i, d] + rng.integers(1, space.sizes[d])) % space.sizes[d]
        try:
            children = space.nearest(codes).codes.copy()
        except SpaceError:  # predicates hold nowhere near
            children = parents.copy()
        same = np.flatnonzero((children == parents).all(axis=1))
        if len(same):
            children[same] = space.mutate(Architectures(space, parents[same]), rng).codes
        return Architectures(space, children)


def _groups_of(space: Space, groups: Mapping[str, Sequence[str]] | None) -> dict[str, list[int]]:
    """Kind of mutation -> indices of decisions with at least two options."""
    found: dict[str, list[int]] = {}
    if groups is not None:
        for kind, labels in groups.items():
            found[kind] = [space.decision(label).index for label in labels]
    else:
        for decision in space.decisions:
            found.setdefault(_kind(decision.name, decision.path), []).append(decision.index)
    found = {kind: [d for d in found[kind] if space.sizes[d] > 1] for kind in found}
    found = {kind: members for kind, members in found.items() if members}
    if not found:
        raise ConfigurationError("q_mutation needs a decision with at least two options in one of its groups; got none")
    return found


def _kind(name: str | None, path: str) -> str:
    """The name, or the last field of a path: `parts.2#0.kernel` is a kernel."""
    if name is not None:
        return name
    fields = [part for part in re.split(r"[.#|]", path) if part and not part.isdigit()]
    return fields[-1] if fields else path
