"""Path encoding of cells: a feature for each chain of operators from the cell's input to its output.

White et al., "BANANAS: Bayesian Optimization with Neural Architectures for NAS" (2021), section 3.1; truncated to the
most frequent paths of the space (section 3.2). Features count how often a path occurs. Skips shorten a path, paths over
a `Zero` do not exist, so that isomorphic cells have equal rows. Networks without cells are read as one cell.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from archwright.predictors.embeddings.op_graph import OpGraph, graphs_of
from archwright.registry import register
from archwright.space import Architecture, Architectures, Space

REFERENCE = 1000  # members that frequencies are counted in
LONGEST = 4096  # paths of one graph that are listed


@register("embeddings", "paths", labels={"space": "one"})
class Paths:
    """Counts of the most frequent paths of a space.

    Args:
        space: whose paths are the columns.
        features: at most so many.
        seed: of the reference sample.
    """

    def __init__(self, space: Space, *, features: int = 512, seed: int = 0) -> None:
        self.space = space
        seen: Counter[str] = Counter()
        for architecture in space.sample(REFERENCE, np.random.default_rng(seed)).unique():
            seen.update(set(paths_of(architecture)))
        ranked = sorted(seen, key=lambda path: (-seen[path], path))
        self.vocabulary = {path: i for i, path in enumerate(ranked[:features])}

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, paths) float32 counts."""
        out = np.zeros((len(architectures), len(self.vocabulary)), dtype=np.float32)
        for row, architecture in zip(out, architectures, strict=True):
            for path, count in paths_of(architecture).items():
                if path in self.vocabulary:
                    row[self.vocabulary[path]] = count
        return out


def paths_of(architecture: Architecture) -> Counter[str]:
    """Path -> how often it occurs, of all kinds of cells; `0:` is the first kind."""
    found: Counter[str] = Counter()
    for kind, graph in enumerate(graphs_of(architecture)):
        found.update({f"{kind}:{path}": count for path, count in _paths(graph).items()})
    return found


def _paths(graph: OpGraph) -> Counter[str]:
    before: list[Counter[str]] = []
    sources: dict[int, list[int]] = {}
    for i, j in graph.edges:
        sources.setdefault(j, []).append(i)
    for place, label in enumerate(graph.labels):
        if place not in sources:
            before.append(Counter({label: 1}))
            continue
        here: Counter[str] = Counter()
        for i in sources[place]:
            for path, count in before[i].items():
                here[f"{path}>{label}"] += count
        before.append(Counter(dict(here.most_common(LONGEST))))
    ends: Counter[str] = Counter()
    for place in graph.result:
        ends.update(before[place])
    return ends
