"""What the parts of evaluated designs promise in other company: goals as sums over the tasks' networks.

A goal that evaluators also give by task (`TASK_accuracy_percent`, `TASK_energy_mj`) is taken as a sum over the tasks.
A network's accuracy does not depend on the hardware; its energy is a factor of the network times one of the hardware,
fitted to all trials in logarithms. So whole fronts of new combinations are predicted from networks that were seen,
one by one, in different designs. Factors of networks one decision away from the best are predicted by kernel ridge
regression on the number of equal decisions and its square, so that good networks need not be met by chance. Known
error: layers move between sub-accelerators when other networks change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from archwright.search.pareto import front_mask
from archwright.search.problem import Problem
from archwright.search.trial import Trial

LABELS = 256  # networks of a task that unseen ones are predicted from: the latest
NUGGET = 0.02  # of the kernel's diagonal
SWEEPS = 8  # of the alternating fit
POOL = 24  # networks of a task that combinations are drawn from


class PartModel:
    """Predicts the goals of combinations of networks and hardware that were seen.

    Args:
        problem: over a joint space.
        parts: name -> decisions of each part, as the strategy gives them.
    """

    def __init__(self, problem: Problem, parts: Mapping[str, np.ndarray]) -> None:
        self.goals = [(g.metric, 1.0 if g.goal == "minimize" else -1.0) for g in problem.goals]
        self.limits = {o.metric: o.at_most for o in problem.objectives if o.at_most is not None}
        self.tasks = {name.removeprefix("tasks."): d for name, d in parts.items() if name.startswith("tasks.")}
        self.hardware = parts.get("accelerators", np.zeros(0, np.int64))
        self._seen: dict[str, dict[bytes, int]] = {t: {} for t in self.tasks}
        self._machines: dict[bytes, int] = {}
        self._rows: list[tuple[int, dict[str, int], Mapping[str, float]]] = []
        self._fitted: dict[tuple[str, str], tuple[int, tuple[np.ndarray, np.ndarray]]] = {}

    def add(self, trials: Sequence[Trial]) -> None:
        """Remember trials that say what their networks cost."""
        for trial in trials:
            code = np.asarray(trial.candidate.architecture.code)
            told = (trial.metrics.get(f"{t}_{m}", np.nan) for t in self.tasks for m, _ in self.goals)
            if not np.isfinite(list(told)).any():
                continue
            machine = self._machines.setdefault(code[self.hardware].tobytes(), len(self._machines))
            nets = {t: self._seen[t].setdefault(code[d].tobytes(), len(self._seen[t])) for t, d in self.tasks.items()}
            self._rows.append((machine, nets, trial.metrics))

    def _fit(self, task: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """What `_solve` gives, solved once for the same trials."""
        known = self._fitted.get((task, metric))
        if known is None or known[0] != len(self._rows):
            known = self._fitted[task, metric] = len(self._rows), self._solve(task, metric)
        return known[1]

    def _solve(self, task: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of a network's factor (networks,), NaN where unknown, and of a machine's (machines,)."""
        found = [(m, k[task], v) for m, k, x in self._rows if 0 < (v := x.get(f"{task}_{metric}", np.nan)) < np.inf]
        net, machine = np.full(len(self._seen[task]), np.nan), np.zeros(len(self._machines))
        if not found:
            return net, machine
        rows, columns = (np.array([f[i] for f in found], dtype=np.int64) for i in (0, 1))
        value = np.log([f[2] for f in found])
        seen, times = np.bincount(columns, minlength=len(net)), np.bincount(rows, minlength=len(machine))
        if metric.startswith("accuracy"):  # the same on every machine
            return np.where(seen > 0, np.bincount(columns, value, len(net)) / np.maximum(seen, 1), np.nan), machine
        factor = np.zeros(len(net))
        for _ in range(SWEEPS):
            factor = np.bincount(columns, value - machine[rows], len(net)) / np.maximum(seen, 1)
            machine = np.bincount(rows, value - factor[columns], len(machine)) / np.maximum(times, 1)
        return np.where(seen > 0, factor, np.nan), machine

    def _around(self, task: str, kept: np.ndarray, at: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Unseen networks (k, decisions) one decision from kept ones (rows), and their predicted losses (k, goals)."""
        codes = np.stack([np.frombuffer(key, dtype=np.int16) for key in self._seen[task]])
        centres = codes[rng.choice(kept, 8 * POOL)].copy()
        rows, column = np.arange(len(centres)), rng.integers(0, centres.shape[1], len(centres))
        for d in np.unique(column):  # another option that some network has
            options = np.unique(codes[:, d])
            own = rows[column == d]
            centres[own, d] = rng.choice(options, len(own))
        fresh = np.unique(centres, axis=0)
        fresh = fresh[[c.tobytes() not in self._seen[task] for c in fresh]]
        factors = [(sign, *self._fit(task, metric)) for metric, sign in self.goals]
        labels = np.flatnonzero(np.isfinite([f for _, f, _ in factors]).all(axis=0))[-LABELS:]
        if not len(fresh) or len(labels) < 2 * codes.shape[1]:
            return fresh[:0], np.zeros((0, len(factors)))
        gram = _likeness(codes[labels], codes[labels])
        cross = _likeness(fresh, codes[labels])
        targets = np.stack([f[labels] for _, f, _ in factors], axis=1)
        mean = targets.mean(axis=0)
        weights = np.linalg.solve(gram + NUGGET * gram[0, 0] * np.eye(len(labels)), targets - mean)
        logs = mean + cross @ weights + np.array([h[at] for _, _, h in factors])
        return fresh, np.array([sign for sign, _, _ in factors]) * np.exp(logs)

    def propose(
        self, machine: np.ndarray, n: int, rng: np.random.Generator, *, unseen: bool = False
    ) -> list[dict[str, np.ndarray]]:
        """Combinations of networks for one machine that no other combination is predicted to dominate.

        Args:
            machine: codes of the hardware's decisions.
            n: combinations to draw.
            rng: of the draws.
            unseen: join networks too that are only predicted.

        Returns:
            task -> code of its decisions, one mapping a combination.
        """
        at = self._machines.get(np.asarray(machine, dtype=np.int16).tobytes())
        if at is None or len(self.goals) != 2 or not self.tasks:
            return []
        codes, losses = [], []
        for task in self.tasks:
            values = np.stack([sign * np.exp(f + h[at]) for m, sign in self.goals for f, h in [self._fit(task, m)]], 1)
            known = np.flatnonzero(np.isfinite(values).all(axis=1))
            if not len(known):
                return []
            kept = known[_best(values[known], POOL)]
            keys = list(self._seen[task])
            networks, promised = np.stack([np.frombuffer(keys[i], dtype=np.int16) for i in kept]), values[kept]
            if unseen:
                fresh, predicted = self._around(task, kept, at, rng)
                networks, promised = np.concatenate([networks, fresh]), np.concatenate([promised, predicted])
                best = _best(promised, POOL)
                networks, promised = networks[best], promised[best]
            codes.append(networks)
            losses.append(promised)
        draws = np.stack([rng.integers(0, len(c), 64 * n) for c in codes], axis=1)
        total = np.sum([v[draws[:, k]] for k, v in enumerate(losses)], axis=0)
        inside = np.ones(len(total), dtype=bool)
        for j, (metric, _) in enumerate(self.goals):
            if metric in self.limits:
                inside &= total[:, j] <= self.limits[metric]
        rows = np.flatnonzero(inside)
        rows = rows[front_mask(total[rows])]
        picked = rng.permutation(rows)[:n]
        return [{t: codes[k][draws[r, k]] for k, t in enumerate(self.tasks)} for r in picked]


def _likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 + share of equal decisions + its square times their number, (n, m): main effects and pairs."""
    same = (first[:, None] == second[None]).mean(axis=2)
    return np.asarray(1 + same + first.shape[1] * same**2)


def _best(values: np.ndarray, most: int) -> np.ndarray:
    """Rows of the first fronts, up to `most`."""
    left = np.arange(len(values))
    out: list[int] = []
    while len(left) and len(out) < most:
        front = front_mask(values[left])
        out += left[front].tolist()
        left = left[~front]
    return np.array(out[:most], dtype=np.int64)
