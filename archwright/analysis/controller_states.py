"""Does a recurrent controller know what it writes? Distances of its hidden states against distances of architectures.

Singh, Jacobs, Nicolae & Schmidt, "A Study of the Learning Progress in Neural Architecture Search Techniques" (2019):
the hidden states of ENAS's controller hardly depend on the architecture that it has written, and a controller that has
to recall its past decisions (option `memory_buffer` of `reinforce` and `ppo`) tells architectures apart. Here the
distance of architectures is the approximate edit distance of their graphs of operators.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from archwright.predictors.embeddings.graph_edit import distance_of
from archwright.predictors.embeddings.op_graph import graphs_of
from archwright.space import Architectures
from archwright.strategies.controller import Controller


def graph_distances(architectures: Architectures) -> np.ndarray:
    """(n (n - 1) / 2,) edit distances of all pairs, in the order of `numpy.triu_indices(n, 1)`."""
    graphs = [graphs_of(a) for a in architectures]
    first, second = np.triu_indices(len(graphs), 1)
    return np.array([distance_of(graphs[i], graphs[j]) for i, j in zip(first, second, strict=True)])


def state_graph_correlation(controller: Controller, architectures: Architectures, distances: np.ndarray) -> float:
    """Spearman's rank correlation of distances of last hidden states with distances of graphs; 0 if either is constant.

    Args:
        controller: of a strategy.
        architectures: n of them, 3 or more.
        distances: what `graph_distances` gave for them.
    """
    states = controller.states(architectures.codes)
    first, second = np.triu_indices(len(states), 1)
    apart = np.linalg.norm(states[first] - states[second], axis=1)
    if np.ptp(apart) == 0 or np.ptp(distances) == 0:
        return 0.0
    return float(spearmanr(apart, distances).statistic)
