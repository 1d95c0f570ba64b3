"""Argmax with the two strongest edges of each node (DARTS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archwright.gradient.selections.base import Selection, admitted, legal_code, likeliest
from archwright.gradient.selections.edges import EdgeGroup, edge_groups
from archwright.registry import register
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "darts_edges", labels={"trains": False})
@dataclass(frozen=True)
class DartsEdges(Selection):
    """The strongest operator other than `none` on each edge, then the strongest edges of each node (section 2.4).

    Liu et al., 2019. An edge is as strong as its strongest operator, times the edge weight where the mixing has edge
    weights (Xu et al., 2020, section 3.3). The other edges become `none`.

    Attributes:
        edges: kept for each node.
    """

    edges: int = 2

    def choose(self, search: GradientSearch) -> Architecture:
        """The architecture of the rule; if a hard budget forbids it, the likeliest that is admitted."""
        code = legal_code(search.space, self.code(search, chances_of(search)))
        if not admitted(search, code[None])[0]:
            return likeliest(search)
        return search.space.architectures(code[None])[0]

    def code(self, search: GradientSearch, chances: list[np.ndarray]) -> np.ndarray:
        """Code (D,) by the rule from chances (options,) of each decision."""
        code = np.array([int(p.argmax()) for p in chances], dtype=np.int64)
        for group in edge_groups(search.space):
            self._cut(code, chances, group, edge_weights(search, group))
        return code

    def _cut(self, code: np.ndarray, chances: list[np.ndarray], group: EdgeGroup, weights: np.ndarray) -> None:
        strengths = []
        for d, none in zip(group.decisions, group.none, strict=True):
            without = chances[d].copy()
            without[none] = -1.0
            code[d] = int(without.argmax())
            strengths.append(float(without.max()))
        order = np.argsort(-np.array(strengths) * weights, kind="stable")
        for i in order[self.edges :].tolist():
            code[group.decisions[i]] = group.none[i]


def chances_of(search: GradientSearch) -> list[np.ndarray]:
    """Chances of the options of every decision, (options,) each."""
    return [p.double().cpu().numpy() for p in search.core.probabilities(detach=True).values()]


def edge_weights(search: GradientSearch, group: EdgeGroup) -> np.ndarray:
    """Weights of a node's edges, (edges,): ones where the mixing has none."""
    names = [search.space.decisions[d].name for d in group.decisions]
    found = search.core.edge_strengths().get("edges:" + "|".join(n or "" for n in names))
    return np.ones(len(names)) if found is None else found.double().cpu().numpy()
