"""How well predictions rank: rank correlations, and what is lost by trusting the best predictions."""

from __future__ import annotations

import numpy as np
from scipy import stats


def spearman(predicted: np.ndarray, true: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors (n,); 0 if one of them is constant."""
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return 0.0
    return float(stats.spearmanr(predicted, true).statistic)


def kendall(predicted: np.ndarray, true: np.ndarray) -> float:
    """Kendall's tau-b of two vectors (n,); 0 if one of them is constant."""
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return 0.0
    return float(stats.kendalltau(predicted, true).statistic)


def top_regret(predicted: np.ndarray, true: np.ndarray, k: int = 10) -> float:
    """How much worse the truly best of the k best predicted is than the best of all; smaller values are better.

    Args:
        predicted: (n,) losses.
        true: (n,) losses.
        k: how many would be evaluated.
    """
    chosen = np.argsort(predicted, kind="stable")[:k]
    return float(true[chosen].min() - true.min())


def ranking_report(predicted: np.ndarray, true: np.ndarray, k: int = 10) -> dict[str, float]:
    """All three, and the root mean square error."""
    return {
        "spearman": spearman(predicted, true),
        "kendall": kendall(predicted, true),
        f"top{k}_regret": top_regret(predicted, true, k),
        "rmse": float(np.sqrt(np.mean(np.square(predicted - true)))),
    }
