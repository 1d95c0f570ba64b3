"""A made-up graph whose nodes belong to communities: say which one, from a node's surroundings.

The graph is a stochastic block model (Holland, Laskey & Leinhardt, 1983): most edges stay within a community. Features
of a node alone say little, those of its neighbours together say more. Nothing here is a measured network.
"""

from __future__ import annotations

import numpy as np

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, task_of


@register("tasks", "synthetic_graph", labels={"kind": "classification", "input": "nodes of a graph, synthetic"})
def synthetic_graph(
    *,
    nodes: int = 800,
    classes: int = 4,
    features: int = 8,
    surroundings: int = 24,
    degree: float = 8.0,
    inside: float = 0.9,
    signal: float = 0.8,
    seed: int = 0,
) -> Task:
    """Classes of nodes of one graph (transductive): rows are nodes, each with the part of the graph around it.

    A row (surroundings, features + surroundings) holds the node first, then those nearest to it, all with their
    features and the edges among them; labels of other nodes are nowhere in it. What a small component lacks is
    filled with zeros.

    Args:
        nodes: of the graph; a fifth is held out for testing and a fifth of the rest for validation.
        classes: communities, equally large.
        features: of a node: normal numbers, of which that of its own class is raised; no fewer than classes.
        surroundings: nodes in a row.
        degree: edges of a node on average.
        inside: share of them that stay within the community.
        signal: by how much the feature of the own class is raised, in standard deviations.
        seed: of the graph and of the parts.

    Raises:
        ConfigurationError: if the sizes do not fit.
    """
    if not 2 <= classes <= features or surroundings < 2 or nodes < 2 * classes or not 0.0 <= inside <= 1.0:
        raise ConfigurationError(
            f"synthetic_graph needs 2 classes or more, as many features at least, 2 nodes in a row or more, two nodes "
            f"a class and a share inside from 0 to 1, got classes {classes}, features {features}, surroundings "
            f"{surroundings}, nodes {nodes}, inside {inside}"
        )
    rng = np.random.default_rng([seed, 0x6A4])
    label = rng.permutation(np.arange(nodes) % classes)
    edges = _edges(label, degree, inside, rng)
    values = rng.normal(size=(nodes, features))
    values[np.arange(nodes), label] += signal
    rows = np.zeros((nodes, surroundings, features + surroundings), np.float32)
    for v in range(nodes):
        near = _nearest(edges, v, surroundings, rng)
        rows[v, : len(near), :features] = values[near]
        rows[v, : len(near), features : features + len(near)] = edges[np.ix_(near, near)]
    arrays = Arrays(
        {"train": rows},
        {"train": label},
        "synthetic_graph",
        extra={"features": features, "surroundings": surroundings, "synthetic": True},
    )
    return task_of(arrays, kind="classification", layout="series", seed=seed, scale=1.0, standardise=False)


def _edges(label: np.ndarray, degree: float, inside: float, rng: np.random.Generator) -> np.ndarray:
    """(n, n) bool, symmetric, without loops."""
    n = len(label)
    same = label[:, None] == label[None, :]
    mates = same.sum(axis=1, keepdims=True) - 1
    chance = np.where(same, degree * inside / mates, degree * (1.0 - inside) / (n - 1 - mates))
    upper = np.triu(rng.random((n, n)) < chance, 1)
    return upper | upper.T


def _nearest(edges: np.ndarray, node: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """At most `count` nodes by their distance, those of one distance in random order; the node itself first."""
    found, ring = np.array([node]), np.array([node])
    known = np.zeros(len(edges), bool)
    known[node] = True
    while len(ring) and len(found) < count:
        ring = rng.permutation(np.flatnonzero(edges[ring].any(axis=0) & ~known))
        known[ring] = True
        found = np.concatenate([found, ring])
    return found[:count]
