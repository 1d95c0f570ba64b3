"""Which decisions matter: functional ANOVA of a random forest.

Hutter et al., "An efficient approach for assessing hyperparameter importance" (2014).

A forest is fitted to (code, loss) of the trials; the share of the variance of its prediction over the whole space that
the mean over each single decision explains is that decision's importance. The marginal means are taken over a uniform
sample of the space instead of over the trees' boxes, which gives the paper's main effects up to sampling noise of about
1 / sqrt(sample). Interactions are what is missing to 1. With few trials the forest, and so the shares, are rough.
"""

from __future__ import annotations

import numpy as np

from archwright.space import Space

SAMPLE = 4000
FIT_AT_MOST = 3000  # trials; the forest's time grows with them


def main_effects(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(D,) share of the variance of `values` (n,) between the groups of each column of `codes` (n, D): eta squared."""
    total = float(((values - values.mean()) ** 2).sum())
    shares = np.zeros(codes.shape[1])
    if total <= 0:
        return shares
    for d in range(codes.shape[1]):
        _, group = np.unique(codes[:, d], return_inverse=True)
        count = np.bincount(group)
        means = np.bincount(group, weights=values) / count
        shares[d] = float((count * (means - values.mean()) ** 2).sum()) / total
    return shares


def importance(space: Space, codes: np.ndarray, values: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Label of each decision -> share of the variance that it explains alone, 0 to 1, largest first.

    Args:
        space: of the codes.
        codes: (n, D) of evaluated architectures.
        values: (n,) finite losses.
        seed: of the forest and the sample.

    Returns:
        Zeros if there are fewer than 10 trials or they are all equal.
    """
    labels = [d.label for d in space.decisions]
    if len(values) < 10 or np.ptp(values) == 0:
        return dict.fromkeys(labels, 0.0)
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(seed)
    if len(values) > FIT_AT_MOST:
        chosen = rng.choice(len(values), FIT_AT_MOST, replace=False)
        codes, values = codes[chosen], values[chosen]
    forest = RandomForestRegressor(n_estimators=32, min_samples_leaf=2, random_state=seed, n_jobs=1)
    forest.fit(space.one_hot(codes), values)
    sample = space.sample(SAMPLE, rng).codes
    predicted = forest.predict(space.one_hot(sample))
    groups = np.array([len(np.unique(sample[:, d])) for d in range(len(labels))])
    raw = main_effects(sample, predicted)
    # Random groups explain (k - 1) / (n - 1) of any variance: taken off (epsilon squared, Kelley 1935).
    shares = np.clip(raw - (1 - raw) * (groups - 1) / (len(sample) - groups), 0.0, 1.0)
    return dict(sorted(zip(labels, shares.tolist(), strict=True), key=lambda pair: -pair[1]))
