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

LABELS = 512  # networks of a task that unseen ones are predicted from: the latest
NUGGET = 0.02  # of the kernel's diagonal
SWEEPS = 8  # of the alternating fit
POOL = 48  # networks of a task that combinations are drawn from


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
        codes = np.stack(list(map(_code, self._seen[task])))
        centres = codes[rng.choice(kept, 8 * POOL)].copy()
        rows, column = np.arange(len(centres)), rng.integers(0, centres.shape[1], len(centres))
        for d in np.unique(column):  # another option that some network has
            options = np.unique(codes[:, d])
            own = rows[column == d]
            centres[own, d] = rng.choice(options, len(own))
        fresh = np.unique(centres, axis=0)
        fresh = fresh[[c.tobytes() not in self._seen[task] for c in fresh]]
        fresh = fresh[: len(fresh) if self._labels(task) is not None else 0]
        losses = [sign * np.exp(self._logs(task, m, fresh) + self._fit(task, m)[1][at]) for m, sign in self.goals]
        return fresh, np.stack(losses, axis=1)

    def _labels(self, task: str) -> np.ndarray | None:
        """The latest networks whose factors are known for every goal; None while there are too few."""
        known = np.isfinite([self._fit(task, metric)[0] for metric, _ in self.goals]).all(axis=0)
        labels = np.flatnonzero(known)[-LABELS:]
        return labels if len(labels) >= 2 * len(self.tasks[task]) else None

    def _logs(self, task: str, metric: str, codes: np.ndarray) -> np.ndarray:
        """Logarithms of networks' factors (n,): as fitted where they were seen, else by kernel ridge regression."""
        factors, _ = self._fit(task, metric)
        rows = np.array([self._seen[task].get(c.tobytes(), -1) for c in codes], dtype=np.int64)
        out = np.where(rows >= 0, np.append(factors, np.nan)[rows], np.nan)
        labels, new = self._labels(task), np.flatnonzero(np.isnan(out))
        if labels is not None and len(new):
            known = np.stack(list(map(_code, self._seen[task])))[labels]
            gram = _likeness(known, known)
            mean = factors[labels].mean()
            weights = np.linalg.solve(gram + NUGGET * gram[0, 0] * np.eye(len(labels)), factors[labels] - mean)
            out[new] = mean + _likeness(codes[new], known) @ weights
        return out

    def total(self, metric: str, codes: np.ndarray) -> np.ndarray:
        """Sum over the tasks of a goal that does not depend on the hardware, (n,); NaN where nothing is known."""
        logs = [self._logs(task, metric, np.ascontiguousarray(codes[:, d])) for task, d in self.tasks.items()]
        return np.exp(logs).sum(axis=0)

    def propose(
        self, machine: np.ndarray, n: int, rng: np.random.Generator, *, new: bool
    ) -> list[dict[str, np.ndarray]]:
        """Combinations of networks for one machine within the limits.

        Args:
            machine: codes of the hardware's decisions.
            n: combinations at most.
            rng: of the draws.
            new: whether to join networks that were not seen and are predicted to be good, each of them once, to learn
                about them; otherwise those that were seen, such that no other combination is predicted to dominate.

        Returns:
            task -> code of its decisions, one mapping a combination.
        """
        at = self._machines.get(np.asarray(machine, dtype=np.int16).tobytes())
        if at is None or len(self.goals) != 2 or not self.tasks:
            return []
        pools = [self._pool(task, at, n, rng, new) for task in self.tasks]
        if not all(len(codes) for codes, _ in pools):
            return []
        draws = np.stack([rng.integers(0, len(codes), 64 * n) for codes, _ in pools], axis=1)
        total = np.sum([losses[draws[:, k]] for k, (_, losses) in enumerate(pools)], axis=0)
        inside = np.ones(len(total), dtype=bool)
        for j, (metric, _) in enumerate(self.goals):
            if metric in self.limits:
                inside &= total[:, j] <= self.limits[metric]
        rows = np.flatnonzero(inside)
        best = _once(draws, rows, n) if new else rng.permutation(rows[front_mask(total[rows])])[:n].tolist()
        return [{t: pools[k][0][draws[r, k]] for k, t in enumerate(self.tasks)} for r in best]

    def _pool(self, task: str, at: int, n: int, rng: np.random.Generator, new: bool) -> tuple[np.ndarray, np.ndarray]:
        """The best networks of a task that were seen, or neighbours of them that were not, and their losses."""
        values = np.stack([sign * np.exp(f + h[at]) for m, sign in self.goals for f, h in [self._fit(task, m)]], axis=1)
        known = np.flatnonzero(np.isfinite(values).all(axis=1))
        kept = known[_best(values[known], POOL)]
        if not len(kept):
            return np.zeros((0, 0), dtype=np.int16), values[:0]
        if new:
            fresh, predicted = self._around(task, kept, at, rng)
            best = _best(predicted, 2 * n)
            return fresh[best], predicted[best]
        keys = list(self._seen[task])
        return np.stack([_code(keys[i]) for i in kept]), values[kept]


def _once(draws: np.ndarray, rows: np.ndarray, n: int) -> list[int]:
    """The first n rows whose networks (columns) no earlier one has."""
    used: list[set[int]] = [set() for _ in range(draws.shape[1])]
    picked: list[int] = []
    for row in rows.tolist():
        if len(picked) < n and not any(v in seen for v, seen in zip(draws[row].tolist(), used, strict=True)):
            picked.append(row)
            for v, seen in zip(draws[row].tolist(), used, strict=True):
                seen.add(v)
    return picked


def _code(key: bytes) -> np.ndarray:
    return np.frombuffer(key, dtype=np.int16)


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
