"""What the parts of evaluated designs promise in other company: goals as sums over the tasks' networks.

A goal that evaluators also give by task (`TASK_accuracy_percent`, `TASK_energy_mj`) is taken as a sum over the tasks.
A network's accuracy does not depend on the hardware; its energy is a factor of the network times one of the hardware,
fitted to all trials in logarithms. So whole fronts of new combinations are predicted from networks that were seen,
one by one, in different designs. Known error: layers move between sub-accelerators when other networks change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from archwright.search.pareto import front_mask
from archwright.search.problem import Problem
from archwright.search.trial import Trial

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

    def propose(self, machine: np.ndarray, n: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
        """Combinations of networks for one machine that no other combination is predicted to dominate.

        Args:
            machine: codes of the hardware's decisions.
            n: combinations to draw.
            rng: of the draws.

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
            codes.append([np.frombuffer(keys[i], dtype=np.int16) for i in kept])
            losses.append(values[kept])
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


def _best(values: np.ndarray, most: int) -> np.ndarray:
    """Rows of the first fronts, up to `most`."""
    left = np.arange(len(values))
    out: list[int] = []
    while len(left) and len(out) < most:
        front = front_mask(values[left])
        out += left[front].tolist()
        left = left[~front]
    return np.array(out[:most], dtype=np.int64)
