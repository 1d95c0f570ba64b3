"""Mixed-integer selection for additive scores, as in Puzzle.

Bercovich et al., "Puzzle: Distillation-Based NAS for Inference-Optimized LLMs" (2024), section 4: every option of every
decision gets a score from replacing that one part of the parent, scores and costs are taken to add up, and an integer
programme finds the assignment of the best total under the cost limits; further solutions must differ in a number of
decisions. Scores: one trial an option. Costs: one call of the cheap evaluators an option. Afterwards each new
assignment is evaluated as a whole, so that what is returned was measured. Only for spaces whose decisions are always
active; constraints of the space are kept by taking the nearest member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of, single_goal
from archwright.strategies.free_columns import FreeColumns


@register(
    "strategies",
    "milp",
    labels={
        "family": "mathematical programme",
        "objectives": "one",
        "constraints": True,
        "random": False,
        "paper": "Bercovich et al. 2024, Puzzle",
        "space": "decisions that are always active, with scores and costs that add up",
    },
)
class IntegerSelection:
    """Scores every option by itself, then solves for the best assignment.

    The parent is the largest member; with limits the cheapest, so that replacements keep to them and are measured.

    Args:
        problem: with one goal; limits on metrics of cheap evaluators become constraints.
        seed: of the random choice once all assignments are used up.
        differ: decisions in which a further assignment differs from all before.

    Raises:
        ConfigurationError: if a decision can be inactive, or a limited metric has no cheap evaluator.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, differ: int = 1) -> None:
        single_goal(problem, "milp")
        check_option("differ", differ, 1)
        self._problem, self._space, self._seed, self._asks = problem, problem.space, seed, 0
        if not self._space.activity.always.all():
            raise ConfigurationError("milp needs decisions that are always active; fix the depths, or use bayesian")
        self._free = FreeColumns(problem)
        cheap = {m for e in problem.evaluators if getattr(e, "cheap", False) for m in e.metrics}
        unknown = [o.metric for o in problem.limits if o.metric not in cheap and o.goal == "limit"]
        if unknown:
            raise ConfigurationError(f"milp needs cheap evaluators of {unknown}, so that costs can be added up")
        self._limits = [o for o in problem.limits if o.metric in cheap]
        self._memory, self._proposals, self._differ = Memory(problem), Proposals(problem), differ
        self._options = [(d, k) for d, size in enumerate(self._space.sizes.tolist()) for k in range(size)]
        self._parent = self._cheapest(self._space.largest().code) if self._limits else self._space.largest().code
        self._single = self._replacements(self._parent)
        legal = [code.tobytes() for code in self._single if self._legal(code)]
        self._queue = list(dict.fromkeys([self._parent.tobytes(), *legal]))
        self._missing = set(self._queue)
        self._losses: dict[bytes, float] = {}
        self._chosen: list[np.ndarray] = []

    def _replacements(self, parent: np.ndarray) -> np.ndarray:
        """(options, D) codes; row i takes option i in place of the parent's."""
        codes = np.repeat(parent[None], len(self._options), axis=0)
        codes[np.arange(len(codes)), [d for d, _ in self._options]] = [k for _, k in self._options]
        return codes

    def _cheapest(self, parent: np.ndarray) -> np.ndarray:
        """The cheapest option of every decision: an option that breaks a limit beside these breaks it beside all."""
        values = self._free.values(Architectures(self._space, self._replacements(parent)))
        cost = np.zeros(len(self._options))
        for limit in self._limits:
            bound, sign = (limit.at_most, 1.0) if limit.at_most is not None else (limit.at_least, -1.0)
            cost += sign * values[limit.metric] / (abs(bound or 0.0) or 1.0)
        code = parent.copy()
        for d in range(len(code)):
            rows = [i for i, (j, _) in enumerate(self._options) if j == d]
            code[d] = int(np.argmin(cost[rows]))
        return self._space.nearest(code[None]).codes[0]

    def _legal(self, code: np.ndarray) -> bool:
        return bool(self._space.is_member(code[None])[0])

    @property
    def batch(self) -> int:
        """All single replacements at once, then one assignment after the other."""
        return max(1, len(self._queue))

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n replacements of single parts, then the best assignments; none while replacements are out."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        if self._queue:
            keys, self._queue = self._queue[:n], self._queue[n:]
            self._proposals.seen.update(keys)
            codes = np.stack([np.frombuffer(key, np.int16) for key in keys])
            return candidates_of(Architectures(self._space, codes))
        if self._missing:
            return []
        found = []
        for _ in range(n):
            code = self._solve()
            if code is None:
                break
            self._chosen.append(code)
            near = self._space.nearest(code[None]).codes[0]
            if near.tobytes() not in self._proposals.seen:
                self._proposals.seen.add(near.tobytes())
                found.append(near)
        if not found:
            return candidates_of(self._proposals.random(n, rng))
        return candidates_of(Architectures(self._space, np.stack(found)))

    def scores(self) -> np.ndarray:
        """(options,) change of the loss by each single replacement; failed and illegal ones are very bad."""
        base = self._losses.get(self._parent.tobytes(), np.nan)
        raw = np.array([self._losses.get(c.tobytes(), np.nan) for c in self._single])
        if np.isnan(base):
            base = np.nanmin(raw) if np.isfinite(raw).any() else 0.0
        change = raw - base
        worst = np.nanmax(np.abs(change)) if np.isfinite(change).any() else 1.0
        return np.where(np.isnan(change), 10.0 * worst + 1.0, change)

    def _solve(self) -> np.ndarray | None:
        """The best assignment that differs from all before; None if there is none.

        minimise sum s_i x_i, subject to one option a decision, cost(parent) + sum c_i x_i within the limits.
        """
        count = len(self._options)
        one = np.zeros((len(self._space.decisions), count))
        one[[d for d, _ in self._options], np.arange(count)] = 1.0
        constraints = [LinearConstraint(one, 1.0, 1.0)]
        if self._limits:
            both = self._free.values(Architectures(self._space, np.concatenate([self._parent[None], self._single])))
            for limit in self._limits:
                column = both[limit.metric]
                low = -np.inf if limit.at_least is None else limit.at_least - column[0]
                high = np.inf if limit.at_most is None else limit.at_most - column[0]
                constraints.append(LinearConstraint((column[1:] - column[0])[None], low, high))
        for code in self._chosen:
            same = np.array([float(code[d] == k) for d, k in self._options])
            constraints.append(LinearConstraint(same[None], -np.inf, len(code) - self._differ))
        result = milp(self.scores(), constraints=constraints, integrality=np.ones(count), bounds=Bounds(0, 1))
        if result.x is None:
            return None
        code = np.zeros(len(self._space.decisions), np.int16)
        for (d, k), x in zip(self._options, result.x, strict=True):
            if x > 0.5:
                code[d] = k
        return code

    def tell(self, trials: Sequence[Trial]) -> None:
        """Keep the losses of single replacements."""
        rows = self._memory.add(trials)
        for trial, row in zip(trials, rows.tolist(), strict=True):
            key = trial.candidate.architecture.key
            self._missing.discard(key)
            loss = self._memory.losses[row, 0]
            self._losses[key] = float(loss) if np.isfinite(loss) else np.nan
