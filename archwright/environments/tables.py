"""Functions of many decisions as sums of products of tables, for look-ups instead of a slow predictor.

The decisions are put into groups whose combinations of options fit a table. The function is written as a sum over
`rank` terms of a product with one entry of each group's table: with two groups, a matrix of low rank (a canonical
polyadic decomposition with grouped modes; Kolda and Bader, SIAM Review 2009, section 3), fitted by alternating least
squares to values at random designs. Groups are grown around the pair of decisions that interact most, so that what
remains between groups is nearly a product.

Known error: interactions between groups beyond the rank are lost.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np

SWEEPS = 20
RIDGE = 1e-2  # added to the normal equations of an entry, values being in standard deviations


class Tables(NamedTuple):
    """One table per group: decisions (k,), weights of their options (k,), entries (cells, metrics, rank) float32."""

    groups: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    entries: tuple[np.ndarray, ...]
    mean: np.ndarray
    spread: np.ndarray

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Values (n, metrics) of codes (n, decisions), -1 where a decision is inactive."""
        parts = zip(self.groups, self.weights, self.entries, strict=True)
        product = reduce(np.multiply, (entry[cells_of(codes, group, weight)] for group, weight, entry in parts))
        return np.asarray(self.mean + self.spread * product.sum(axis=2, dtype=np.float64))


def cells_of(codes: np.ndarray, group: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Row of a group's table for each design, (n,)."""
    at = np.zeros(len(codes), dtype=np.int64)
    for decision, step in zip(group.tolist(), weight.tolist(), strict=True):
        at += step * (codes[:, decision].astype(np.int64) + 1)
    return at


def weights_of(sizes: np.ndarray) -> np.ndarray:
    """Steps between the options of decisions in a table; one more than the options each, for inactive ones."""
    return np.concatenate([np.cumprod((sizes[1:] + 1)[::-1])[::-1], [1]]).astype(np.int64)


def fit_tables(codes: np.ndarray, values: np.ndarray, sizes: np.ndarray, *, rank: int, cells: int, seed: int) -> Tables:
    """Tables that give these values.

    Args:
        codes: (n, decisions).
        values: (n, metrics).
        sizes: options of each decision.
        rank: terms of the sum.
        cells: most combinations of options in a group; a decision with more has a group of its own.
        seed: of the start.
    """
    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-12)
    scaled = (values - mean) / spread
    groups = grouped(codes, scaled, sizes, cells)
    weights = tuple(weights_of(sizes[g]) for g in groups)
    at = [cells_of(codes, g, w) for g, w in zip(groups, weights, strict=True)]
    rows = [int((w * sizes[g]).sum()) + 1 for g, w in zip(groups, weights, strict=True)]
    fitted = [_alternate(at, rows, scaled[:, m], rank, seed) for m in range(values.shape[1])]
    entries = tuple(np.stack([f[g] for f in fitted], axis=1).astype(np.float32) for g in range(len(groups)))
    return Tables(groups, weights, entries, mean, spread)


def grouped(codes: np.ndarray, values: np.ndarray, sizes: np.ndarray, cells: int) -> tuple[np.ndarray, ...]:
    """Decisions in groups of at most `cells` combinations, those that interact most together."""
    left, out = list(range(len(sizes))), []
    while left:
        group: list[int] = []
        while fitting := [d for d in left if not group or sizes[[*group, d]].prod() <= cells]:
            together = _explained(codes, values, sizes, group)
            gains = [
                _explained(codes, values, sizes, [*group, d])
                - (together + _explained(codes, values, sizes, [d]) if group else 0)
                for d in fitting
            ]
            group.append(fitting[int(np.argmax(gains))])
            left.remove(group[-1])
        out.append(np.array(sorted(group)))
    return tuple(out)


def _explained(codes: np.ndarray, values: np.ndarray, sizes: np.ndarray, group: list[int]) -> float:
    """Variance of the values between the combinations of a group's options, less what chance alone would give."""
    if not group:
        return 0.0
    decisions = np.array(group)
    at = np.unique(cells_of(codes, decisions, weights_of(sizes[decisions])), return_inverse=True)[1]
    count = np.bincount(at)
    means = np.stack([np.bincount(at, column) / count for column in values.T], axis=1)[at]
    within = ((values - means) ** 2).mean(axis=0).sum()
    return float(means.var(axis=0).sum() - within * (len(count) - 1) / max(len(values) - len(count), 1))


def _alternate(at: list[np.ndarray], rows: list[int], values: np.ndarray, rank: int, seed: int) -> list[np.ndarray]:
    """Entries (rows, rank) of each group's table for one metric; what was never seen is zero."""
    rng = np.random.default_rng(seed)
    entries = [rng.normal(1.0, 0.3, (size, rank)) for size in rows]
    orders = [np.argsort(a, kind="stable") for a in at]
    for _ in range(SWEEPS):
        for g, (order, size) in enumerate(zip(orders, rows, strict=True)):
            others = np.ones((len(values), rank))
            for k, other in enumerate(at):
                if k != g:
                    others *= entries[k][other]
            others, wanted = others[order], values[order]
            seen, start = np.unique(at[g][order], return_index=True)
            normal = np.add.reduceat(others[:, :, None] * others[:, None, :], start, axis=0)
            right = np.add.reduceat(others * wanted[:, None], start, axis=0)
            entries[g] = np.zeros((size, rank))
            entries[g][seen] = np.linalg.solve(normal + RIDGE * np.eye(rank), right[..., None])[..., 0]
    return entries
