"""Encodings of architectures for predictors: one-hot vectors and graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archwright.space.canonical import is_record, parts_of
from archwright.space.legality import read_codes

if TYPE_CHECKING:
    from archwright.space.space import Space


class Node(NamedTuple):
    """One dataclass of a tree."""

    type: str  # class name
    fields: dict[str, Any]  # the fields that are numbers, strings, None or enum members, or tuples of these
    path: str  # where it stands in the resolved tree, for example `parts.2.1`
    site: str  # where it stands in the space's tree, empty if its class has no `site`


class Graph(NamedTuple):
    """A tree as a graph.

    nodes: the dataclasses in pre-order.
    edges: pairs of node indices.
    adjacency: uint8 (nodes, nodes), 1 from the first to the second of each edge.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]
    adjacency: np.ndarray


def one_hot(space: Space, codes: np.ndarray) -> np.ndarray:
    """Float32 (n, sum of option counts); an inactive decision is all zeros."""
    codes = read_codes(space, codes)
    start = np.concatenate([[0], np.cumsum(space.sizes)])
    out = np.zeros((len(codes), int(start[-1])), dtype=np.float32)
    row, decision = np.nonzero(codes >= 0)
    out[row, start[decision] + codes[row, decision]] = 1.0
    return out


def graph(tree: Any) -> Graph:
    """Nodes, edges and adjacency of a tree without choices.

    A dataclass points to the dataclasses in its fields; of those in one tuple, it points to the first, and each points
    to the next. A class with a method `edges()` decides itself: pairs (i, j) of its direct parts in order, -1 for
    itself.
    """
    nodes: list[Node] = []
    edges: list[tuple[int, int]] = []
    _visit(tree, "", None, nodes, edges)
    adjacency = np.zeros((len(nodes), len(nodes)), dtype=np.uint8)
    for i, j in edges:
        adjacency[i, j] = 1
    return Graph(tuple(nodes), tuple(edges), adjacency)


def _visit(
    tree: Any, path: str, parent: int | None, nodes: list[Node], edges: list[tuple[int, int]]
) -> list[tuple[int, str]]:
    """Add what is below a place; returns the topmost nodes there, each with the sequence that it stands in."""
    group = parts_of(tree, path)
    if group is None:
        return []
    kind, keys, parts = group
    if not is_record(tree):
        found: list[tuple[int, str]] = []
        for key, part in zip(keys, parts, strict=True):
            found += [(i, path) for i, _ in _visit(part, _join(path, key), parent, nodes, edges)]
        return found
    me = len(nodes)
    plain = {k: p for k, p in zip(keys, parts, strict=True) if _is_plain(p)}
    nodes.append(Node(kind.__qualname__, plain, path, getattr(tree, "site", "")))
    children: list[tuple[int, str]] = []
    for key, part in zip(keys, parts, strict=True):
        children += _visit(part, _join(path, key), me, nodes, edges)
    if callable(getattr(tree, "edges", None)):
        index = [*(i for i, _ in children), me]  # -1 is the node itself
        edges += [(index[i], index[j]) for i, j in tree.edges()]
        return [(me, path)]
    last: dict[str, int] = {}
    for child, sequence in children:
        edges.append((last.get(sequence, me), child))
        last[sequence] = child
    return [(me, path)]


def _is_plain(value: Any) -> bool:
    group = parts_of(value)
    return group is None or (group[0] is tuple and all(_is_plain(p) for p in group[2]))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
