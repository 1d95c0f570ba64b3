"""The diagnostic of ENAS's controller: do its states lie apart as its architectures do?"""

import numpy as np
import pytest
from scipy.stats import spearmanr

from archwright.analysis.controller_states import graph_distances, state_graph_correlation
from archwright.costs.counts import Counts
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def space():
    return get("spaces", "deep_architect")(SHAPE, 10, depths=(1, 2, 3))


@pytest.fixture(scope="module")
def probes(space):
    archs = space.sample(45, np.random.default_rng(1)).unique()
    return archs, graph_distances(archs)


class Knows:
    """Stands for a controller whose states are what its function says of codes."""

    def __init__(self, states):
        self.states = states


def test_distances_of_graphs_are_those_of_pairs(probes):
    archs, distances = probes
    n = len(archs)
    assert len(distances) == n * (n - 1) // 2 and (distances >= 0).all() and np.ptp(distances) > 0
    some = graph_distances(archs[[3, 3, 7]])
    assert some[0] == 0 and some[1] == some[2] == distances[np.flatnonzero(np.triu_indices(n, 1)[0] == 3)[3]]


def test_states_that_are_the_depth_correlate_as_depths_do_and_constant_ones_not_at_all(space, probes):
    archs, distances = probes
    d = [d.label for d in space.decisions].index("depth")
    first, second = np.triu_indices(len(archs), 1)
    depth = archs.codes[:, [d]].astype(float)
    expected = spearmanr(np.abs(depth[first, 0] - depth[second, 0]), distances).statistic
    assert state_graph_correlation(Knows(lambda codes: codes[:, [d]].astype(float)), archs, distances) == expected
    assert expected > 0.1
    assert state_graph_correlation(Knows(lambda codes: np.zeros((len(codes), 4))), archs, distances) == 0.0


@pytest.mark.slow
def test_the_memory_buffer_raises_the_correlation(space, probes):
    archs, distances = probes
    problem = Problem(space, (Objective("params_m"),), (Counts(space, SHAPE),))
    found = {}
    for weight in (0.0, 5.0):
        strategy = get("strategies", "reinforce")(problem, seed=0, memory_buffer=weight)
        before = state_graph_correlation(strategy.controller, archs, distances)
        run(problem, strategy, Budget(trials=400), batch=10)
        found[weight] = before, state_graph_correlation(strategy.controller, archs, distances)
    assert found[0.0][0] == found[5.0][0]
    assert found[5.0][1] > found[0.0][1] + 0.05 and found[5.0][1] > found[5.0][0] + 0.05
